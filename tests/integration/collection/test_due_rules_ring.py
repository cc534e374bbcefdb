"""What the doorbell of tweet_extraction rings for."""

from typing import Any

import psycopg
import pytest

from support.rules import rule
from twitter_pipeline.collection import rules
from twitter_pipeline.collection.doorbell import DUE_RULES, hand_out
from twitter_pipeline.collection.lease import LeaseHeld, lease_rule


def ringing(connection: psycopg.Connection) -> list[str]:
    return [name for name, _ in connection.execute(DUE_RULES).fetchall()]


def test_only_rules_that_can_be_polled_now_ring(connection: psycopg.Connection) -> None:
    """Not rules that are disabled, parked, leased, or due later, such as one that waits for a rate limit."""
    rule(connection, "due")
    rule(connection, "off", is_enabled=False)
    rule(connection, "parked", parked_at="2026-01-01Z", parked_reason="X said no")
    rule(connection, "leased", leased_by="somebody", leased_until="2100-01-01Z")
    rule(connection, "later", next_due_at="2100-01-01Z")
    rule(connection, "abandoned", leased_by="somebody", leased_until="2026-01-01Z")
    assert ringing(connection) == ["abandoned", "due"]


def test_what_rings_is_what_the_run_finds(connection: psycopg.Connection) -> None:
    """A ring for a rule that the run does not list would start a run that does nothing."""
    for name in ("a", "b", "c"):
        rule(connection, name)
    rule(connection, "off", is_enabled=False)
    rule(connection, "leased", leased_by="somebody", leased_until="2100-01-01Z")
    assert ringing(connection) == rules.due(connection)


def test_each_time_that_a_rule_is_due_is_a_row_of_its_own(connection: psycopg.Connection) -> None:
    """So the doorbell rings once for each, even if the rule is due again before it looks."""
    rule(connection, "a")
    before = connection.execute(DUE_RULES).fetchall()
    with lease_rule(connection, "a", "run"):
        assert ringing(connection) == []
    connection.execute("update pipeline.rules set next_due_at = now() - interval '1 second'")
    after = connection.execute(DUE_RULES).fetchall()
    assert [row[0] for row in before + after] == ["a", "a"]
    assert before != after


def test_more_due_rules_than_a_task_maps_over_ring_in_turns(connection: psycopg.Connection) -> None:
    """At most a thousand at once, the longest waiting first."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec, next_due_at)"
        " select 'r' || n, 'search', '{\"query\": \"q\"}', timestamptz '2026-01-01Z' + n * interval '1 second' from generate_series(1, 1500) n"
    )
    names = ringing(connection)
    assert len(names) == 1000
    assert (names[0], names[-1]) == ("r1", "r1000")


def test_a_rule_is_handed_out_to_one_task_of_one_run(connection: psycopg.Connection) -> None:
    """A run that starts before that task has begun finds nothing, so nothing is requested and paid twice."""
    for name in ("b", "a"):
        rule(connection, name)
    rule(connection, "first", next_due_at="1960-01-01Z")
    assert hand_out(connection, "run") == ["first", "a", "b"]
    assert ringing(connection) == []
    assert hand_out(connection, "another") == []
    with pytest.raises(LeaseHeld), lease_rule(connection, "a", "another/0"):
        pass
    with lease_rule(connection, "a", "run/1"):
        assert connection.execute("select leased_by from pipeline.rules where name = 'a'").fetchone() == (
            "run/1",
        )


def test_a_rule_whose_task_never_begins_is_handed_out_again(connection: psycopg.Connection) -> None:
    """A run that died does not hold its rules for long."""
    rule(connection, "a")
    assert hand_out(connection, "dead", seconds=0) == ["a"]
    assert ringing(connection) == ["a"]
    assert hand_out(connection, "next") == ["a"]


def test_two_runs_that_ask_at_once_share_the_rules(connection: psycopg.Connection, postgres: Any) -> None:
    """Neither waits for, or takes, a rule that the other is about to take."""
    for name in ("a", "b"):
        rule(connection, name)
    with psycopg.connect(postgres.dsn) as slow:
        assert hand_out(slow, "slow") == ["a", "b"]
        rule(connection, "c")
        assert hand_out(connection, "quick") == ["c"]
    held = connection.execute("select name, leased_by from pipeline.rules order by 1").fetchall()
    assert held == [("a", "slow/0"), ("b", "slow/1"), ("c", "quick/0")]


def test_more_rules_than_a_task_maps_over_are_handed_out_in_turns(connection: psycopg.Connection) -> None:
    """No rule is left out."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) select 'r' || n, 'search', '{\"query\": \"q\"}' from generate_series(1, 1500) n"
    )
    turns = [hand_out(connection, "one"), hand_out(connection, "two"), hand_out(connection, "three")]
    assert [len(turn) for turn in turns] == [1000, 500, 0]
    assert len(set(turns[0] + turns[1])) == 1500
