"""The Kafka topic as a log: its identity, where it starts, reading it from a position, and the published hints.

Partitions are assigned, never negotiated, and offsets come from our own cursors. What is committed to a consumer
group is a hint for lag tools and doorbells. A topic that was deleted and made anew, or lost with its broker, has
another id: every coordinate carries the id, so an old position is never mistaken for a new one.

Where the log ends is never asked: Tansu answers with the base offset of the last batch plus one. What is there is
found out by fetching.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from twitter_pipeline.streaming.hints import offsets

logger = logging.getLogger(__name__)

LANDING_GROUP = "tweet-landing"
PROCESSING_GROUP = "tweet-processing"
_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    getattr(KafkaError, "UNKNOWN_TOPIC_ID", 100),
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
_BEFORE_START = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}
TIMEOUT = 10.0


class LogUnavailable(RuntimeError):
    """The broker did not answer; nothing was read or moved. Retry."""


class TopicMissing(RuntimeError):
    """The topic does not exist; the launcher (or `twitter-pipeline topics keep`) makes it."""


class TopicChanged(RuntimeError):
    """The topic is another than the one that was opened: what was read from it is dropped."""


class Truncated(RuntimeError):
    """The log starts after the wanted position: retention or an administrator took records away."""


def topic_identity(admin: AdminClient, topic: str) -> tuple[str, list[int]]:
    """Kafka's id of a topic and its partition numbers. Raises TopicMissing or LogUnavailable."""
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT)[topic].result(
            TIMEOUT
        )
    except KafkaException as error:
        if error.args[0].code() in _GONE:
            raise TopicMissing(f"topic {topic!r} does not exist") from None
        raise LogUnavailable(f"describing topic {topic!r}: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise LogUnavailable(f"describing topic {topic!r}: no answer in {TIMEOUT:.0f} s") from error
    return str(described.topic_id), sorted(p.id for p in described.partitions)


def identify(kafka: Mapping[str, Any], topic: str) -> str:
    """Kafka's id of a topic now. Raises TopicMissing or LogUnavailable."""
    return topic_identity(AdminClient(dict(kafka), logger=logger), topic)[0]


class Log:
    """One topic, opened by its id. `kafka` is librdkafka configuration (bootstrap.servers, security)."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, group: str) -> None:
        self.topic = topic
        self._admin = AdminClient(dict(kafka), logger=logger)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 250,
            },
            logger=logger,
        )
        self.topic_id, self.partitions = topic_identity(self._admin, topic)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def is_same(self) -> bool:
        """Whether the topic is still the one that was opened (asks the broker)."""
        try:
            return topic_identity(self._admin, self.topic)[0] == self.topic_id
        except TopicMissing:
            return False

    def starts(self) -> dict[int, int]:
        """The first offset that each partition still holds."""
        try:
            return {
                p: self._consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=TIMEOUT)[0]
                for p in self.partitions
            }
        except KafkaException as error:
            raise LogUnavailable(f"asking where {self.topic!r} starts: {error.args[0].str()}") from error

    def read_from(self, positions: Mapping[int, int]) -> None:
        """Assign partitions at positions. The list of topics is asked first: it saves the first fetch a second."""
        self._consumer.list_topics(self.topic, timeout=TIMEOUT)
        self._consumer.assign(offsets(self.topic, positions))

    def poll(self, most: int, wait_seconds: float) -> list[Message]:
        """Up to `most` messages: waits for the first, takes what is there of the rest.

        Raises Truncated, TopicChanged, LogUnavailable.
        """
        first = self._consumer.poll(wait_seconds)
        if first is None:
            return []
        messages = [first]
        if most > 1:
            messages += self._consumer.consume(most - 1, 0.02)
        for message in messages:
            if (error := message.error()) is not None:
                self._raise(error)
        return messages

    def _raise(self, error: KafkaError) -> None:
        if error.code() in _BEFORE_START:
            raise Truncated(f"{self.topic}: {error.str()}")
        if error.code() in _GONE:
            raise TopicChanged(f"{self.topic}: {error.str()}")
        raise LogUnavailable(f"{self.topic}: {error.str()}")


def place(message: Message) -> tuple[int, int]:
    """Partition and offset of a message that was read (only an error event has none)."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise LogUnavailable("a message without a place in the log")
    return partition, offset


def next_offsets(messages: Sequence[Message]) -> dict[int, int]:
    """Where each partition goes on after these messages."""
    ends: dict[int, int] = {}
    for partition, offset in map(place, messages):
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return ends
