"""A batch of envelopes into Kafka: all acknowledged by the topic that was opened, or an error.

Fetched means acknowledged, for archives too: acks=all, an idempotent producer, a bounded buffer, and the topic's id
read again afterwards, since a topic made anew in between may have only a part of the batch.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from twitter_pipeline.streaming.log import TopicChanged, topic_identity

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
DEFAULTS: dict[str, Any] = {
    "compression.type": "lz4",
    "linger.ms": 20,
    "queue.buffering.max.messages": 20_000,
    "queue.buffering.max.kbytes": 64 * 1024,
    "message.max.bytes": 1_000_000,
    "delivery.timeout.ms": int(TIMEOUT_SECONDS * 1000),
}


class NotAcknowledged(RuntimeError):
    """Kafka did not acknowledge all of a batch; it does not count as produced, though some of it may be there."""


class TooLarge(ValueError):
    """One message is larger than Kafka takes; trying again cannot help."""


class Batches:
    """Produces to one topic, batch by batch: `put` each message, then `acknowledged`. From one thread.

    Raises TopicMissing and LogUnavailable when it is made. `kafka` is librdkafka configuration.
    """

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self.topic = topic
        self._admin = AdminClient(dict(kafka), logger=logger)
        self.topic_id, _ = topic_identity(self._admin, topic)
        guarantees = {"acks": "all", "enable.idempotence": True}
        self._producer = Producer({**DEFAULTS, **kafka, **guarantees}, logger=logger)
        self._begin()

    def _begin(self) -> None:
        self._put, self._delivered = 0, 0
        self._failure: KafkaError | None = None
        self._last_offsets: dict[int, int] = {}

    def put(self, key: bytes, value: bytes) -> None:
        """Hand one message over; waits while the buffer is full. Raises TooLarge, NotAcknowledged."""
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                self._producer.produce(self.topic, key=key, value=value, on_delivery=self._on_delivery)
            except BufferError:
                if time.monotonic() > give_up_at:
                    raise NotAcknowledged(
                        f"Kafka took no message for {TIMEOUT_SECONDS:.0f} s: the buffer stays full"
                    ) from None
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise TooLarge(
                        f"its envelope of {len(value):,} bytes is larger than Kafka takes"
                    ) from None
                raise NotAcknowledged(f"Kafka: {error.args[0].str()}") from error
            else:
                break
        self._put += 1
        self._producer.poll(0)

    def acknowledged(self) -> dict[int, int]:
        """Wait for all that was put since the last call; returns the last offset per partition.

        Raises NotAcknowledged, TopicChanged, TopicMissing, LogUnavailable.
        """
        if not self._put:
            return {}
        waiting = self._producer.flush(TIMEOUT_SECONDS + 5)
        put, delivered, failure, offsets = self._put, self._delivered, self._failure, self._last_offsets
        self._begin()
        if waiting or failure is not None or delivered != put:
            self._producer.purge(blocking=False)
            reason = failure.str() if failure else "no answer in time"
            raise NotAcknowledged(f"Kafka acknowledged {delivered} of {put} messages: {reason}")
        if topic_identity(self._admin, self.topic)[0] != self.topic_id:
            raise TopicChanged(f"topic {self.topic} was made anew while messages were on their way")
        return offsets

    def close(self) -> None:
        """Give up what was not acknowledged."""
        self._producer.purge(blocking=False)
        self._producer.flush(1)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = error
            return
        self._delivered += 1
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:
            self._last_offsets[partition] = max(offset, self._last_offsets.get(partition, -1))
