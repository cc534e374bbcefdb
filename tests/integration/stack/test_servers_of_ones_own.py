"""`twitter-pipeline migrate`: what a container or a managed database needs before anything runs."""

import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from twitter_pipeline import cli
from twitter_pipeline.stack.postgresql import PostgreSQL


@pytest.fixture
def environment(postgres_server: PostgreSQL, tmp_path: Path) -> dict[str, str]:
    """Addresses of a database that is not there yet; its roles are (with these passwords, as other tests use)."""
    name = f"own_{uuid.uuid4().hex[:8]}"
    dsn = {
        role: postgres_server.dsn(name, f"pipeline_{role}", f"pipeline_{role}")
        for role in ("migrator", "loader", "reader")
    }
    return {
        "PIPELINE_HOME": str(tmp_path / "home"),
        "PIPELINE_POSTGRES_SUPERUSER_DSN": postgres_server.superuser_dsn(),
        "PIPELINE_POSTGRES_MIGRATOR_DSN": dsn["migrator"],
        "PIPELINE_POSTGRES_DSN": dsn["loader"],
        "PIPELINE_POSTGRES_READER_DSN": dsn["reader"],
        "PIPELINE_METADATA_DSN": postgres_server.dsn(f"{name}_airflow", f"{name}_airflow", "secret"),
        "X_API_URL": "http://127.0.0.1:9",
        "X_API_ALLOW_LOCAL": "true",
        "X_BEARER_TOKEN": "",
        "X_BUDGET_USD": "",
    }


def run(environment: dict[str, str]) -> Any:
    return CliRunner().invoke(cli.main, ["migrate"], env=environment)


def test_roles_databases_tables_and_rules_are_made_once(environment: dict[str, str]) -> None:
    """A second run changes nothing and says so; the reader reads the rules, Airflow's role enters its database."""
    first = run(environment)
    assert first.exit_code == 0, first.output
    assert "0001_books" in first.output
    second = run(environment)
    assert second.exit_code == 0, second.output
    assert "up to date" in second.output
    assert "rules: 0 new" in second.output
    with psycopg.connect(environment["PIPELINE_POSTGRES_READER_DSN"]) as reader:
        assert reader.execute("select count(*) > 0 from pipeline.rules").fetchone() == (True,)
    psycopg.connect(environment["PIPELINE_METADATA_DSN"]).close()


def test_the_real_x_without_a_budget_changes_nothing(environment: dict[str, str]) -> None:
    """A token alone prepares nothing, so that no scheduler starts after it."""
    refused = run(environment | {"X_API_URL": "https://api.x.com", "X_BEARER_TOKEN": "a-token"})
    assert refused.exit_code == 1
    assert "X_BUDGET_USD" in refused.output
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(environment["PIPELINE_POSTGRES_READER_DSN"])


def test_a_server_that_is_away_is_one_sentence(environment: dict[str, str]) -> None:
    """With the name of the setting and without its password."""
    away = run(
        environment | {"PIPELINE_POSTGRES_SUPERUSER_DSN": "postgresql://postgres:canary@127.0.0.1:1/postgres"}
    )
    assert away.exit_code == 1
    assert "PIPELINE_POSTGRES_SUPERUSER_DSN" in away.output
    assert "canary" not in away.output
