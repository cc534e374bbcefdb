"""The Airflow plugin: one file with a unique name, an app only in the API server, and nobody let in by mistake."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.dependencies.utils import get_dependant

from twitter_pipeline.api.access import READ, Principal

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
RESERVED = ("/api", "/ui", "/execution", "/auth", "/pluginsv2")


@pytest.fixture
def plugin() -> ModuleType:
    """The plugin's module, executed as Airflow does."""
    spec = importlib.util.spec_from_file_location(
        "tweet_pipeline_plugin", PLUGINS / "tweet_pipeline_plugin.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plugin_files_have_names_that_nobody_else_has() -> None:
    """Airflow registers each file under its bare name for the whole process."""
    for file in PLUGINS.rglob("*.py"):
        assert file.parent == PLUGINS
        assert file.stem.startswith("tweet_pipeline")
        assert importlib.util.find_spec(file.stem) is None


def test_reading_the_class_builds_no_app(plugin: ModuleType) -> None:
    """The app is a property of the instance: schedulers and workers, which load plugins too, never build it."""
    assert not isinstance(plugin.TweetPipelinePlugin.__dict__["fastapi_apps"], list)
    assert not plugin.PREFIX.startswith(RESERVED)


def test_the_page_is_in_the_navigation(plugin: ModuleType) -> None:
    """Under the prefix of the app, so that the same login holds."""
    (view,) = plugin.TweetPipelinePlugin.external_views
    assert view["destination"] == "nav"
    assert view["href"] == f"{plugin.PREFIX}/"


def test_without_airflows_access_check_nobody_enters(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the imported check ever moves, the app is closed instead of open."""
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    check: Any = plugin._authenticate()
    with pytest.raises(HTTPException) as closed:
        check()
    assert closed.value.status_code == 403


def test_a_user_who_may_see_plugins_may_read(plugin: ModuleType) -> None:
    """Airflow's own check comes first, and its user has a name here and one scope."""
    check: Any = plugin._authenticate()
    asked = {dependency.call.__qualname__ for dependency in get_dependant(path="/", call=check).dependencies}
    assert asked == {"get_user", "requires_access_view.<locals>.inner"}
    principal = asyncio.run(check(SimpleNamespace(get_name=lambda: "ada"), None))
    assert principal == Principal("ada", frozenset({READ}))
