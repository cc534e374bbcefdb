"""Writes messages to one Kafka topic: each batch is acknowledged in full, or is an error.

The topic's id is read before and after each batch. If the topic was recreated in between, it may hold only a part of
the batch, so the batch counts as not written and is fetched again.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tweet_envelope.topic import TopicChanged, TopicError, topic_identity
from tweet_envelope.writing import Message

logger = logging.getLogger(__name__)

PRODUCER_DEFAULTS = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 20,
    "queue.buffering.max.messages": 20_000,
    "queue.buffering.max.kbytes": 64 * 1024,
    "message.max.bytes": 1_000_000,
    "delivery.timeout.ms": 60_000,
}


class NotAcknowledged(TopicError):
    """Kafka did not acknowledge every message within the delivery timeout; some may be in the topic anyway."""


class MessageTooLarge(TopicError):
    """Some messages are too large for Kafka. Producing them again cannot help; the others can be produced."""

    def __init__(self, text: str, messages: list[Message]) -> None:
        super().__init__(text)
        self.messages = messages


class EnvelopeSink:
    """Writes batches of envelopes to one topic: acks=all, idempotent, compressed, bounded buffer.

    `config` is a librdkafka configuration with at least bootstrap.servers; its settings override the defaults above,
    except for acks and idempotence. A batch is everything that was `put` before `acknowledged`; `produce` does both.
    Use as a context manager, from one thread.
    """

    def __init__(self, config: Mapping[str, Any], topic: str) -> None:
        client_config = {
            name: value for name, value in config.items() if not name.startswith(("group.", "auto.offset."))
        }
        guarantees = {"acks": "all", "enable.idempotence": True}
        # Without an error_cb the client library tries to raise a fatal error from flush, and fails to.
        told = {"error_cb": _log_error, **client_config}
        self._producer = Producer({**PRODUCER_DEFAULTS, **told, **guarantees}, logger=logger)
        self._admin = AdminClient(told, logger=logger)
        self._topic = topic
        self._topic_id: str | None = None
        self._batch: _Batch | None = None
        self._largest_bytes = int({**PRODUCER_DEFAULTS, **client_config}["message.max.bytes"])
        delivery_seconds = float({**PRODUCER_DEFAULTS, **client_config}["delivery.timeout.ms"]) / 1000
        self._timeout_seconds = delivery_seconds + 5
        self._request_seconds = min(delivery_seconds, 10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic

    @property
    def topic_id(self) -> str:
        """Kafka's id of the topic at the last batch; before the first batch, its current id."""
        return self._topic_id or self.check_topic()

    def check_topic(self) -> str:
        """The topic's current id. Raises TopicMissing or KafkaUnavailable."""
        self._topic_id = topic_identity(self._admin, self._topic, self._request_seconds)[0]
        return self._topic_id

    def produce(self, messages: Sequence[Message]) -> dict[int, int]:
        """Write all messages, wait until Kafka has acknowledged them, and return the last offset by partition.

        Raises a TopicError if any was not acknowledged; some may be in the topic anyway. MessageTooLarge names all
        those that are too large; none of the others then counts as written.
        """
        if self._batch is not None:
            raise ValueError("a batch is open: call `acknowledged` first")
        self._begin()
        if too_large := [message for message in messages if _size(message) > self._largest_bytes]:
            self._batch = None
            raise _too_large(too_large, self._largest_bytes, "message.max.bytes of the Kafka connection")
        try:
            for message in messages:
                self.put(message)
        except BaseException:
            self._give_up()
            raise
        return self.acknowledged()

    def put(self, message: Message) -> None:
        """Add one message to the batch; waits while the buffer is full.

        Raises MessageTooLarge, after which the rest of the batch may go on, or another TopicError, which abandons the
        batch.
        """
        batch = self._batch or self._begin()
        if _size(message) > self._largest_bytes:
            raise _too_large([message], self._largest_bytes, "message.max.bytes of the Kafka connection")
        give_up_at = time.monotonic() + self._timeout_seconds
        while True:
            try:
                self._producer.produce(
                    self._topic, key=message.key, value=message.value, on_delivery=batch.delivered
                )
            except BufferError:
                if time.monotonic() > give_up_at:
                    self._give_up()
                    raise NotAcknowledged(
                        f"Kafka accepts no messages for {self._topic}: the buffer is full"
                    ) from None
                self._producer.poll(0.1)
            except KafkaException as refused:
                if refused.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise _too_large(
                        [message], None, "message.max.bytes of the Kafka connection"
                    ) from refused
                self._give_up()
                raise NotAcknowledged(f"Kafka refuses a message for {self._topic}: {refused}") from refused
            else:
                batch.put += 1
                self._producer.poll(0)
                return

    def acknowledged(self) -> dict[int, int]:
        """Wait for everything put since the last call; return the last offset by partition, empty for an empty batch.

        Raises a TopicError if any message was not acknowledged. MessageTooLarge names those that the broker refused
        because of their size; it ends the batch.
        """
        batch, self._batch = self._batch, None
        if batch is None:
            return {}
        try:
            waiting = self._producer.flush(self._timeout_seconds)
        except BaseException:
            self._give_up()
            raise
        if waiting or batch.failures or batch.acknowledged != batch.put:
            self._give_up()
            if batch.too_large:
                raise _too_large(batch.too_large, None, "max.message.bytes of the topic or its broker")
            reason = str(batch.failures[0]) if batch.failures else "no answer before the delivery timeout"
            raise NotAcknowledged(
                f"Kafka acknowledged {batch.acknowledged} of {batch.put} messages for {self._topic}: {reason}"
            )
        begun_with = self._topic_id
        if self.check_topic() != begun_with:
            raise TopicChanged(
                f"topic {self._topic} was recreated while a batch of {batch.put} was being written"
            )
        return batch.last_offsets

    def close(self) -> None:
        """Abandon what was not acknowledged; everything that was acknowledged is safe."""
        self._give_up()
        self._producer.flush(1)
        self._producer.close()

    def _begin(self) -> "_Batch":
        self.check_topic()
        self._batch = _Batch()
        return self._batch

    def _give_up(self) -> None:
        self._batch = None
        self._producer.purge(blocking=False)


def _size(message: Message) -> int:
    return len(message.key) + len(message.value)


def _too_large(messages: list[Message], limit: int | None, setting: str) -> MessageTooLarge:
    largest = max(messages, key=_size)
    digest = hashlib.sha256(largest.value).hexdigest()[:16]
    more = f" and {len(messages) - 1} more" if len(messages) > 1 else ""
    than = f"the {limit} that {setting} allows" if limit is not None else f"{setting} allows"
    return MessageTooLarge(
        f"the envelope with key {largest.key.decode('ascii', 'replace')}{more} has {len(largest.value)} bytes "
        f"(sha256 {digest}…), more than {than}",
        messages,
    )


def _log_error(error: KafkaError) -> None:
    logger.info("Kafka client: %s", error)


class _Batch:
    """How many messages were put, and what Kafka reported about them."""

    def __init__(self) -> None:
        self.put = self.acknowledged = 0
        self.failures: list[KafkaError] = []
        self.too_large: list[Message] = []
        self.last_offsets: dict[int, int] = {}

    def delivered(self, error: KafkaError | None, message: Any) -> None:
        """Note one delivery report from librdkafka."""
        if error is not None:
            self.failures.append(error)
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self.too_large.append(Message(message.key(), message.value()))
            return
        self.acknowledged += 1
        partition = message.partition()
        self.last_offsets[partition] = max(message.offset(), self.last_offsets.get(partition, -1))
