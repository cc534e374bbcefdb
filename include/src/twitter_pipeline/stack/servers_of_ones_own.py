"""What `up` does to its embedded PostgreSQL, for servers that somebody else runs: containers, managed databases."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from twitter_pipeline.collection.rules import BadRules, seed
from twitter_pipeline.settings import Settings
from twitter_pipeline.stack import postgresql, x_source
from twitter_pipeline.stack.servers import StackError
from twitter_pipeline.stack.topics import METADATA_DSN
from twitter_pipeline.warehouse.migrations import MigrationRefused, migrate
from twitter_pipeline.warehouse.search import fill_for

SUPERUSER_DSN = "PIPELINE_POSTGRES_SUPERUSER_DSN"
FILL_SECONDS = 30.0
ROLES = {
    "pipeline_migrator": "postgres_migrator_dsn",
    "pipeline_loader": "postgres_dsn",
    "pipeline_reader": "postgres_reader_dsn",
}


def prepare(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Make roles and databases where a superuser is given, migrate, seed the rules; yields what was done.

    Raises StackError before anything is changed when the X in use needs rules, a token or a budget that miss.
    """
    x = x_source.choose(settings)
    yield f"X API: {x.url} ({x.why})"
    if superuser_dsn := environment.get(SUPERUSER_DSN):
        yield from _create(settings, superuser_dsn, environment.get(METADATA_DSN))
    applied, changed = bring_schema(
        settings.need("postgres_migrator_dsn"), settings.need("postgres_dsn"), x.rules
    )
    yield f"tables: {', '.join(applied) or 'up to date'}"
    yield f"rules: {changed} new or changed of {x.rules.name}"


def bring_schema(migrator_dsn: str, loader_dsn: str, rules: Path) -> tuple[list[str], int]:
    """Migrate, seed, and make tweets of an older version searchable, for half a minute at most.

    Returns the names of what was applied and how many rules were new or changed. What is left to fill is found more
    slowly until the next start or `twitter-pipeline search-index fill`.
    """
    try:
        brought = migrate(migrator_dsn), seed(loader_dsn, rules)
        fill_for(loader_dsn, FILL_SECONDS)
        return brought
    except (BadRules, MigrationRefused) as error:
        raise StackError(str(error)) from None
    except psycopg.OperationalError as error:
        raise StackError(f"PostgreSQL: {str(error).strip().splitlines()[0]}") from None


def _create(settings: Settings, superuser_dsn: str, metadata_dsn: str | None) -> Iterator[str]:
    """The roles that the DSNs name, with their passwords, and the databases."""
    try:
        superuser = psycopg.connect(superuser_dsn, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise StackError(f"{SUPERUSER_DSN}: {str(error).strip().splitlines()[0]}") from None
    with superuser:
        database = "tweets"
        for role, name in ROLES.items():
            address = conninfo_to_dict(settings.need(name))
            if address.get("user") != role:
                raise StackError(f"the DSN of {role} names the user {address.get('user')!r}")
            postgresql.create_role(superuser, role, str(address.get("password", "")))
            database = str(address["dbname"])
        postgresql.create_tweets_database(superuser, database)
        yield f"database {database} and its roles"
        if metadata_dsn:
            address = conninfo_to_dict(metadata_dsn)
            postgresql.create_role(superuser, str(address["user"]), str(address.get("password", "")))
            postgresql.create_database(superuser, str(address["dbname"]), str(address["user"]))
            yield f"database {address['dbname']}"
