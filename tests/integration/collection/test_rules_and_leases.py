"""Rules come from a file into a table, are due by their interval, and are polled by one run at a time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from twitter_pipeline.collection import rules
from twitter_pipeline.collection.lease import LeaseHeld, RuleStopped, RuleWaits, TurnEnded, lease_rule
from twitter_pipeline.collection.rule import NEEDS_ONE_KIND

GOOD = """
rules:
  - {name: python, query: "#python lang:en", interval_seconds: 30}
  - {name: newsroom, accounts: ["@Alice", bob], enabled: false}
"""
REMOVED = "is_enabled = false, removed_at = now()"


def seed(postgres: Any, tmp_path: Path, text: str) -> int:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return rules.seed(postgres.dsn, path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: {}", "expected a list"),
        ("rules: [3]", "rule 1: expected fields"),
        ("rules: [{name: A B, query: x}]", "name"),
        ("rules: [{name: a}]", NEEDS_ONE_KIND),
        ("rules: [{name: a, query: x, accounts: [b]}]", NEEDS_ONE_KIND),
        ("rules: [{name: a, query: x, colour: red}]", "unknown field 'colour'"),
        ("rules: [{name: a, query: ''}]", "query"),
        (f"rules: [{{name: a, query: {'x' * 513}}}]", "query"),
        ("rules: [{name: a, accounts: [no one]}]", "'no one' is not an account name"),
        ("rules: [{name: a, query: x, interval_seconds: 0}]", "interval_seconds"),
        ("rules: [{name: a, query: x, interval_seconds: -5}]", "interval_seconds"),
        ("rules: [{name: a, query: x, enabled: maybe}]", "enabled"),
        ("rules: [{name: a, query: x}, {name: a, query: y}]", "unique"),
        ("rules: [", "rules.yaml"),
    ],
)
def test_a_bad_file_is_refused_completely_and_the_field_named(
    postgres: Any, connection: Any, tmp_path: Path, text: str, told: str
) -> None:
    """Nothing is read from a file with a mistake."""
    with pytest.raises(rules.BadRules, match=told):
        seed(postgres, tmp_path, text)
    assert connection.execute("select count(*) from pipeline.rules").fetchone() == (0,)


def test_a_leased_rule_is_not_due_and_refuses_a_second_holder(
    postgres: Any, connection: Any, tmp_path: Path
) -> None:
    """One run polls a rule; afterwards it is due again after its interval."""
    seed(postgres, tmp_path, GOOD)
    with lease_rule(connection, "python", "one"):
        assert rules.due(connection) == []
        with pytest.raises(LeaseHeld, match="python"), lease_rule(connection, "python", "two"):
            pass
    assert rules.due(connection) == []
    connection.execute("update pipeline.rules set next_due_at = next_due_at - interval '31 seconds'")
    assert rules.due(connection) == ["python"]


def test_an_expired_lease_is_taken_over_and_its_former_holder_learns_it(
    postgres: Any, connection: Any, tmp_path: Path
) -> None:
    """A run that was frozen gets the error before it writes."""
    seed(postgres, tmp_path, GOOD)
    with pytest.raises(LeaseHeld), lease_rule(connection, "python", "one") as frozen:
        connection.execute("update pipeline.rules set leased_until = now() - interval '1 second'")
        with lease_rule(connection, "python", "two"):
            frozen.extend()


def test_a_failed_poll_leaves_its_error_and_a_rate_limit_its_reset(
    postgres: Any, connection: Any, tmp_path: Path
) -> None:
    """The next good poll clears the error."""
    seed(postgres, tmp_path, GOOD)
    look = "select last_error, next_due_at from pipeline.rules where name = 'python'"
    with pytest.raises(RuntimeError), lease_rule(connection, "python", "one"):
        raise RuntimeError("X said no\x00")
    assert connection.execute(look).fetchone()[0] == "RuntimeError: X said no"
    reset = datetime.now(UTC) + timedelta(minutes=9)
    with pytest.raises(RuleWaits), lease_rule(connection, "python", "one") as lease:
        lease.give_back_at(reset)
        raise RuleWaits("429")
    assert connection.execute(look).fetchone() == (None, reset)


@pytest.mark.parametrize("state", ["is_enabled = false", "parked_at = now(), parked_reason = 'no'", REMOVED])
def test_a_rule_that_is_not_to_be_polled_is_not_due_and_not_leased(connection: Any, state: str) -> None:
    """Disabled, parked or removed."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('a', 'search', '{\"query\": \"x\"}'), ('b', 'search', '{\"query\": \"x\"}')"
    )
    connection.execute(f"update pipeline.rules set {state} where name = 'a'")
    assert rules.due(connection) == ["b"]
    with pytest.raises(RuleStopped, match="rule 'a'"), lease_rule(connection, "a", "me"):
        pass
    assert connection.execute(
        "select count(*) from pipeline.rules where leased_by is not null"
    ).fetchone() == (0,)


def test_more_due_rules_than_a_mapped_task_takes_are_all_polled_eventually(connection: Any) -> None:
    """Of 1,025 due rules at most 1,000 are returned, and the others come first next time."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) select 'r' || n, 'search', '{\"query\": \"x\"}' from generate_series(1, 1025) n"
    )
    first = rules.due(connection)
    assert len(first) == len(set(first)) == 1000
    connection.execute(
        "update pipeline.rules set next_due_at = now() - interval '1 second' where name = any(%s)", (first,)
    )
    second = rules.due(connection)
    assert not set(second[:25]) & set(first)
    assert len(second) == 1000
    assert rules.due(connection, 10) == second[:10]


def test_the_longest_waiting_rule_comes_first(connection: Any) -> None:
    """By the time since it was due, not by its name or interval."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec, interval_seconds, next_due_at) values"
        " ('a', 'search', '{\"query\": \"x\"}', 1, now() - interval '1 minute'), ('b', 'search', '{\"query\": \"x\"}', 9, now() - interval '1 hour'),"
        " ('c', 'search', '{\"query\": \"x\"}', 1, now() - interval '1 day'), ('d', 'search', '{\"query\": \"x\"}', 1, now() + interval '1 minute')"
    )
    assert rules.due(connection) == ["c", "b", "a"]


def columns(connection: Any, *names: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(f"select {', '.join(names)} from pipeline.rules").fetchone()
    return row


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update pipeline.rules set is_enabled = false", "is disabled"),
        (
            "update pipeline.rules set parked_at = now(), parked_reason = 'no such operator'",
            "is parked: no such operator",
        ),
        (f"update pipeline.rules set {REMOVED}", "was removed"),
        ("delete from pipeline.rules", "is no longer in pipeline.rules"),
    ],
)
def test_a_rule_stopped_during_a_poll_sends_no_more_requests(connection: Any, change: str, why: str) -> None:
    """The run is skipped; what it has already read can still be recorded; the rule keeps its due time and last error."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec, last_error, last_error_at) values ('r', 'search', '{\"query\": \"x\"}', 'old', now())"
    )
    due_at = columns(connection, "next_due_at")
    with (
        pytest.raises(RuleStopped, match=f"^rule 'r' {why}$") as stopped,
        lease_rule(connection, "r", "me") as lease,
    ):
        lease.check()
        connection.execute(change)
        with pytest.raises(RuleStopped, match=why):
            lease.check()
        if "delete" not in change:
            lease.hold()
        lease.extend()
    assert isinstance(stopped.value, TurnEnded)
    if "delete" not in change:
        assert columns(connection, "next_due_at") == due_at
        assert columns(connection, "leased_by", "last_error", "last_polled_at") == (None, "old", None)


def test_a_run_that_lost_the_rule_learns_it_before_the_next_request(connection: Any) -> None:
    """A run that was frozen neither requests nor writes for a rule that another run polls."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    with pytest.raises(LeaseHeld), lease_rule(connection, "r", "frozen") as lease:
        connection.execute("update pipeline.rules set leased_by = 'another'")
        for ask in (lease.check, lease.hold):
            with pytest.raises(LeaseHeld):
                ask()
        lease.extend()
    assert columns(connection, "leased_by") == ("another",)


def test_last_polled_at_moves_only_when_something_was_read(connection: Any) -> None:
    """Not by a run that could not send or that failed, but by one that failed after a page."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    with lease_rule(connection, "r", "me"):
        pass
    with pytest.raises(RuntimeError), lease_rule(connection, "r", "me"):
        raise RuntimeError("503")
    assert columns(connection, "last_polled_at") == (None,)
    with pytest.raises(RuntimeError), lease_rule(connection, "r", "me") as lease:
        lease.note_read()
        raise RuntimeError("503 on the second page")
    (polled_at, error) = columns(connection, "last_polled_at", "last_error")
    assert polled_at is not None
    assert error == "RuntimeError: 503 on the second page"


@pytest.mark.parametrize(
    ("given", "due"),
    [
        (timedelta(minutes=9), timedelta(minutes=9)),
        (timedelta(days=-9), timedelta()),
        (timedelta(days=4000), timedelta(days=1)),
    ],
)
def test_a_rule_is_given_back_for_a_day_at_most(connection: Any, given: timedelta, due: timedelta) -> None:
    """A reset in the past means now, and one in the far future is a wrong header."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    with lease_rule(connection, "r", "me") as lease:
        lease.give_back_at(datetime.now(UTC) + given)
    (next_due_at,) = columns(connection, "next_due_at")
    assert abs(next_due_at - datetime.now(UTC) - due) < timedelta(seconds=30)


def test_the_failures_of_many_accounts_fit_into_one_error(connection: Any) -> None:
    """Each in brief, and how many did not fit."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    failures = [ValueError(f"account{n}: {'x' * 300}\n\x00\ud83d") for n in range(100)]
    with pytest.raises(ExceptionGroup), lease_rule(connection, "r", "me"):
        raise ExceptionGroup("100 of 100 accounts", failures)
    (error,) = columns(connection, "last_error")
    assert error.startswith("100 of 100 accounts: ValueError: account0: xxx")
    assert "ValueError: account5: xxx" in error
    assert error.endswith(" more")
    assert len(error) <= 2000
    named = ValueError("503\nof X")
    named.add_note("account alice")
    with pytest.raises(ExceptionGroup), lease_rule(connection, "r", "me"):
        raise ExceptionGroup("2 of 9 accounts", [named, ExceptionGroup("b", [OSError("2")])])
    assert columns(connection, "last_error") == (
        "2 of 9 accounts: account alice: ValueError: 503 of X; b: OSError: 2",
    )


def test_a_rule_that_x_refused_is_parked_with_its_reason_and_unparked_at_once(connection: Any) -> None:
    """It is not polled again until then, and its first refusal keeps its time."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec, interval_seconds) values ('r', 'search', '{\"query\": \"from:\"}', 86400)"
    )
    with pytest.raises(ValueError, match="no value"), lease_rule(connection, "r", "me") as lease:
        assert rules.park(connection, rules.find(connection, "r"), "X: 'from:' has no value\x00")
        with pytest.raises(RuleStopped):
            lease.check()
        raise ValueError("no value")
    assert rules.due(connection) == []
    (parked_at, reason) = columns(connection, "parked_at", "parked_reason")
    assert reason == "X: 'from:' has no value"
    assert rules.park(connection, rules.find(connection, "r"), "again")
    assert columns(connection, "parked_at") == (parked_at,)
    assert rules.unpark(connection, "r")
    assert rules.due(connection) == ["r"]
    assert columns(connection, "parked_at", "parked_reason", "last_error") == (None, None, None)
    assert not rules.unpark(connection, "r")
    with pytest.raises(LookupError, match="'unknown'"):
        rules.unpark(connection, "unknown")


@pytest.mark.parametrize(
    "edit",
    [
        'spec = \'{"query": "y"}\'',
        "kind = 'timeline', spec = '{\"accounts\": [\"a\"]}'",
        "page_size = 50",
        "overlap_seconds = 0",
    ],
)
def test_a_rule_that_was_edited_while_x_refused_it_is_not_parked(connection: Any, edit: str) -> None:
    """The refusal concerns only what was asked."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    asked = rules.find(connection, "r")
    connection.execute(f"update pipeline.rules set {edit}")
    assert not rules.park(connection, asked, "refused")
    assert rules.due(connection) == ["r"]


def test_settings_of_a_rule_are_found_as_they_were_written(
    postgres: Any, connection: Any, tmp_path: Path
) -> None:
    """Page size, reach, overlap and budget."""
    text = "rules: [{name: r, query: x, page_size: 10, first_poll_days: 2, overlap_seconds: 0, budget_usd: 0.25}]"
    seed(postgres, tmp_path, text)
    assert rules.find(connection, "r") == rules.Rule(
        "r", "search", {"query": "x"}, 60, True, 10, 2, 0, Decimal("0.25")
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "page_size = 9",
        "page_size = 101",
        "first_poll_days = 8",
        "kind = ''",
        "spec = '[]'",
        "spec = '{}'",
        'spec = \'{"query": ""}\'',
        "kind = 'timeline'",
        "kind = 'timeline', spec = '{\"accounts\": []}'",
        "overlap_seconds = -1",
        "budget_usd = 0",
        "parked_at = now()",
        "removed_at = now()",
        "source = 'file'",
        "source = 'x'",
        "source_file = '/x'",
    ],
)
def test_the_table_itself_refuses_an_impossible_rule(connection: Any, wrong: str) -> None:
    """Whatever writes it."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"update pipeline.rules set {wrong}")
