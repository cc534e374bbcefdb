"""Real servers for the tests, each started once per session on a free port and handed out fresh per test.

- `postgres`: a database of its own, copied from a template with the roles and the schema
- `mongo`: a database of its own on SecantusDB, with authentication
- `kafka`: a broker, once per kind: Tansu everywhere, Apache Kafka where Java and Maven are
- `sns`: an SNS topic of its own on moto
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from pymongo import MongoClient

from support.alert_topic import AlertTopic
from support.brokers import BROKERS, OWN_BROKERS, Broker, running_broker
from support.databases import TEMPLATE, RawStore, TweetsDatabase, create_migrated, tweets_database
from support.names import fresh
from support.recordings import OPENAPI, RECORDINGS, WITHOUT_OPENAPI, WITHOUT_RECORDINGS, existing
from twitter_pipeline.deployment import alert_topics
from twitter_pipeline.stack import moto_sns
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, free_port

# how long an example takes says more about the machine than about the code
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of answers recorded from X, or a skip that says so."""
    return existing(RECORDINGS, WITHOUT_RECORDINGS)


@pytest.fixture(scope="session")
def openapi() -> Path:
    """The folder of X's own OpenAPI documents, or a skip that says so."""
    return existing(OPENAPI, WITHOUT_OPENAPI)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """PostgreSQL with the pipeline's roles and a migrated template; never kill it, start one of your own."""
    folder = tmp_path_factory.mktemp("postgres")
    server = PostgreSQL(folder / "data", free_port(), "superuser", durable=False)
    with RunningServer(server, folder / "log"):
        create_migrated(server, TEMPLATE)
        yield server


@pytest.fixture
def postgres(postgres_server: PostgreSQL) -> Iterator[TweetsDatabase]:
    """A fresh, migrated tweets database for this test."""
    with tweets_database(postgres_server) as database:
        yield database


@pytest.fixture(scope="module")
def module_postgres(postgres_server: PostgreSQL) -> Iterator[TweetsDatabase]:
    """A fresh, migrated tweets database for this module's tests together."""
    with tweets_database(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecantusDB]:
    """SecantusDB with authentication; never kill it, start one of your own."""
    folder = tmp_path_factory.mktemp("mongo")
    server = SecantusDB(folder / "data", free_port(), "pipeline", "pipeline")
    with RunningServer(server, folder / "log"):
        yield server


@pytest.fixture
def mongo(mongo_server: SecantusDB) -> Iterator[RawStore]:
    """A database of this test's own."""
    name = fresh("tweets")
    with MongoClient[dict[str, Any]](mongo_server.uri, serverSelectionTimeoutMS=10_000) as client:
        yield RawStore(mongo_server.uri, name, client)
        client.drop_database(name)


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Broker]]:
    """A broker of each kind that is asked for, started when it is and kept to the end of the session."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def broker(kind: str) -> Broker:
            return stack.enter_context(running_broker(kind, tmp_path_factory.mktemp("kafka")))

        yield broker


@pytest.fixture(scope="session", params=BROKERS)
def kafka(request: pytest.FixtureRequest, brokers: Callable[[str], Broker]) -> Broker:
    """A broker, once per kind, shared by the session: take a topic of your own by `create_topic`."""
    return brokers(request.param)


@pytest.fixture(params=OWN_BROKERS)
def own_kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A broker for this test alone, to be killed, frozen and wiped through `running`."""
    with running_broker(request.param, tmp_path) as broker:
        yield broker


@pytest.fixture(scope="session")
def sns_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moto_sns.MotoSns]:
    folder = tmp_path_factory.mktemp("sns")
    server = moto_sns.MotoSns(free_port())
    with RunningServer(server, folder / "log"):
        yield server


@pytest.fixture
def sns(sns_server: moto_sns.MotoSns, monkeypatch: pytest.MonkeyPatch) -> AlertTopic:
    """A topic of this test's own; the credentials that moto takes are in the environment."""
    for name, value in moto_sns.CREDENTIALS.items():
        monkeypatch.setitem(os.environ, name, value)
    return AlertTopic(
        sns_server.url, alert_topics.create_topic(moto_sns.client(sns_server.url), fresh("alerts"))
    )
