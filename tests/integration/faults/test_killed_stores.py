"""A store is killed during a drain, or refuses or drops a command: after the next run everything is complete."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from support.brokers import ON_TANSU
from support.databases import create_migrated
from support.envelopes import envelope
from support.oracle import Oracle, a_load
from support.striking import StrikableDrains
from support.way import Way, anew, drain_anew
from twitter_pipeline.deployment import roles
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, StackError, free_port, wait_until


class WithFailPoints(SecantusDB):
    """SecantusDB with the commands that inject faults."""

    def command(self) -> list[str]:
        return [*super().command(), "--enable-test-commands"]


@pytest.fixture(scope="module")
def own_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("own-mongo")
    server = WithFailPoints(folder / "data", free_port(), "pipeline", "pipeline")
    with RunningServer(server, folder / "log") as running:
        yield running


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A durable server with the pipeline's roles and one migrated database `tweets`."""
    folder = tmp_path_factory.mktemp("own-postgres")
    server = PostgreSQL(folder / "data", free_port(), "superuser")
    with RunningServer(server, folder / "log") as running:
        create_migrated(server, "tweets")
        yield running


def restart(running: RunningServer) -> None:
    """Start a killed server again; its children may need a moment to notice that they are orphans."""

    def started() -> bool:
        try:
            running.start()
        except StackError:
            return False
        return True

    running.kill()
    wait_until(started, 60, f"{running.server.name} after kill -9")


@pytest.fixture
def on_own_mongo(own_mongo: RunningServer, kafka: Any, postgres: Any, request: Any) -> Iterator[Way]:
    assert isinstance(own_mongo.server, SecantusDB)
    uri = own_mongo.server.uri
    with (
        MongoClient[Any](uri, serverSelectionTimeoutMS=5000, heartbeatFrequencyMS=500) as client,
        psycopg.connect(postgres.dsn, autocommit=True) as warehouse,
    ):
        raw = client[f"tweets_{postgres.name[-12:]}"]
        topic = kafka.create_topic(partitions=2)
        yield Way({"bootstrap.servers": kafka.bootstrap}, topic, raw, warehouse, postgres.dsn, uri)


def frozen_before(
    way: Way, stage: str, oracle: Oracle, strikable: StrikableDrains, kind: str, first: int = 1
) -> None:
    """Freeze a drain right before a step of a kind."""
    oracle.reset(landing=stage == "land")
    told = strikable.run(way, stage, first, "SIGSTOP", kind)
    assert told["state"] == "stopped", f"void: no step {kind!r} from number {first} on"


@ON_TANSU
@pytest.mark.parametrize(
    "wanted", [pytest.param("before MongoDB insert", marks=pytest.mark.soak), "after MongoDB insert"]
)
def test_mongodb_killed_under_a_landing_batch(
    wanted: str, on_own_mongo: Way, own_mongo: RunningServer, postgres: Any, strikable: StrikableDrains
):
    """Killed before or after it accepted the batch: the drain fails or continues, and the next run completes it."""
    way, oracle = on_own_mongo, Oracle(on_own_mongo, postgres.superuser_dsn)
    frozen_before(way, "land", oracle, strikable, wanted)
    restart(own_mongo)
    strikable.go_on()
    drain_anew(way)
    oracle.holds(f"MongoDB was killed {wanted}")


@pytest.fixture
def on_own_postgres(own_postgres: RunningServer, kafka: Any, mongo: Any) -> Iterator[Way]:
    assert isinstance(own_postgres.server, PostgreSQL)
    name = f"tweets_{mongo.name[-12:]}"
    with psycopg.connect(own_postgres.server.superuser_dsn(), autocommit=True) as superuser:
        roles.create_tweets_database(superuser, name, template="tweets")
    dsn = own_postgres.server.dsn(name, "pipeline_loader", "pipeline_loader")
    with psycopg.connect(dsn, autocommit=True) as warehouse:
        topic = kafka.create_topic(partitions=2)
        yield Way({"bootstrap.servers": kafka.bootstrap}, topic, mongo.database, warehouse, dsn, mongo.uri)


@ON_TANSU
@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        pytest.param("copy_to", 30, marks=pytest.mark.soak),
        pytest.param("_execute_gen", 80, marks=pytest.mark.soak),
        ("_exit_gen", 80),
    ],
    ids=["in a COPY", "in the merge", "before COMMIT"],
)
def test_postgresql_killed_inside_a_transaction_of_transform(
    wanted: str, first: int, on_own_postgres: Way, own_postgres: RunningServer, strikable: StrikableDrains
):
    """After crash recovery the batch is stored completely or not at all."""
    way = on_own_postgres
    assert isinstance(own_postgres.server, PostgreSQL)
    oracle = Oracle(way, own_postgres.server.superuser_dsn(way.warehouse.info.dbname))
    frozen_before(way, "transform", oracle, strikable, wanted, first)
    restart(own_postgres)
    told = strikable.go_on()
    assert {"Fenced", "OperationalError"} & set(told["kinds"]), told
    drain_anew(way)
    oracle.holds(f"PostgreSQL was killed before {wanted}, step {first} or later")


@pytest.fixture
def fail_point(own_mongo: RunningServer) -> Iterator[Callable[..., None]]:
    """Make the next inserts fail; undone at the end."""
    assert isinstance(own_mongo.server, SecantusDB)
    with MongoClient[Any](own_mongo.server.uri, serverSelectionTimeoutMS=5000) as client:

        def switch(mode: Any, **data: Any) -> None:
            data = {"failCommands": ["insert"], **data}
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)

        yield switch
        client.admin.command("configureFailPoint", "failCommand", mode="off")


@ON_TANSU
@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ({"times": 1}, {"errorCode": 10107, "errorLabels": ["RetryableWriteError"]}),
        ({"times": 1}, {"closeConnection": True}),
        ({"times": 4}, {"closeConnection": True}),
        ({"times": 4}, {"errorCode": 13}),
        ({"times": 1}, {"writeConcernError": {"code": 91, "errmsg": "shutdown in progress"}}),
    ],
    ids=["not primary once", "network once", "network for a while", "refused", "write concern"],
)
def test_a_fault_of_an_insert_is_repeated_or_raised_and_no_document_is_lost_or_twice(
    mode: Any, fault: dict[str, Any], on_own_mongo: Way, fail_point: Callable[..., None]
):
    """An insert that the driver does not retry fails the drain before its cursor moves; the next run lands it."""
    way = on_own_mongo
    way.produce(*a_load())
    fail_point(mode, **fault)
    with anew(way) as first:
        try:
            first.land()
        except PyMongoError:
            behind = way.rows("select count(*) from pipeline.cursors where next_offset <> start_offset")
            assert behind == [(0,)]
    fail_point("off")
    drain_anew(way)
    landed = len([value for value in a_load() if value.startswith(b"{")])
    assert way.raw.raw_tweets.count_documents({}) == landed
    assert len(way.raw.raw_tweets.distinct("tweet_id")) == landed
    assert way.raw.dead_letters.count_documents({}) == len(a_load()) - landed


@ON_TANSU
def test_a_fault_that_stays_fails_the_drain(on_own_mongo: Way, fail_point: Callable[..., None]):
    """It is raised, and not mistaken for a bad record: no cursor moves, nothing is dead-lettered."""
    on_own_mongo.produce(envelope({"id": "1"}))
    fail_point("alwaysOn", errorCode=10107)
    with anew(on_own_mongo) as first, pytest.raises(PyMongoError):
        first.land()
    fail_point("off")
    assert on_own_mongo.raw.dead_letters.count_documents({}) == 0
    drain_anew(on_own_mongo)
    assert on_own_mongo.tweet_ids() == [1]
