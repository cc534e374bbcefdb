"""The sink against real brokers: all acknowledged or an error, and a recreated topic is noticed."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tweet_envelope.sink import EnvelopeSink, MessageTooLarge, NotAcknowledged
from tweet_envelope.topic import TopicChanged, TopicError, TopicMissing
from tweet_envelope.writing import Message


def stored(bootstrap: str, topic: str, count: int) -> list[tuple[bytes, bytes, int, int]]:
    """Key, value, partition and offset of so many messages of a topic."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    reader.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
    found = []
    while len(found) < count:
        message = reader.poll(10)
        assert message is not None, f"{len(found)} of {count} messages came"
        assert message.error() is None
        found.append((message.key(), message.value(), message.partition(), message.offset()))
    reader.close()
    return found


def test_a_batch_is_acknowledged_with_its_last_offsets(kafka: Any) -> None:
    """Every message is in the topic under its key, and the offsets returned are the highest of each partition."""
    topic = kafka.create_topic()
    messages = [Message(str(each).encode(), b"%d" % each * 50) for each in range(200)]
    with EnvelopeSink({"bootstrap.servers": kafka.bootstrap}, topic) as sink:
        first = sink.produce(messages[:100])
        topic_id = sink.topic_id
        last = sink.produce(messages[100:])
        assert sink.topic_id == topic_id
    found = stored(kafka.bootstrap, topic, 200)
    assert {(key, value) for key, value, *_ in found} == {tuple(each) for each in messages}
    highest = {p: max(offset for *_, partition, offset in found if partition == p) for *_, p, _ in found}
    assert {**first, **last} == highest


def test_a_topic_is_never_created(kafka: Any) -> None:
    """A missing topic is an error that names it."""
    sink = EnvelopeSink({"bootstrap.servers": kafka.bootstrap}, "nobody-made-this")
    with sink, pytest.raises(TopicMissing, match="nobody-made-this"):
        sink.produce([Message(b"1", b"x")])
    assert (
        "nobody-made-this"
        not in AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
    )


def test_a_message_that_is_too_large_is_named(kafka: Any) -> None:
    """An oversized envelope is refused before it is sent, with its key and size; the sink goes on afterwards."""
    topic = kafka.create_topic()
    with EnvelopeSink({"bootstrap.servers": kafka.bootstrap}, topic) as sink:
        with pytest.raises(MessageTooLarge, match="key 42 has 2000000 bytes"):
            sink.produce([Message(b"42", b"x" * 2_000_000)])
        assert sum(sink.produce([Message(b"43", b"x")]).values()) == 0


class InterruptedBatch(list[Message]):
    """Messages that let something happen after the first of them was handed over."""

    def __init__(self, messages: list[Message], happening: Callable[[], None]) -> None:
        super().__init__(messages)
        self._happening = happening

    def __iter__(self) -> Iterator[Message]:
        for position, message in enumerate(super().__iter__()):
            yield message
            if position == 0:
                self._happening()


def test_a_topic_made_anew_is_noticed(kafka: Any) -> None:
    """A batch during which the topic was deleted and created again does not count as written."""
    topic = kafka.create_topic(partitions=1)
    config = {"bootstrap.servers": kafka.bootstrap, "delivery.timeout.ms": 5000}
    admin = AdminClient(config)

    def make_anew() -> None:
        admin.delete_topics([topic])[topic].result(20)
        deadline = time.monotonic() + 20
        while True:
            try:
                admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
                return
            except KafkaException:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    with EnvelopeSink(config, topic) as sink:
        sink.produce([Message(b"1", b"x")])
        before = sink.topic_id
        with pytest.raises((TopicChanged, NotAcknowledged)):
            sink.produce(InterruptedBatch([Message(b"2", b"y"), Message(b"3", b"z")], make_anew))
    with EnvelopeSink(config, topic) as sink:
        sink.produce([Message(b"2", b"y")])
        assert sink.topic_id != before


@pytest.mark.parametrize("own_kafka", ["tansu"], indirect=True)
def test_a_broker_that_is_gone_is_an_error_in_time(own_kafka: Any) -> None:
    """If the broker dies, nothing counts as written, and the caller gets an error within the delivery timeout."""
    topic = own_kafka.create_topic()
    config = {"bootstrap.servers": own_kafka.bootstrap, "delivery.timeout.ms": 1500, "log_level": 0}
    with EnvelopeSink(config, topic) as sink:
        sink.produce([Message(b"1", b"x")])
        own_kafka.running.kill()
        with pytest.raises(TopicError):
            sink.produce([Message(b"2", b"y")])


def test_a_batch_is_what_was_put_before_it_was_acknowledged(kafka: Any) -> None:
    """A message that is too large does not affect the rest of its batch; `produce` refuses while a batch is open."""
    topic = kafka.create_topic(partitions=1)
    with EnvelopeSink({"bootstrap.servers": kafka.bootstrap}, topic) as sink:
        assert sink.acknowledged() == {}
        sink.put(Message(b"1", b"x"))
        with pytest.raises(MessageTooLarge):
            sink.put(Message(b"2", b"x" * 2_000_000))
        with pytest.raises(ValueError, match="a batch is open"):
            sink.produce([Message(b"3", b"y")])
        sink.put(Message(b"4", b"z"))
        assert sink.acknowledged() == {0: 1}
        assert sink.produce([Message(b"5", b"z")]) == {0: 2}
