"""Turns of rules against a small X with scripted answers, with real tables and a sink that records."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from support import TESTS

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-collection-tests-"))
sys.path.append(str(TESTS.parent / "dags"))

from support.airflow_connections import postgres_connection
from support.sinks import RememberingSink
from support.turns import Turns
from support.x_server import SmallX


@pytest.fixture
def x() -> Iterator[SmallX]:
    small = SmallX()
    yield small
    small.close()


@pytest.fixture
def turns(x: SmallX, postgres: Any, mongo: Any) -> Iterator[Turns]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield Turns(x, connection, mongo.database, RememberingSink())


@pytest.fixture
def airflow_connections(postgres: Any, mongo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow connections to the servers of this test, as tasks read them."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_PIPELINE_POSTGRES", postgres_connection(postgres.dsn, keepalives_idle=33)
    )
    uri = urlsplit(mongo.uri)
    monkeypatch.setenv(
        "AIRFLOW_CONN_PIPELINE_MONGO",
        json.dumps(
            {
                "conn_type": "mongo",
                "host": uri.hostname,
                "port": uri.port,
                "login": uri.username,
                "password": uri.password,
                "schema": "admin",
                "extra": {"authSource": "admin", "directConnection": True},
            }
        ),
    )
