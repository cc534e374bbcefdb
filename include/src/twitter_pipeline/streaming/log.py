"""The Kafka topic as a log: its identity, where it starts, and reading it from a position.

Partitions are assigned, never negotiated, and offsets come from our own cursors. Offsets committed to a consumer group
only inform lag tools and doorbells. A recreated topic, or one that was lost with its broker, has another id: every
coordinate carries the id, so an old position is never mistaken for a new one.

We never ask where the log ends, because Tansu answers with the base offset of the last batch plus one. Fetching shows
what is there.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from tweet_envelope.topic import GONE, KafkaUnavailable, TopicChanged, TopicMissing, topic_identity
from twitter_pipeline.stages import LAND
from twitter_pipeline.streaming.published_positions import offsets

logger = logging.getLogger(__name__)

_BEFORE_START = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}
TIMEOUT = 10.0
FAR = 2_000  # offsets: read through a shorter distance, seek over a longer one


class Truncated(RuntimeError):
    """A wanted position is outside the log: before its start because of truncation, or beyond its end."""

    def __init__(self, message: str, partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


def identify(kafka: Mapping[str, Any], topic: str) -> str:
    """The current id of a topic. Raises TopicMissing or KafkaUnavailable."""
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
                "enable.partition.eof": True,
            },
            logger=logger,
        )
        self._reached: dict[int, int] = {}
        self.topic_id, self.partitions = topic_identity(self._admin, topic)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def is_same(self) -> bool:
        """Whether the topic is still the one that was opened; asks the broker."""
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
            raise KafkaUnavailable(f"asking where {self.topic!r} starts: {error.args[0].str()}") from error

    def read_from(self, positions: Mapping[int, int]) -> None:
        """Assign partitions at positions. Listing the topic first saves a second on the first fetch."""
        self._reached.clear()
        self._consumer.list_topics(self.topic, timeout=TIMEOUT)
        self._consumer.assign(offsets(self.topic, positions))

    def poll(self, most: int, wait_seconds: float) -> list[Message]:
        """Up to `most` messages: waits for the first and takes whatever else is ready.

        Raises Truncated, TopicChanged, KafkaUnavailable.
        """
        first = self._consumer.poll(wait_seconds)
        if first is None:
            return []
        messages = [first]
        if most > 1:
            messages += self._consumer.consume(most - 1, 0.02)
        return [message for message in messages if self._is_record(message)]

    def reached(self) -> dict[int, int]:
        """The end offset of each partition that was read to its end since the last call.

        `poll` has returned everything before it, or the log has no record there (a transaction marker, an aborted or
        compacted record).
        """
        reached, self._reached = self._reached, {}
        return reached

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            partition, offset = place(message)
            self._reached[partition] = offset
            return False
        self._raise(error, message.partition())

    def _raise(self, error: KafkaError, partition: int | None) -> NoReturn:
        if error.code() in _BEFORE_START:
            raise Truncated(f"{self.topic} partition {partition}: {error.str()}", partition)
        if error.code() in GONE:
            raise TopicChanged(f"{self.topic}: {error.str()}")
        raise KafkaUnavailable(f"{self.topic}: {error.str()}")


def read_again(
    kafka: Mapping[str, Any], topic: str, topic_id: str, partition: int, offsets: Iterable[int]
) -> dict[int, bytes | None]:
    """The values that Kafka still has at these offsets, by offset; offsets that it no longer has are left out.

    A topic that is gone or was replaced has none of them. Raises KafkaUnavailable when the broker does not answer.
    """
    found: dict[int, bytes | None] = {}
    try:
        with Log(kafka, topic, LAND.group) as log:
            if log.topic_id != topic_id or partition not in log.partitions:
                return {}
            start = log.starts()[partition]
            wanted = deque(sorted(offset for offset in set(offsets) if offset >= start))
            while wanted:
                _read_on(log, partition, wanted, found)
            return found if log.is_same() else {}
    except (TopicMissing, TopicChanged):
        return {}


def _read_on(log: Log, partition: int, wanted: deque[int], found: dict[int, bytes | None]) -> None:
    """Read from the first wanted offset until the next one is far away, or all are found or known to be gone."""
    log.read_from({partition: wanted[0]})
    give_up_at = time.monotonic() + TIMEOUT
    while wanted and time.monotonic() < give_up_at:
        try:
            messages = log.poll(500, 0.5)
        except Truncated:  # truncated meanwhile, or beyond the end
            start = log.starts()[partition]
            wanted_still = [offset for offset in wanted if offset >= start > wanted[0]]
            wanted.clear()
            wanted.extend(wanted_still)
            return
        for message in messages:
            _, offset = place(message)
            while wanted and wanted[0] < offset:
                wanted.popleft()
            if wanted and wanted[0] == offset:
                found[wanted.popleft()] = message.value()
        if partition in log.reached():
            wanted.clear()
        if messages:
            give_up_at = time.monotonic() + TIMEOUT
            if wanted and wanted[0] - place(messages[-1])[1] > FAR:
                return
    if wanted:
        raise KafkaUnavailable(
            f"{log.topic} partition {partition}: no answer for offset {wanted[0]} in {TIMEOUT:.0f} s"
        )


def place(message: Message) -> tuple[int, int]:
    """Partition and offset of a message that was read; only an error event has none."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise KafkaUnavailable("the broker returned a message without partition or offset")
    return partition, offset
