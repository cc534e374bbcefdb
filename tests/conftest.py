"""Real servers for the tests, each started once per session on a free port and handed out fresh per test.

- `postgres`: a database of its own, copied from a template with the roles and the schema
- `mongo`: a database of its own on SecantusDB, with authentication
- `kafka`: a broker, once per kind: Tansu everywhere, Apache Kafka where Java and Maven are
- `sns`: an SNS topic of its own on moto
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database

from twitter_pipeline.deployment import alert_topics, roles
from twitter_pipeline.stack import apache_kafka, moto_sns
from twitter_pipeline.stack.apache_kafka import ApacheKafka
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, free_port
from twitter_pipeline.stack.tansu import Tansu

# X's terms forbid to publish them with this repository
BESIDE = Path(__file__).parents[2] / "shared"
RECORDINGS = Path(os.environ.get("X_RECORDINGS_FOLDER", BESIDE / "recordings"))
OPENAPI = Path(os.environ.get("X_OPENAPI_FOLDER", BESIDE / "openapi"))
WITHOUT_RECORDINGS = (
    "answers recorded from X may not be published and are not in this repository: copy sns-sdks/python-twitter "
    "(testdata), tweepy/tweepy (cassettes) or recordings of your own, as JSON, into a folder of that name each, and set "
    "X_RECORDINGS_FOLDER to where these folders are"
)
WITHOUT_OPENAPI = (
    "X's OpenAPI documents are not in this repository: save https://api.x.com/2/openapi.json under the names in "
    "tests/agreement/test_simulator_openapi.py and set X_OPENAPI_FOLDER to their folder"
)
TEMPLATE = "tweets_template"

# how long an example takes says more about the machine than about the code
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def _fresh(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def _existing(folder: Path, otherwise: str) -> Path:
    if not folder.is_dir():
        pytest.skip(otherwise)
    return folder


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of answers recorded from X, or a skip that says so."""
    return _existing(RECORDINGS, WITHOUT_RECORDINGS)


@pytest.fixture(scope="session")
def openapi() -> Path:
    """The folder of X's own OpenAPI documents, or a skip that says so."""
    return _existing(OPENAPI, WITHOUT_OPENAPI)


@dataclass(frozen=True)
class TweetsDatabase:
    """One database of a test: the same server and name for each of the pipeline's roles."""

    server: PostgreSQL
    name: str

    def _dsn(self, role: str) -> str:
        return self.server.dsn(self.name, role, role)

    @property
    def dsn(self) -> str:
        """As pipeline_loader, the role of the data path."""
        return self._dsn("pipeline_loader")

    @property
    def migrator_dsn(self) -> str:
        return self._dsn("pipeline_migrator")

    @property
    def reader_dsn(self) -> str:
        return self._dsn("pipeline_reader")

    @property
    def superuser_dsn(self) -> str:
        return self.server.superuser_dsn(self.name)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """PostgreSQL with the pipeline's roles and a migrated template; never kill it, start one of your own."""
    folder = tmp_path_factory.mktemp("postgres")
    server = PostgreSQL(folder / "data", free_port(), "superuser", durable=False)
    with RunningServer(server, folder / "log"):
        with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
            for role in roles.PIPELINE_ROLES:
                roles.create_role(superuser, role, role)
            roles.create_tweets_database(superuser, TEMPLATE)
        if importlib.util.find_spec("twitter_pipeline.warehouse.migrations") is not None:
            migrations = importlib.import_module("twitter_pipeline.warehouse.migrations")
            migrations.migrate(TweetsDatabase(server, TEMPLATE).migrator_dsn)
        yield server


@contextlib.contextmanager
def _tweets_database(server: PostgreSQL) -> Iterator[TweetsDatabase]:
    name = _fresh("tweets")
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
        roles.create_tweets_database(superuser, name, template=TEMPLATE)
    yield TweetsDatabase(server, name)
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgres(postgres_server: PostgreSQL) -> Iterator[TweetsDatabase]:
    """A fresh, migrated tweets database for this test."""
    with _tweets_database(postgres_server) as database:
        yield database


@pytest.fixture(scope="module")
def module_postgres(postgres_server: PostgreSQL) -> Iterator[TweetsDatabase]:
    """A fresh, migrated tweets database for this module's tests together."""
    with _tweets_database(postgres_server) as database:
        yield database


@dataclass(frozen=True)
class RawStore:
    """One MongoDB database of a test."""

    uri: str = field(repr=False)
    name: str
    client: MongoClient[dict[str, Any]] = field(repr=False)

    @property
    def database(self) -> Database[dict[str, Any]]:
        return self.client[self.name]


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
    name = _fresh("tweets")
    with MongoClient[dict[str, Any]](mongo_server.uri, serverSelectionTimeoutMS=10_000) as client:
        yield RawStore(mongo_server.uri, name, client)
        client.drop_database(name)


@dataclass(frozen=True)
class Broker:
    """A running broker; `kind` is "tansu" or "apache-kafka"."""

    kind: str
    bootstrap: str
    running: RunningServer = field(repr=False)

    def create_topic(self, prefix: str = "raw-tweets", partitions: int = 3) -> str:
        """Create a topic of a fresh name, and where its dead letters are announced; return the name."""
        name = _fresh(prefix)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics(
            [NewTopic(name, partitions, 1), NewTopic(f"{name}.dlq", 1, 1)]
        ).values():
            made.result(20)
        return name


BROKERS = [
    "tansu",
    pytest.param(
        "apache-kafka",
        marks=[
            pytest.mark.apache_kafka,
            pytest.mark.skipif(
                apache_kafka.missing() is not None,
                reason=f"Apache Kafka cannot run: {apache_kafka.missing()}",
            ),
        ],
    ),
]


@contextlib.contextmanager
def _running_broker(kind: str, folder: Path) -> Iterator[Broker]:
    brokers = {
        "tansu": lambda: Tansu(free_port()),
        "apache-kafka": lambda: ApacheKafka(folder / "data", free_port(), free_port()),
    }
    server = brokers[kind]()
    with RunningServer(server, folder / "log") as running:
        yield Broker(kind, server.bootstrap, running)
        running.kill()  # nobody reads this log again: no need for an orderly end of seconds


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Broker]]:
    """A broker of each kind that is asked for, started when it is and kept to the end of the session."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def broker(kind: str) -> Broker:
            return stack.enter_context(_running_broker(kind, tmp_path_factory.mktemp("kafka")))

        yield broker


@pytest.fixture(scope="session", params=BROKERS)
def kafka(request: pytest.FixtureRequest, brokers: Callable[[str], Broker]) -> Broker:
    """A broker, once per kind, shared by the session: take a topic of your own by `create_topic`."""
    return brokers(request.param)


OWN_BROKERS = [
    "tansu",
    # a start of its own for each test takes seconds: Apache Kafka is left to the long rest
    pytest.param("apache-kafka", marks=[*BROKERS[1].marks, pytest.mark.soak]),  # type: ignore[union-attr]
]


@pytest.fixture(params=OWN_BROKERS)
def own_kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A broker for this test alone, to be killed, frozen and wiped through `running`."""
    with _running_broker(request.param, tmp_path) as broker:
        yield broker


@pytest.fixture(scope="session")
def sns_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moto_sns.MotoSns]:
    folder = tmp_path_factory.mktemp("sns")
    server = moto_sns.MotoSns(free_port())
    with RunningServer(server, folder / "log"):
        yield server


@dataclass(frozen=True)
class AlertTopic:
    """An SNS topic of a test, and the moto server that holds it."""

    endpoint_url: str
    arn: str


@pytest.fixture
def sns(sns_server: moto_sns.MotoSns, monkeypatch: pytest.MonkeyPatch) -> AlertTopic:
    """A topic of this test's own; the credentials that moto takes are in the environment."""
    for name, value in moto_sns.CREDENTIALS.items():
        monkeypatch.setitem(os.environ, name, value)
    return AlertTopic(
        sns_server.url, alert_topics.create_topic(moto_sns.client(sns_server.url), _fresh("alerts"))
    )
