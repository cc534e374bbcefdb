"""The schema comes about by forward-only migrations, and each role may do what it is for."""

from typing import Any

import psycopg
import pytest

from twitter_pipeline.warehouse import migrations


def test_migrating_again_applies_nothing(postgres: Any) -> None:
    """The ledger knows what was done."""
    assert migrations.migrate(postgres.migrator_dsn) == []
    with psycopg.connect(postgres.dsn) as connection:
        assert migrations.pending(connection) == []


def test_an_edited_migration_is_refused(postgres: Any) -> None:
    """What was applied is history."""
    with psycopg.connect(postgres.migrator_dsn) as owner:
        owner.execute("update pipeline.migrations set sha256 = 'other' where name = '0001_books'")
    with pytest.raises(migrations.MigrationRefused, match="0001_books"):
        migrations.migrate(postgres.migrator_dsn)


def test_a_newer_database_is_refused(postgres: Any) -> None:
    """Older code must not work on tables that it does not know."""
    with psycopg.connect(postgres.migrator_dsn) as owner:
        owner.execute("insert into pipeline.migrations (name, sha256) values ('9999_future', 'x')")
    with pytest.raises(migrations.MigrationRefused, match="9999_future"):
        migrations.migrate(postgres.migrator_dsn)


def test_a_migration_that_fails_half_way_leaves_the_old_schema(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old or new, never between; mended, it applies."""
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
