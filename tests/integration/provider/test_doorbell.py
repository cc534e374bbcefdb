"""The doorbell against real brokers, iterated without a triggerer."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from airflow_provider_twitter.triggers.kafka_lag import CommittedProbe, KafkaLagTrigger, Look, UnreadProbe
from tweet_envelope.sink import EnvelopeSink
from tweet_envelope.writing import Message

SOON = 5.0


def produce(broker: Any, topic: str, count: int = 1, size: int = 100) -> dict[int, int]:
    with EnvelopeSink({"bootstrap.servers": broker.bootstrap}, topic) as sink:
        return sink.produce([Message(str(each).encode(), b"x" * size) for each in range(count)])


def commit(broker: Any, topic: str, group_id: str, positions: dict[int, int]) -> None:
    """Commit as a drain does: assigned, never subscribed."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group_id})
    offsets = [TopicPartition(topic, partition, offset) for partition, offset in positions.items()]
    reader.commit(offsets=offsets, asynchronous=False)
    reader.close()


@contextlib.contextmanager
def unread(broker: Any, topic: str, group_id: str = "land") -> Iterator[UnreadProbe]:
    probe = UnreadProbe({"bootstrap.servers": broker.bootstrap}, topic, group_id)
    yield probe
    probe.close()


def test_a_message_rings_as_soon_as_it_is_there(kafka: Any) -> None:
    """A probe that waits on an empty topic answers as soon as the first message arrives, well before its wait ends."""
    topic = kafka.create_topic()
    with unread(kafka, topic) as probe:
        assert probe.look(0.5).unread == {}
        threading.Timer(0.3, produce, (kafka, topic)).start()
        started = time.monotonic()
        assert list(probe.look(10).unread.values()) == [0]
        assert time.monotonic() - started < 4


def test_a_group_that_has_read_everything_has_no_lag(kafka: Any) -> None:
    """At the end of the log there is silence, one message before it there is a lag, whatever the batches were."""
    topic = kafka.create_topic()
    end = {partition: offset + 1 for partition, offset in produce(kafka, topic, count=100, size=2000).items()}
    with unread(kafka, topic) as probe:
        commit(kafka, topic, "land", end)
        assert probe.look(1).unread == {}
        commit(kafka, topic, "land", {**end, 1: end[1] - 1})
        assert probe.look(SOON).unread == {1: end[1] - 1}


def test_a_lag_is_seen_again_and_again_also_of_large_messages(kafka: Any) -> None:
    """While nobody reads, every look finds the lag quickly; nothing was consumed by looking."""
    topic = kafka.create_topic(partitions=1)
    produce(kafka, topic, count=5, size=900_000)
    with unread(kafka, topic) as probe:
        assert [probe.look(SOON).unread for _ in range(4)] == [{0: 0}] * 4
    positions = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "land"})
    assert [each.offset for each in positions.committed([TopicPartition(topic, 0)], timeout=10)] == [-1001]
    positions.close()


def test_a_stage_lags_behind_the_one_upstream(kafka: Any) -> None:
    """With two groups, the lag is what the first has committed but the second has not."""
    topic = kafka.create_topic()
    probe = CommittedProbe({"bootstrap.servers": kafka.bootstrap}, topic, "landed", "processed")
    try:
        assert probe.look(0.3).unread == {}
        commit(kafka, topic, "landed", {0: 10, 2: 5})
        assert probe.look(SOON).unread == {0: 0, 2: 0}
        commit(kafka, topic, "processed", {0: 10, 2: 4})
        assert probe.look(SOON).unread == {2: 4}
        commit(kafka, topic, "processed", {2: 5})
        assert probe.look(0.3).unread == {}
    finally:
        probe.close()


def test_an_early_bell_sees_what_the_stage_upstream_has_yet_to_read(kafka: Any) -> None:
    """A message rings for the second stage as soon as it is in the log; once landed it is its lag."""
    topic = kafka.create_topic(partitions=1)
    configuration = {"bootstrap.servers": kafka.bootstrap}
    probe = CommittedProbe(configuration, topic, "landed", "processed", is_early=True)
    try:
        assert probe.look(0.5) == Look({0: OFFSET_BEGINNING}, {})
        produce(kafka, topic)
        assert probe.look(SOON) == Look({0: OFFSET_BEGINNING}, {}, coming={0: 0})
        commit(kafka, topic, "landed", {0: 1})
        assert probe.look(SOON) == Look({0: OFFSET_BEGINNING}, {0: 0})
        commit(kafka, topic, "processed", {0: 1})
        assert probe.look(0.5) == Look({0: 1}, {})
    finally:
        probe.close()


async def first_ring(bell: KafkaLagTrigger, within_seconds: float) -> Any:
    running: AsyncIterator[Any] = bell.run()
    try:
        return (await asyncio.wait_for(anext(running), within_seconds)).payload
    finally:
        await running.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declares connection pipeline_kafka."""

    def declare(bootstrap: str) -> None:
        connection = {"conn_type": "kafka", "extra": {"bootstrap.servers": bootstrap, "group.id": "ignored"}}
        monkeypatch.setenv("AIRFLOW_CONN_PIPELINE_KAFKA", json.dumps(connection))

    return declare


def test_the_bell_rings_through_an_airflow_connection(kafka: Any, connect: Any) -> None:
    """The trigger reads its connection by id and rings with the position of what waits."""
    connect(kafka.bootstrap)
    topic = kafka.create_topic(partitions=1)
    produce(kafka, topic)
    bell = KafkaLagTrigger(kafka_conn_id="pipeline_kafka", topic=topic, group_id="land")
    assert asyncio.run(first_ring(bell, 20)) == {
        "topic": topic,
        "group_id": "land",
        "partitions": {"0": 0},
    }


def test_the_bell_survives_a_broker_that_dies_and_returns(
    own_kafka: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doorbell survives a kill of the broker, and on Tansu the loss of all its data, and rings again."""
    monkeypatch.setattr("airflow_provider_twitter.triggers.kafka_lag.REQUEST_SECONDS", 2.0)
    connect(own_kafka.bootstrap)
    topic = own_kafka.create_topic(partitions=1)
    end = {partition: offset + 1 for partition, offset in produce(own_kafka, topic, count=7).items()}
    commit(own_kafka, topic, "land", end)
    bell = KafkaLagTrigger(kafka_conn_id="pipeline_kafka", topic=topic, group_id="land", interval_seconds=0.5)

    def die_and_return() -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        own_kafka.running.kill()
        time.sleep(1)
        own_kafka.running.start()
        admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
        with contextlib.suppress(Exception):
            admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
        produce(own_kafka, topic)

    async def through_the_outage() -> Any:
        ringing = asyncio.create_task(first_ring(bell, 60))
        await asyncio.sleep(1)
        assert not ringing.done()
        await asyncio.to_thread(die_and_return)
        return await ringing

    assert asyncio.run(through_the_outage())["topic"] == topic
