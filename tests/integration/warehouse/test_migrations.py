"""Forward-only migrations create the schema, and each role may do what it is for."""

from typing import Any

import psycopg
import pytest

from support.older_database import older_database
from twitter_pipeline.collection import rules
from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.warehouse import migrations


def test_migrating_again_applies_nothing(postgres: Any) -> None:
    """The ledger records what was applied."""
    assert migrations.migrate(postgres.migrator_dsn) == []
    with psycopg.connect(postgres.dsn) as connection:
        assert migrations.pending(connection) == []


def test_an_edited_migration_is_refused(postgres: Any) -> None:
    """An applied migration never changes."""
    with psycopg.connect(postgres.migrator_dsn) as owner:
        owner.execute("update pipeline.migrations set sha256 = 'other' where name = '0001_books'")
    with pytest.raises(migrations.MigrationRefused, match="0001_books"):
        migrations.migrate(postgres.migrator_dsn)


def test_a_newer_database_is_refused(postgres: Any) -> None:
    """Older code must not use tables that it does not know."""
    with psycopg.connect(postgres.migrator_dsn) as owner:
        owner.execute("insert into pipeline.migrations (name, sha256) values ('9999_future', 'x')")
    with pytest.raises(migrations.MigrationRefused, match="9999_future"):
        migrations.migrate(postgres.migrator_dsn)


def test_a_migration_that_fails_half_way_leaves_the_old_schema(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old or new, never between; once fixed, it applies."""
    known = migrations.available()
    half = [*known, ("9000_half", "create table twitter.half (id bigint); select 1 / 0;")]
    monkeypatch.setattr(migrations, "available", lambda: half)
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrations.migrate(postgres.migrator_dsn)
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("select to_regclass('twitter.half')").fetchone() == (None,)
    monkeypatch.setattr(
        migrations, "available", lambda: [*known, ("9000_half", "create table twitter.half (id bigint)")]
    )
    assert migrations.migrate(postgres.migrator_dsn) == ["9000_half"]


RULES = """
insert into pipeline.rules (name, query, accounts, page_size, first_poll_days, is_enabled, parked_at, parked_reason,
    leased_by, leased_until, next_due_at, source, source_file, budget_usd) values
('tea', 'tea OR "green tea" lang:en', null, 50, 7, true, null, null, 'run/0', '2026-01-01Z', '2026-01-02Z', 'file', '/r', 5),
('news', null, '{alice,bob}', 100, 365, true, null, null, null, null, '2026-01-03Z', 'command', null, null),
('bad', 'fro:anna', null, 100, 1, true, '2026-01-04Z', 'no such operator', null, null, '2026-01-05Z', null, null, null);
insert into pipeline.checkpoints (rule, subject, since_id, poll_until_id, poll_newest_id) values
('tea', 'search tea OR "green tea" lang:en', 10, null, null), ('news', '7', null, 20, 30);
"""
KEPT = """
select name, page_size, first_poll_days, is_enabled, parked_at, parked_reason, leased_by, leased_until, next_due_at,
    source, source_file, budget_usd, subject, since_id, poll_until_id, poll_newest_id
from pipeline.rules left join pipeline.checkpoints on rule = name order by name
"""


def test_rules_of_before_there_were_kinds_are_the_same_rules_after(postgres_server: PostgreSQL) -> None:
    """What they ask, their checkpoints, leases, budgets and refusals; each goes on under the subject that it had."""
    with (
        older_database(postgres_server, "0012") as database,
        psycopg.connect(database.dsn, autocommit=True) as connection,
    ):
        connection.execute(RULES.encode())
        kept = connection.execute(KEPT.encode()).fetchall()
        assert "0012_rule_kinds" in migrations.migrate(database.migrator_dsn)
        assert connection.execute(KEPT.encode()).fetchall() == kept
        found = {name: rules.find(connection, name) for name in ("tea", "news", "bad")}
        subjects = {
            target.subject
            for rule in found.values()
            for target in rule.behaviour.targets(rule.spec, [Account("alice", 7)])
        }
        unparked = rules.unpark(connection, "bad")
    assert {name: (rule.kind, rule.spec) for name, rule in found.items()} == {
        "tea": ("search", {"query": 'tea OR "green tea" lang:en'}),
        "news": ("timeline", {"accounts": ["alice", "bob"]}),
        "bad": ("search", {"query": "fro:anna"}),
    }
    assert {'search tea OR "green tea" lang:en', "7"} <= subjects
    assert unparked


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("dsn", "create table twitter.mine (id bigint)"),
        ("dsn", "drop table twitter.tweets"),
        ("dsn", "truncate twitter.tweets"),
        ("reader_dsn", "insert into twitter.users (id) values (1)"),
        ("reader_dsn", "delete from pipeline.rules"),
        ("reader_dsn", "create table public.mine (id bigint)"),
    ],
)
def test_the_loader_changes_no_table_and_the_reader_no_row(postgres: Any, role: str, statement: str) -> None:
    """Least privilege, by role."""
    with (
        psycopg.connect(getattr(postgres, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())
