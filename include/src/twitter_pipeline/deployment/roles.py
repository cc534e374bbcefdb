"""PostgreSQL roles and databases: who may log in, who owns what, and how many resources people's queries may use."""

import contextlib

import psycopg
from psycopg import sql

PIPELINE_ROLES = ("pipeline_migrator", "pipeline_loader", "pipeline_reader")


ROLE_LIMITS = {
    "pipeline_reader": {
        "statement_timeout": "5min",
        "lock_timeout": "30s",
        "idle_in_transaction_session_timeout": "10min",
        "temp_file_limit": "4GB",  # only a superuser may set it
    }
}
"""Limits for people's queries on the server that the pipeline loads into; a session may change all but the last."""


def create_role(superuser: psycopg.Connection, role: str, password: str) -> None:
    """Create a login role or set an existing one's password, and set its limits; the connection must autocommit."""
    exists = superuser.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None
    verb = sql.SQL("ALTER" if exists else "CREATE")
    superuser.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(password))
    )
    for name, limit in ROLE_LIMITS.get(role, {}).items():
        statement = sql.SQL("ALTER ROLE {} SET {} = {}")
        # the administrator of a managed server may be able to create roles but not to set this
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            superuser.execute(
                statement.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(limit))
            )


def create_database(
    superuser: psycopg.Connection, database: str, owner: str, template: str | None = None
) -> bool:
    """Create a database that only its owner and granted roles can connect to; returns False if it existed."""
    if superuser.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone() is not None:
        return False
    name = sql.Identifier(database)
    source = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
    superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}{}").format(name, sql.Identifier(owner), source))
    superuser.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    return True


def create_tweets_database(superuser: psycopg.Connection, database: str, template: str | None = None) -> None:
    """Create the tweets' database, owned by pipeline_migrator; loader and reader may connect to it."""
    create_database(superuser, database, "pipeline_migrator", template)
    superuser.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO pipeline_reader").format(sql.Identifier(database))
    )
    superuser.execute(
        sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO pipeline_loader").format(sql.Identifier(database))
    )
