"""Each embedded server starts, answers over its own protocol, and after kill -9 still has what it promises to keep."""

from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pymongo import MongoClient, WriteConcern
from pymongo.errors import OperationFailure

from twitter_pipeline.stack import moto_sns
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, StackError, free_port


def test_postgresql_keeps_a_committed_row_over_kill(tmp_path: Path) -> None:
    """A row that PostgreSQL committed is there after kill -9 and a new start."""
    server = PostgreSQL(tmp_path / "data", free_port(), "secret")
    with RunningServer(server, tmp_path / "log") as running:
        with psycopg.connect(server.superuser_dsn()) as connection:
            connection.execute("CREATE TABLE kept (id bigint)")
            connection.execute("INSERT INTO kept VALUES (1)")
        running.kill()
        running.start()
        with psycopg.connect(server.superuser_dsn()) as connection:
            assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_postgresql_refuses_a_wrong_password(postgres_server: PostgreSQL) -> None:
    """PostgreSQL requires a password from everyone, even on loopback."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.dsn("postgres", "postgres", "wrong"))


def test_a_foreign_postgresql_is_named(postgres_server: PostgreSQL, tmp_path: Path) -> None:
    """A server that answers with another password is told apart from one that is not ready yet."""
    stranger = PostgreSQL(tmp_path / "data", postgres_server.port, "another password")
    with pytest.raises(StackError, match="another PostgreSQL answers"):
        stranger.ready()


def test_an_interrupted_initdb_starts_over(tmp_path: Path) -> None:
    """A data folder without a cluster in it is filled, not refused."""
    (tmp_path / "data").mkdir()
    server = PostgreSQL(tmp_path / "data", free_port(), "secret", durable=False)
    server.prepare()
    assert (tmp_path / "data" / "PG_VERSION").read_text().strip() == "18"


def test_mongodb_keeps_a_journaled_document_over_kill(tmp_path: Path) -> None:
    """A document acknowledged with j:true is there after kill -9 and a new start."""
    server = SecantusDB(tmp_path / "data", free_port(), "pipeline", "secret")
    with RunningServer(server, tmp_path / "log") as running:
        journaled = WriteConcern(w="majority", j=True)
        with MongoClient[dict](server.uri) as client:
            client["kept"].get_collection("tweets", write_concern=journaled).insert_one({"_id": 1})
        running.kill()
        running.start()
        with MongoClient[dict](server.uri) as client:
            assert list(client["kept"]["tweets"].find()) == [{"_id": 1}]


def test_mongodb_refuses_whoever_has_no_password(mongo_server: SecantusDB) -> None:
    """Without the user's password nothing can be read."""
    address = f"mongodb://127.0.0.1:{mongo_server.port}/?directConnection=true"
    with (
        MongoClient[dict](address, serverSelectionTimeoutMS=5000) as client,
        pytest.raises(OperationFailure),
    ):
        client["tweets"]["raw_tweets"].find_one()


def test_broker_gives_back_what_it_acknowledged(kafka) -> None:
    """A message acknowledged by all replicas is read back by assignment, with its key and value."""
    topic = kafka.create_topic(partitions=1)
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all", "enable.idempotence": True})
    producer.produce(topic, b"value", b"7", on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(20) == 0
    assert failures == []
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": topic,
            "auto.offset.reset": "error",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert (message.error(), message.key(), message.value()) == (None, b"7", b"value")


def test_sns_delivers_to_a_subscriber(sns) -> None:
    """A message published to the topic is accepted and gets an id."""
    answer = moto_sns.client(sns.endpoint_url).publish(TopicArn=sns.arn, Message="down")
    assert answer["MessageId"]


def test_the_loader_loads_and_creates_nothing(postgres) -> None:
    """The loader may connect to its database and create temporary tables, but no schemas."""
    with psycopg.connect(postgres.dsn) as loader:
        loader.execute("CREATE TEMPORARY TABLE staging (id bigint)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            loader.execute("CREATE SCHEMA anything")
