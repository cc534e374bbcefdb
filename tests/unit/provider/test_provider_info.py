"""What Airflow learns about the provider."""

import ast
import importlib
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema
import msgspec
import pytest
import yaml

from airflow_provider_twitter import get_provider_info as provider_info
from airflow_provider_twitter.hooks.twitter import ConnectionExtra, TwitterHook

ROOM = Path(__file__).parents[3] / "providers" / "twitter"
INFO = provider_info.get_provider_info()


def test_the_yaml_says_the_same() -> None:
    """provider.yaml and what Airflow reads at run time agree."""
    assert yaml.safe_load((ROOM / "provider.yaml").read_text()) == INFO


def test_airflow_finds_it_by_its_entry_point() -> None:
    """The installed distribution registers the description."""
    [found] = [each for each in entry_points(group="apache_airflow_provider") if "twitter" in each.value]
    assert found.load()() == INFO


def test_it_is_valid_by_airflows_own_schema() -> None:
    """The description passes the schema that Airflow checks it with."""
    path = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(INFO, msgspec.json.decode(path.read_bytes()))


def test_describing_the_provider_imports_nothing_of_it() -> None:
    """The connection form is drawn without loading hooks, tweepy or Kafka."""
    tree = ast.parse(Path(provider_info.__file__).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"__future__", "typing"}


@pytest.mark.parametrize(
    "module",
    [
        module
        for kind in ("hooks", "operators", "triggers")
        for each in INFO[kind]
        for module in each["python-modules"]
    ],
)
def test_every_module_named_exists(module: str) -> None:
    """Hooks, operators and triggers are where the description says."""
    importlib.import_module(module)


def test_the_form_offers_what_the_hook_reads() -> None:
    """The form has exactly the fields that the hook understands."""
    [connection] = INFO["connection-types"]
    assert set(connection["conn-fields"]) == set(ConnectionExtra.__struct_fields__)
    assert connection["connection-type"] == TwitterHook.conn_type
    assert connection["hook-name"] == TwitterHook.hook_name
    assert connection["hook-class-name"] == f"{TwitterHook.__module__}.{TwitterHook.__qualname__}"
