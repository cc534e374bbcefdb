"""`twitter-pipeline migrate`: what a container or a managed database needs before anything runs."""

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from twitter_pipeline import cli
from twitter_pipeline.deployment.x_endpoint import XEndpoint, sample_rules
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.services import _bring_schema


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


@pytest.fixture
def rules_file(environment: dict[str, str], tmp_path: Path) -> Path:
    """The user's own rules, which the environment names."""
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{name: tea, query: tea}, {name: mugs, query: mugs}]")
    environment["PIPELINE_RULES"] = str(file)
    return file


def enabled(environment: dict[str, str]) -> list[str]:
    with psycopg.connect(environment["PIPELINE_POSTGRES_READER_DSN"]) as reader:
        rows = reader.execute("select name from pipeline.rules where is_enabled order by name").fetchall()
    return [name for (name,) in rows]


@pytest.mark.parametrize("text", [None, "", "rules: []", "rules: [{name: tea, query: (tea}]"])
def test_a_rules_file_that_cannot_be_used_stops_nothing(
    environment: dict[str, str], rules_file: Path, text: str | None
) -> None:
    """Missing, empty or broken: the previous rules stay in force, the command succeeds with a warning, a notice stands."""
    assert "rules: 2 new" in run(environment).output
    rules_file.unlink() if text is None else rules_file.write_text(text)
    warned = run(environment)
    assert warned.exit_code == 0, warned.output
    assert f"warning: {rules_file}: " in warned.output
    assert "the 2 previous rules stay in force" in warned.output
    assert enabled(environment) == ["mugs", "tea"]
    with psycopg.connect(environment["PIPELINE_POSTGRES_READER_DSN"]) as reader:
        assert reader.execute("select subject from pipeline.notices").fetchall() == [("rules file",)]


def test_a_rule_that_left_the_file_is_named(environment: dict[str, str], rules_file: Path) -> None:
    """And stops."""
    run(environment)
    rules_file.write_text("rules: [{name: tea, query: tea}]")
    assert "rules: 0 new or changed in rules.yaml, 1 stopped: mugs" in run(environment).output
    assert enabled(environment) == ["tea"]


@pytest.mark.parametrize("text", [None, "rules: [{name: tea, query: (tea}]"])
def test_a_first_rules_file_that_cannot_be_used_is_an_error(
    environment: dict[str, str], rules_file: Path, text: str | None
) -> None:
    """Nothing could be collected, so the error is raised at once."""
    rules_file.unlink() if text is None else rules_file.write_text(text)
    refused = run(environment)
    assert refused.exit_code == 1
    assert f"Error: {rules_file}: " in refused.output


def test_the_shipped_rules_give_way_to_ones_own_and_are_never_asked_of_the_real_x(
    environment: dict[str, str], rules_file: Path
) -> None:
    """Neither alongside the user's own rules, nor because those cannot be read."""
    own = rules_file.read_text()
    run(environment | {"PIPELINE_RULES": ""})
    assert "coffee" in enabled(environment)
    with psycopg.connect(environment["PIPELINE_POSTGRES_DSN"]) as loader:  # as before rules knew their file
        loader.execute("update pipeline.rules set source = null, source_file = null")
    rules_file.unlink()
    real = {"X_API_URL": "https://api.x.com", "X_BEARER_TOKEN": "a-token", "X_BUDGET_USD": "5"}
    refused = run(environment | real)
    assert refused.exit_code == 1
    assert f"{rules_file}: there is no such file" in refused.output
    rules_file.write_text(own)
    assert "4 stopped: climate, coffee, python, voices" in run(environment | real).output
    assert enabled(environment) == ["mugs", "tea"]
    rules_file.unlink()
    assert run(environment | real).exit_code == 0


def test_the_shipped_rules_of_an_earlier_version_give_way_too(
    environment: dict[str, str], rules_file: Path
) -> None:
    """That version shipped them in another folder, which the rules remember."""
    run(environment | {"PIPELINE_RULES": ""})
    before = sample_rules().parents[1] / "stack" / "sample_rules.yaml"
    with psycopg.connect(environment["PIPELINE_POSTGRES_DSN"]) as loader:
        loader.execute("update pipeline.rules set source_file = %s", (str(before),))
    real = {"X_API_URL": "https://api.x.com", "X_BEARER_TOKEN": "a-token", "X_BUDGET_USD": "5"}
    assert "4 stopped: climate, coffee, python, voices" in run(environment | real).output
    assert enabled(environment) == ["mugs", "tea"]


def test_the_launcher_says_what_became_of_the_rules_file(
    postgres: Any, rules_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make up` itself: what changed, what stopped, and why a file was not taken."""
    x = XEndpoint("http://127.0.0.1:9", "token", True, True, rules_file, "a test")
    bring = partial(_bring_schema, postgres.migrator_dsn, postgres.dsn, x)
    bring()
    rules_file.write_text("rules: [{name: tea, query: tea}]")
    bring()
    rules_file.write_text("")
    bring()
    assert capsys.readouterr().err.splitlines() == [
        "  rules: 2 new or changed in rules.yaml",
        "  rules: 0 new or changed in rules.yaml, 1 stopped: mugs",
        f"  warning: {rules_file}: names no rule; to stop a rule keep it with enabled: false; the 1 previous rules stay in force",
    ]
