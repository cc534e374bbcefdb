"""`twitter-pipeline rules`: what an operator sees of the rules and may do with them."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from twitter_pipeline import cli
from twitter_pipeline.collection import rules
from twitter_pipeline.collection.lease import lease_rule
from twitter_pipeline.collection.rule import NEEDS_ONE_KIND


@pytest.fixture
def run(postgres: Any, tmp_path: Path) -> Any:
    """The command with this test's database and rules file."""
    environment = {
        "PIPELINE_HOME": str(tmp_path / "home"),
        "PIPELINE_RULES": str(tmp_path / "rules.yaml"),
        "PIPELINE_POSTGRES_DSN": postgres.dsn,
        "PIPELINE_POSTGRES_READER_DSN": postgres.reader_dsn,
    }

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli.main, ["rules", *words], env=environment)

    return run


def seed(postgres: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    rules.seed(postgres.dsn, tmp_path / "rules.yaml")


def test_the_list_shows_the_state_of_each_rule_and_what_is_wrong(
    postgres: Any, connection: Any, run: Any, tmp_path: Path
) -> None:
    """Parked with X's reason, failed with its error, removed only on request; notices follow."""
    assert "There are no rules" in run("list").output
    text = "rules: [{name: tea, query: tea}, {name: mugs, accounts: [bob, alice]}, {name: hat, query: hat}"
    seed(postgres, tmp_path, text + ", {name: gone, query: x}]")
    seed(postgres, tmp_path, text + ", {name: idle, query: x, enabled: false}]")
    rules.park(connection, rules.find(connection, "tea"), "X: no\nsuch operator")
    with pytest.raises(RuntimeError), lease_rule(connection, "hat", "me"):
        raise RuntimeError("503")
    (tmp_path / "rules.yaml").write_text("")
    with pytest.raises(rules.BadRules):
        rules.seed(postgres.dsn, tmp_path / "rules.yaml")
    told = run("list")
    lines = [line.split() for line in told.stdout.splitlines()]
    assert [
        (words[0], words[1]) for words in lines if words[0] in {"tea", "mugs", "hat", "idle", "gone"}
    ] == [
        ("hat", "waiting"),
        ("idle", "disabled"),
        ("mugs", "due"),
        ("tea", "parked"),
    ]
    assert "X: no such operator" in told.stdout
    assert "RuntimeError: 503" in told.stdout
    assert "timelines of alice, bob" in told.stdout
    assert "rules.yaml: names no rule" in told.stderr
    listed = json.loads(run("list", "--all", "--json").stdout)
    assert {rule["name"]: rule["state"] for rule in listed}["gone"] == "removed"
    assert next(rule for rule in listed if rule["name"] == "mugs")["accounts"] == ["alice", "bob"]


def test_one_rule_is_shown_in_full(postgres: Any, run: Any, tmp_path: Path) -> None:
    """With its budget and its file; an unknown name is an error."""
    seed(postgres, tmp_path, "rules: [{name: tea, query: tea, budget_usd: 0.5, page_size: 20}]")
    shown = run("show", "tea")
    assert shown.exit_code == 0
    assert f"source_file      {tmp_path / 'rules.yaml'}" in shown.output
    assert "page_size        20" in shown.output
    assert json.loads(run("show", "tea", "--json").output)["budget_usd"] == "0.5000"
    unknown = run("show", "mugs")
    assert unknown.exit_code == 1
    assert "there is no rule 'mugs'" in unknown.output


@pytest.mark.parametrize("command", ["unpark", "resume"])
def test_a_parked_rule_is_due_again_by_command(
    postgres: Any, connection: Any, run: Any, tmp_path: Path, command: str
) -> None:
    """The command says if a rule is not parked."""
    seed(postgres, tmp_path, "rules: [{name: tea, query: tea}, {name: hat, query: hat}]")
    rules.park(connection, rules.find(connection, "tea"), "refused")
    done = run(command, "tea", "hat")
    assert done.output == "tea: is no longer parked\nhat: was not parked\n"
    assert rules.due(connection) == ["hat", "tea"]
    assert run(command, "unknown").exit_code == 1


def test_a_rule_may_be_added_handed_over_and_removed_by_command(
    postgres: Any, connection: Any, run: Any, tmp_path: Path
) -> None:
    """It is checked like the rules of a file."""
    assert (
        run("add", "tea", "--query", " green  tea ", "--budget-usd", "0.5", "--page-size", "10").exit_code
        == 0
    )
    assert (
        run("add", "mugs", "--account", "@Alice", "--account", "bob", "--first-poll-days", "30").exit_code
        == 0
    )
    assert rules.find(connection, "tea").spec == {"query": "green tea"}
    assert rules.find(connection, "mugs").spec == {"accounts": ["alice", "bob"]}
    assert set(rules.due(connection)) == {"tea", "mugs"}
    text = "rules: [{name: tea, query: tea}]"
    with pytest.raises(rules.BadRules):
        seed(postgres, tmp_path, text)
    assert "governs it from the next" in run("accept", "tea").output
    seed(postgres, tmp_path, text)
    refused = run("remove", "tea")
    assert refused.exit_code == 1
    assert "delete it there" in refused.output
    assert run("remove", "mugs").output == "mugs: stopped\n"
    assert run("remove", "mugs").output == "mugs: was already removed\n"
    assert rules.due(connection) == ["tea"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tea",), NEEDS_ONE_KIND),
        (("Tea", "--query", "tea"), "name: 'Tea'"),
        (("tea", "--query", "(tea"), "query: column 1, at '(tea': this parenthesis is never closed"),
        (("tea", "--query", "tea", "--account", "bob"), NEEDS_ONE_KIND),
        (("tea", "--account", "no one"), "accounts: 'no one'"),
        (("tea", "--query", "tea", "--first-poll-days", "8"), "first_poll_days: 8"),
        (("tea", "--query", "tea", "--budget-usd", "NaN"), "budget_usd: 'NaN'"),
        (("tea", "--query", "tea", "--budget-usd", "five"), "budget_usd: 'five'"),
        (("tea", "--query", "tea", "--budget-usd", "0"), "budget_usd: 0"),
        (("old", "--query", "tea"), "an earlier version made a rule of this name"),
    ],
)
def test_an_impossible_rule_is_not_added(
    connection: Any, run: Any, words: tuple[str, ...], told: str
) -> None:
    """The field is named, and nothing is written."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('old', 'search', '{\"query\": \"x\"}')"
    )
    refused = run("add", *words)
    assert refused.exit_code == 1
    assert told in refused.output
    assert rules.due(connection) == ["old"]


def test_a_database_that_is_down_or_old_is_one_sentence(postgres: Any, tmp_path: Path) -> None:
    """Without the password from its address."""
    environment = {
        "PIPELINE_HOME": str(tmp_path),
        "PIPELINE_POSTGRES_READER_DSN": "postgresql://a:canary@127.0.0.1:1/x",
    }
    away = CliRunner().invoke(cli.main, ["rules", "list"], env=environment)
    assert away.exit_code == 1
    assert away.output.startswith("Error: PostgreSQL: ")
    assert "canary" not in away.output
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("drop table pipeline.notices")
    old = CliRunner().invoke(
        cli.main, ["rules", "list"], env=environment | {"PIPELINE_POSTGRES_READER_DSN": postgres.reader_dsn}
    )
    assert (
        old.output
        == "Error: the tables belong to another version; run `make up` or `twitter-pipeline migrate`\n"
    )
