"""Rules come from a file into a table, are due by their interval, and are polled by one run at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from twitter_pipeline.collection import rules

GOOD = """
rules:
  - {name: python, query: "#python lang:en", interval_seconds: 30}
  - {name: newsroom, accounts: ["@Alice", bob], enabled: false}
"""


@pytest.fixture
def books(postgres: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield connection


def seed(postgres: Any, tmp_path: Path, text: str) -> int:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return rules.seed(postgres.dsn, path)


def test_a_file_seeds_the_table_and_wins_for_the_rules_it_names(
    postgres: Any, books: Any, tmp_path: Path
) -> None:
    """Seeding again changes nothing; a changed rule is changed; a rule of the table alone stays."""
    seed(postgres, tmp_path, GOOD)
    books.execute("insert into pipeline.rules (name, query) values ('mine', 'x')")
    assert rules.find(books, "newsroom").accounts == ["alice", "bob"]
    seed(postgres, tmp_path, GOOD)
    seed(postgres, tmp_path, GOOD.replace("lang:en", "lang:de"))
    assert rules.find(books, "python").query == "#python lang:de"
    assert rules.find(books, "mine").query == "x"
    assert sorted(rules.due(books)) == ["mine", "python"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: {}", "expected a list"),
        ("rules: [3]", "rule 1: expected fields"),
        ("rules: [{name: A B, query: x}]", "name"),
        ("rules: [{name: a}]", "either query or accounts"),
        ("rules: [{name: a, query: x, accounts: [b]}]", "either query or accounts"),
        ("rules: [{name: a, query: x, colour: red}]", "unknown field 'colour'"),
        ("rules: [{name: a, query: ''}]", "query"),
        (f"rules: [{{name: a, query: {'x' * 513}}}]", "query"),
        ("rules: [{name: a, accounts: [no one]}]", "'no one' is no account name"),
        ("rules: [{name: a, query: x, interval_seconds: 0}]", "interval_seconds"),
        ("rules: [{name: a, query: x, interval_seconds: -5}]", "interval_seconds"),
        ("rules: [{name: a, query: x, enabled: maybe}]", "enabled"),
        ("rules: [{name: a, query: x}, {name: a, query: y}]", "unique"),
        ("rules: [", "rules.yaml"),
    ],
)
def test_a_bad_file_is_refused_whole_and_the_field_named(
    postgres: Any, books: Any, tmp_path: Path, text: str, told: str
) -> None:
    """Nothing of a file with a mistake is taken."""
    with pytest.raises(rules.BadRules, match=told):
        seed(postgres, tmp_path, text)
    assert books.execute("select count(*) from pipeline.rules").fetchone() == (0,)


def test_a_leased_rule_is_not_due_and_refuses_a_second_holder(
    postgres: Any, books: Any, tmp_path: Path
) -> None:
    """One run polls a rule; afterwards it is due again after its interval."""
    seed(postgres, tmp_path, GOOD)
    with rules.lease(books, "python", "one"):
        assert rules.due(books) == []
        with pytest.raises(rules.LeaseHeld, match="python"), rules.lease(books, "python", "two"):
            pass
    assert rules.due(books) == []
    books.execute("update pipeline.rules set next_due_at = next_due_at - interval '31 seconds'")
    assert rules.due(books) == ["python"]


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_told(
    postgres: Any, books: Any, tmp_path: Path
) -> None:
    """A run that was frozen learns it before it writes."""
    seed(postgres, tmp_path, GOOD)
    with pytest.raises(rules.LeaseHeld), rules.lease(books, "python", "one") as frozen:
        books.execute("update pipeline.rules set leased_until = now() - interval '1 second'")
        with rules.lease(books, "python", "two"):
            frozen.extend()


class Waits(Exception):
    """A rate limit is waited for."""

    skip_task = True


def test_a_failed_poll_leaves_its_error_and_a_rate_limit_its_reset(
    postgres: Any, books: Any, tmp_path: Path
) -> None:
    """The next good poll clears the error."""
    seed(postgres, tmp_path, GOOD)
    look = "select last_error, next_due_at from pipeline.rules where name = 'python'"
    with pytest.raises(RuntimeError), rules.lease(books, "python", "one"):
        raise RuntimeError("X said no\x00")
    assert books.execute(look).fetchone()[0] == "RuntimeError: X said no"
    reset = datetime.now(UTC) + timedelta(minutes=9)
    with pytest.raises(Waits), rules.lease(books, "python", "one") as lease:
        lease.give_back_at(reset)
        raise Waits
    assert books.execute(look).fetchone() == (None, reset)
