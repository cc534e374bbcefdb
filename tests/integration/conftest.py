"""The way of a tweet over the servers of a test, and the books of the warehouse."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support.archive_pipeline import Pipeline
from support.way import Way


@pytest.fixture
def make_way(mongo: Any, postgres: Any) -> Iterator[Callable[..., Way]]:
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:

        def make(bootstrap: str, topic: str) -> Way:
            kafka = {"bootstrap.servers": bootstrap}
            return Way(kafka, topic, mongo.database, warehouse, postgres.dsn, mongo.uri)

        yield make


@pytest.fixture
def way(kafka: Any, make_way: Callable[..., Way]) -> Way:
    """The way over a topic of this test's own, on each broker."""
    return make_way(kafka.bootstrap, kafka.create_topic(partitions=2))


@pytest.fixture
def pipeline(kafka: Any, mongo: Any, postgres: Any) -> Iterator[Pipeline]:
    """The steps from an archive to its rows, over a topic of this test's own, on each broker."""
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:
        made = Pipeline(kafka, mongo, warehouse)
        yield made
        made.sink.close()


@pytest.fixture
def connection(postgres: Any) -> Iterator[psycopg.Connection[Any]]:
    """The warehouse as the data path writes it, each statement a transaction."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield connection
