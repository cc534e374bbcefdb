"""The pipeline's stores, opened with hooks from Airflow connections, for tasks to pass to the domain's functions.

Commands open the same stores from the settings. Each hook is imported only by the tasks that open its store.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from airflow.sdk import BaseHook
from sqlalchemy import URL

from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook
from pipeline_assets import KAFKA, POSTGRES, SETTINGS
from twitter_pipeline.housekeeping.airflow_history import AirflowDatabase
from twitter_pipeline.metrics.statsd import Metrics

if TYPE_CHECKING:
    from pymongo.database import Database

OURS = {"connect_timeout": 10, "application_name": "tweet-pipeline"}


@contextmanager
def warehouse() -> Iterator[psycopg.Connection[Any]]:
    """PostgreSQL through connection pipeline_postgres, in autocommit mode; its extra goes to libpq."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    hook = PostgresHook(POSTGRES)
    # the hook passes the extra to the driver and has no other way to set a timeout: by default libpq waits forever
    hook.connection.extra = json.dumps(OURS | hook.connection.extra_dejson)
    with hook.get_conn() as connection:
        connection.autocommit = True
        yield connection


@contextmanager
def raw_store() -> Iterator["Database[dict[str, Any]]"]:
    """The MongoDB database of raw tweets, through connection pipeline_mongo."""
    from airflow.providers.mongo.hooks.mongo import MongoHook

    with MongoHook("pipeline_mongo").get_conn() as client:
        yield client[SETTINGS.mongo_database]


@contextmanager
def reader() -> Iterator[psycopg.Connection[Any]]:
    """PostgreSQL as the read-only role, in autocommit mode, without a limit on the duration of queries."""
    dsn = SETTINGS.need("postgres_reader_dsn")
    with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=0", **OURS) as connection:
        yield connection


def airflow_database() -> AirflowDatabase:
    """Airflow's own database, through connection airflow_metadata; its extra goes to libpq."""
    found = BaseHook.get_connection("airflow_metadata")
    address = URL.create(
        "postgresql+psycopg2",
        found.login,
        found.password,
        found.host,
        found.port,
        found.schema,
        found.extra_dejson,
    )
    return AirflowDatabase(address.render_as_string(hide_password=False))


def metrics() -> Metrics:
    """The client that sends metrics to PIPELINE_STATSD; without that setting they go nowhere."""
    return Metrics(SETTINGS.statsd)


def kafka() -> dict[str, Any]:
    """librdkafka configuration from connection pipeline_kafka."""
    return KafkaConfigurationHook(KAFKA).configuration()
