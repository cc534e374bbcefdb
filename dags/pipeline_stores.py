"""The pipeline's stores, opened from Airflow's connections: what tasks hand to the functions of the domain."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from airflow.providers.mongo.hooks.mongo import MongoHook
from airflow.sdk import BaseHook
from psycopg.conninfo import make_conninfo
from pymongo.database import Database
from sqlalchemy import URL

from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook
from pipeline_assets import KAFKA, POSTGRES, SETTINGS
from twitter_pipeline.housekeeping.airflow_history import AirflowDatabase
from twitter_pipeline.metrics.statsd import Metrics


@contextmanager
def warehouse() -> Iterator[psycopg.Connection[Any]]:
    """PostgreSQL by connection pipeline_postgres, in autocommit mode; its extra goes to libpq."""
    found = BaseHook.get_connection(POSTGRES)
    conninfo = make_conninfo(
        host=found.host,
        port=found.port,
        dbname=found.schema,
        user=found.login,
        password=found.password,
        connect_timeout=10,
        application_name="tweet-pipeline",
        **found.extra_dejson,
    )
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


@contextmanager
def raw_store() -> Iterator[Database[dict[str, Any]]]:
    """The MongoDB database of raw tweets by connection pipeline_mongo."""
    with MongoHook("pipeline_mongo").get_conn() as client:
        yield client[SETTINGS.mongo_database]


@contextmanager
def reader() -> Iterator[psycopg.Connection[Any]]:
    """PostgreSQL as the role that only reads, in autocommit mode, without a limit on how long a query may take."""
    with psycopg.connect(
        SETTINGS.need("postgres_reader_dsn"),
        autocommit=True,
        connect_timeout=10,
        application_name="tweet-pipeline",
        options="-c statement_timeout=0",
    ) as connection:
        yield connection


def airflow_database() -> AirflowDatabase:
    """Airflow's own database by connection airflow_metadata; its extra goes to libpq."""
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
    """Where metrics go by PIPELINE_STATSD; nowhere without it."""
    return Metrics(SETTINGS.statsd)


def kafka() -> dict[str, Any]:
    """librdkafka configuration by connection pipeline_kafka."""
    return KafkaConfigurationHook(KAFKA).configuration()
