"""Roles, databases, tables and rules on an external PostgreSQL; the embedded one gets its tables here too."""

from collections.abc import Iterator, Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from twitter_pipeline.collection.budget import is_local
from twitter_pipeline.collection.rules import BadRules, count, seed
from twitter_pipeline.collection.seeding import brought_by
from twitter_pipeline.deployment import roles, x_endpoint
from twitter_pipeline.deployment.errors import DeploymentError
from twitter_pipeline.deployment.x_endpoint import XEndpoint
from twitter_pipeline.settings import Settings
from twitter_pipeline.warehouse.migrations import MigrationRefused, migrate
from twitter_pipeline.warehouse.search_index import fill_for

WARNING = "warning: "
SUPERUSER_DSN = "PIPELINE_POSTGRES_SUPERUSER_DSN"
METADATA_DSN = "PIPELINE_METADATA_DSN"  # Airflow's own database
FILL_SECONDS = 30.0
# An earlier version shipped its rules in another folder. Rules are tied to the file they came from: without this they
# would stay active alongside the user's own file, against the real X.
MOVED_SAMPLE = "update pipeline.rules set source_file = %(now)s where source_file = %(before)s"
DSN_SETTINGS = {
    "pipeline_migrator": "postgres_migrator_dsn",
    "pipeline_loader": "postgres_dsn",
    "pipeline_reader": "postgres_reader_dsn",
}


def prepare(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Create roles and databases if a superuser DSN is set, migrate, and seed the rules; yields what was done.

    Raises DeploymentError before anything is changed if the X API in use needs rules, a token or a budget that is missing.
    """
    x = x_endpoint.choose(settings, rules_may_be_missing=True)
    yield f"X API: {x.url} ({x.why})"
    if superuser_dsn := environment.get(SUPERUSER_DSN):
        yield from _create(settings, superuser_dsn, environment.get(METADATA_DSN))
    yield from bring_schema(settings.need("postgres_migrator_dsn"), settings.need("postgres_dsn"), x)


def bring_schema(migrator_dsn: str, loader_dsn: str, x: XEndpoint) -> Iterator[str]:
    """Migrate, seed the rules, and make tweets from an older version searchable; yields what was done, and warnings.

    An unusable rules file does not stop collection: the previous rules stay in force, and a warning says why. Raises
    DeploymentError if there are no previous rules. Filling takes half a minute at most; searching the rest is slower until
    the next start or `twitter-pipeline search-index fill`.
    """
    try:
        yield f"tables: {', '.join(migrate(migrator_dsn)) or 'up to date'}"
        yield _seed(loader_dsn, x)
        fill_for(loader_dsn, FILL_SECONDS)
    except (BadRules, MigrationRefused) as error:
        raise DeploymentError(str(error)) from None
    except psycopg.OperationalError as error:
        raise DeploymentError(f"PostgreSQL: {str(error).strip().splitlines()[0]}") from None


def _seed(loader_dsn: str, x: XEndpoint) -> str:
    """Seed the user's rules; until there are any, the shipped ones."""
    sample = x_endpoint.sample_rules()
    before = sample.parents[1] / "stack" / sample.name
    with psycopg.connect(loader_dsn) as connection:
        connection.execute(MOVED_SAMPLE, {"now": str(sample.absolute()), "before": str(before.absolute())})
    try:
        seeded = seed(loader_dsn, x.rules, instead_of=[sample])
    except BadRules as bad:
        with psycopg.connect(loader_dsn) as connection:
            going_on, of_sample = count(connection), brought_by(connection, sample)
        if not going_on or (of_sample and not (x.is_simulator or is_local(x.url))):
            raise  # the shipped rules would be used against the real X
        return f"{WARNING}{bad}; the {going_on} previous rules stay in force"
    left = f", {len(seeded.left)} stopped: {', '.join(seeded.left)}" if seeded.left else ""
    return f"rules: {seeded.changed} new or changed in {x.rules.name}{left}"


def _create(settings: Settings, superuser_dsn: str, metadata_dsn: str | None) -> Iterator[str]:
    """Create the roles named in the DSNs, with their passwords, and the databases."""
    try:
        superuser = psycopg.connect(superuser_dsn, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise DeploymentError(f"{SUPERUSER_DSN}: {str(error).strip().splitlines()[0]}") from None
    with superuser:
        database = "tweets"
        for role, name in DSN_SETTINGS.items():
            address = conninfo_to_dict(settings.need(name))
            if address.get("user") != role:
                raise DeploymentError(f"the DSN of {role} names the user {address.get('user')!r}")
            roles.create_role(superuser, role, str(address.get("password", "")))
            database = str(address["dbname"])
        roles.create_tweets_database(superuser, database)
        yield f"database {database} and its roles"
        if metadata_dsn:
            address = conninfo_to_dict(metadata_dsn)
            roles.create_role(superuser, str(address["user"]), str(address.get("password", "")))
            roles.create_database(superuser, str(address["dbname"]), str(address["user"]))
            yield f"database {address['dbname']}"
