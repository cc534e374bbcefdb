"""Forward-only SQL migrations with a ledger.

Files are named `NNNN_subject.sql` and applied in that order, each in a transaction of its own together with
its ledger row: a schema is the old or the new one, never between. A file that was applied is history: editing
it is refused, a change is a new file. What tables and columns mean comes from the model afterwards. Applied by the launcher and by `twitter-pipeline migrate`, never by a Dag.
"""

import hashlib
from importlib import resources

import psycopg

from twitter_pipeline.warehouse.model import TABLES
from twitter_pipeline.warehouse.model.comments import describe

LEDGER = """
create schema if not exists pipeline;
create schema if not exists twitter;
create table if not exists pipeline.migrations (
    name        text primary key,
    sha256      text not null,
    applied_at  timestamptz not null default now()
);
"""
ADVISORY_LOCK = 0x7477_6565_7473  # "tweets": two migrators take turns


class MigrationRefused(RuntimeError):
    """The ledger and the files disagree; nothing was changed."""


def available() -> list[tuple[str, str]]:
    """The migrations of this version, in order: (name, SQL)."""
    files = (f for f in resources.files(__package__).iterdir() if f.name.endswith(".sql"))
    return [(f.name.removesuffix(".sql"), f.read_text()) for f in sorted(files, key=lambda f: f.name)]


def applied(connection: psycopg.Connection) -> dict[str, str]:
    """Name and SHA-256 of what the ledger holds; empty for a database without one. Never writes."""
    if connection.execute("select to_regclass('pipeline.migrations')").fetchone() == (None,):
        return {}
    return dict(connection.execute("select name, sha256 from pipeline.migrations").fetchall())


def pending(connection: psycopg.Connection) -> list[str]:
    """Names of the migrations that this version would still apply. Never writes."""
    done = applied(connection)
    return [name for name, _ in available() if name not in done]


def migrate(dsn: str) -> list[str]:
    """Bring the database to this version; returns the names of what was applied now.

    `dsn` belongs to the role that owns the schemas. Raises MigrationRefused when an applied file was edited
    or the database is newer than this code.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (ADVISORY_LOCK,))
        with connection.transaction():
            connection.execute(LEDGER)
        done, known = applied(connection), available()
        if unknown := sorted(done.keys() - {name for name, _ in known}):
            raise MigrationRefused(
                f"the database has migrations that this version does not know: {', '.join(unknown)}; install the newer version"
            )
        fresh = []
        for name, sql in known:
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if name not in done:
                with connection.transaction():
                    connection.execute(sql.encode())
                    connection.execute(
                        "insert into pipeline.migrations (name, sha256) values (%s, %s)", (name, digest)
                    )
                fresh.append(name)
            elif done[name] != digest:
                raise MigrationRefused(
                    f"migration {name} was applied with other contents; put the file back and add a new one"
                )
        with connection.transaction():
            describe(connection, TABLES)
        return fresh
