"""The doorbell: a trigger that rings when messages wait and nobody reads them. It consumes none itself.

Each ring becomes an Airflow run, and a ring during a run becomes one more run that finds nothing. So the doorbell rings
once and then waits for an answer: a move of the group's position. It stays silent while the position moves, for ten
seconds at most, and rings again when the reader has stopped with messages left.

Two modes, neither of which consumes or commits anything:

- `group_id` alone: is there a message at the group's committed position? This is checked with a real fetch, never by
  subtracting offsets: a broker's "end of log" may lag behind the true end (Tansu returns the base offset of the last
  batch plus one). The fetch waits at the position, so the doorbell rings as soon as a message arrives.
- `group_id` and `behind_group_id`: has the first group (the upstream stage) committed more than the second? With
  `ring_early`, a message that the upstream stage has yet to read also rings, so that both stages start at once
  instead of the second waiting until the first has read.

Consumers are assigned, never subscribed, so they join no group and cause no rebalance.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook

REQUEST_SECONDS = 10.0
LOOK_SECONDS = 1.0
HELD_LOOK_SECONDS = 0.25
QUIET_PROBE_SECONDS = 0.25
LIVE_SECONDS = 7.0  # our drains stay for five quiet seconds, and their runs take a moment to end
STALLED_SECONDS = 4.0
LONGEST_HOLD_SECONDS = 10.0
EARLY_READER_SECONDS = 20.0  # by then, a reader that was woken early and found nothing has left
REDISCOVER_SECONDS = 30.0
LONGEST_OUTAGE_WAIT_SECONDS = 30.0

PROBE_SETTINGS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "enable.partition.eof": False,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
    "fetch.message.max.bytes": 16 * 1024,
    "fetch.wait.max.ms": 250,
    "fetch.queue.backoff.ms": 50,
    "socket.keepalive.enable": True,
    "log_level": 2,
}


@dataclass(frozen=True)
class Look:
    """What a probe saw: the reader's position by partition, and the first unread offset of each lagging partition.

    `coming`: offsets that the upstream stage has yet to read, if the reader itself has no lag.
    """

    positions: Mapping[int, int]
    unread: Mapping[int, int]
    coming: Mapping[int, int] = field(default_factory=dict)


class Probe(Protocol):
    """Compares two positions; blocking, for use from one thread at a time."""

    def look(self, wait_seconds: float) -> Look:
        """Wait for a lag, for at most `wait_seconds`."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class KafkaLagTrigger(BaseEventTrigger):
    """Fires when a consumer group lags behind its topic, or one group behind another, and nobody catches up.

    Never ends, never raises. After firing it waits until the group's position moves or `interval_seconds` have
    passed. While the position moves, someone is reading and the trigger holds back, for ten seconds at most; it fires
    as soon as that reader has stopped for four seconds with messages left. An early ring announces messages that are
    still unread upstream: it is not repeated while that lasts, and counts as unanswered ten seconds after the reader's
    own lag began.

    An event's payload is {"topic", "group_id", "partitions": {partition: first unread offset}}: a reference, not a
    message. During outages of Kafka or Airflow's API the trigger backs off internally, up to 30 seconds.

    :param kafka_conn_id: id of a connection of type "kafka"
    :param topic: the topic; its partitions are discovered, including new ones
    :param group_id: the group whose committed offsets are its position: the one that lags, or with
        `behind_group_id` the one in front
    :param behind_group_id: the group that lags behind `group_id`
    :param ring_early: ring for `behind_group_id` once as soon as `group_id` itself has something to read; the reader
        must then wait a moment for what is on its way. Only with `behind_group_id`
    :param interval_seconds: pause before firing again if nobody answers
    """

    def __init__(
        self,
        *,
        kafka_conn_id: str,
        topic: str,
        group_id: str,
        behind_group_id: str | None = None,
        ring_early: bool = False,
        interval_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        if interval_seconds <= 0:
            raise ValueError(f"interval_seconds must be above 0, not {interval_seconds}")
        if ring_early and behind_group_id is None:
            raise ValueError("ring_early needs behind_group_id: without it there is no upstream stage")
        self.kafka_conn_id = kafka_conn_id
        self.topic = topic
        self.group_id = group_id
        self.behind_group_id = behind_group_id
        self.ring_early = ring_early
        self.interval_seconds = interval_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments: ids only, no addresses and no secrets."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "kafka_conn_id": self.kafka_conn_id,
            "topic": self.topic,
            "group_id": self.group_id,
            "behind_group_id": self.behind_group_id,
            "ring_early": self.ring_early,
            "interval_seconds": self.interval_seconds,
        }

    async def open_probe(self) -> Probe:
        """A probe that uses the current connection."""
        connection = await BaseHook.aget_connection(self.kafka_conn_id)
        hook = KafkaConfigurationHook(self.kafka_conn_id, connection)
        return await asyncio.to_thread(lambda: self._make_probe(hook.configuration()))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring at once when a lag appears, then as `Patience` decides."""
        probe: Probe | None = None
        patience = Patience(self.interval_seconds)
        outages = 0
        try:
            while True:
                try:
                    probe = probe or await self.open_probe()
                    seen = await asyncio.to_thread(probe.look, LOOK_SECONDS)
                    outages = 0
                except Exception as broken:  # noqa: BLE001 - a trigger that raises is restarted at once, without a pause
                    outages += 1
                    pause = outage_pause(outages)
                    if outages == 1:
                        self.log.warning("Doorbell of %s cannot reach Kafka: %s", self.topic, broken)
                    else:
                        self.log.info("Doorbell of %s retries in %.1f s: %s", self.topic, pause, broken)
                    await _close(probe)
                    probe = None
                    await asyncio.sleep(pause)
                    continue
                if patience.is_over(seen):
                    yield TriggerEvent(
                        {
                            "topic": self.topic,
                            "group_id": self.behind_group_id or self.group_id,
                            "partitions": {
                                str(partition): offset
                                for partition, offset in (seen.unread or seen.coming).items()
                            },
                        }
                    )
                if seen.unread or seen.coming:
                    await asyncio.sleep(HELD_LOOK_SECONDS)
        finally:
            await _close(probe)

    def _make_probe(self, configuration: Mapping[str, Any]) -> Probe:
        if self.behind_group_id is None:
            return UnreadProbe(configuration, self.topic, self.group_id)
        return CommittedProbe(
            configuration, self.topic, self.group_id, self.behind_group_id, is_early=self.ring_early
        )


class Patience:
    """Decides when to ring: not while a reader that was called is starting or at work.

    A reader counts as at work for seven seconds after the position last moved. If it leaves messages unread for four
    seconds without a move, it has stopped. After ten seconds of continuous moves another ring does no harm. For
    messages that are only coming it rings once, whatever else is read meanwhile: the reader gets ten seconds from their
    arrival, but none if they arrive so long after the ring that the reader has left.
    """

    def __init__(self, interval_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval_seconds, clock
        self._positions: dict[int, int] = {}
        self._moved_at = self._rung_at = self._answered_at = -float("inf")
        self._rung_early = False
        self._announced: Mapping[int, int] = {}
        self._waiting_since: float | None = None

    def is_over(self, seen: Look) -> bool:
        """Whether to ring now; if true, it counts as rung."""
        now = self._clock()
        self._note_moves(seen.positions, now)
        if not seen.unread:
            self._waiting_since = None
            if not seen.coming:
                return False
        elif self._waiting_since is None:
            self._waiting_since = now
        was_announced = not seen.unread and seen.coming == self._announced
        is_over = not was_announced and self._is_over_now(now)
        if is_over:
            self._rung_at, self._rung_early = now, not seen.unread
            if self._rung_early:
                self._announced = dict(seen.coming)
        return is_over

    def _is_over_now(self, now: float) -> bool:
        waiting_since = self._waiting_since
        if self._moved_at <= self._rung_at:
            if waiting_since is None:
                return self._rung_at == -float("inf")
            if self._rung_early:
                has_left = waiting_since - self._rung_at >= EARLY_READER_SECONDS
                return has_left or now - waiting_since >= LONGEST_HOLD_SECONDS
            return now - self._rung_at >= self._interval
        if now - self._moved_at >= LIVE_SECONDS:
            return True
        if waiting_since is None:
            return False
        is_stalled = now - max(waiting_since, self._moved_at) >= STALLED_SECONDS
        return is_stalled or now - max(waiting_since, self._answered_at) >= LONGEST_HOLD_SECONDS

    def _note_moves(self, positions: Mapping[int, int], now: float) -> None:
        if any(self._positions.get(partition, offset) != offset for partition, offset in positions.items()):
            if self._moved_at <= self._rung_at:
                self._answered_at = now
            self._moved_at = now
        self._positions.update(positions)


class UnreadProbe:
    """Looks for a message at a group's committed positions, with a fetch that waits there."""

    def __init__(self, configuration: Mapping[str, Any], topic: str, group_id: str) -> None:
        self._lock = threading.Lock()
        self._positions = _Positions(configuration, topic, group_id)
        self._waiting_at: dict[int, int] | None = None

    def committed(self) -> dict[int, int]:
        """The group's position by partition, without looking at the log."""
        with self._lock:
            return self._positions.committed()

    def look(self, wait_seconds: float) -> Look:
        """Wait for a lag. A committed position outside the log, at either end, counts as one."""
        committed = self.committed()
        return Look(committed, self.unread_at(committed, wait_seconds))

    def unread_at(self, committed: dict[int, int], wait_seconds: float) -> Mapping[int, int]:
        """Partition and offset of the first message at or after these positions, once there is one; else empty."""
        with self._lock:
            if committed != self._waiting_at:
                self._positions.consumer.assign(
                    [
                        TopicPartition(self._positions.topic, partition, offset)
                        for partition, offset in committed.items()
                    ]
                )
                self._waiting_at = committed
            message = self._positions.consumer.poll(wait_seconds)
            if message is None:
                return {}
            self._waiting_at = None
            if (error := message.error()) is None:
                return {int(message.partition() or 0): int(message.offset() or 0)}
            if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
                return {partition: max(offset, 0) for partition, offset in committed.items()}
            raise KafkaException(error)

    def close(self) -> None:
        """Close the connection, once a fetch that is still waiting has ended."""
        with self._lock:
            self._positions.consumer.close()


class CommittedProbe:
    """Compares what two groups have committed; an early probe also checks what the first has yet to read."""

    def __init__(
        self,
        configuration: Mapping[str, Any],
        topic: str,
        group_id: str,
        behind_group_id: str,
        *,
        is_early: bool = False,
    ) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._ahead = UnreadProbe(configuration, topic, group_id)
        self._behind = _Positions(configuration, topic, behind_group_id)
        self._is_early = is_early

    def look(self, wait_seconds: float) -> Look:
        """Wait for a lag. A group without a committed position counts as being at 0."""
        with self._lock:
            looks = max(round(wait_seconds / QUIET_PROBE_SECONDS), 1)
            for _ in range(looks):
                behind, ahead = self._behind.committed(), self._ahead.committed()
                lagging = {
                    partition: max(behind.get(partition, 0), 0)
                    for partition, offset in ahead.items()
                    if max(offset, 0) > max(behind.get(partition, 0), 0)
                }
                coming = {} if lagging else self._wait(ahead, wait_seconds / looks)
                if lagging or coming or self._closing.is_set():
                    break
            return Look(behind, lagging, coming)

    def _wait(self, ahead: dict[int, int], seconds: float) -> Mapping[int, int]:
        """What the first group has yet to read, as soon as there is something."""
        if self._is_early:
            return self._ahead.unread_at(ahead, seconds)
        self._closing.wait(seconds)
        return {}

    def close(self) -> None:
        """Close both connections."""
        self._closing.set()
        with self._lock:
            self._ahead.close()
            self._behind.consumer.close()


class _Positions:
    """Committed positions of one group; OFFSET_BEGINNING if nothing is committed."""

    def __init__(self, configuration: Mapping[str, Any], topic: str, group_id: str) -> None:
        self.topic = topic
        self.consumer = Consumer({**configuration, **PROBE_SETTINGS, "group.id": group_id})
        self._partitions: list[int] = []
        self._discovered_at: float | None = None

    def committed(self) -> dict[int, int]:
        """Position by partition. Raises KafkaException if the broker or the topic is not there."""
        topic_partitions = [TopicPartition(self.topic, partition) for partition in self._discover()]
        answered = self.consumer.committed(topic_partitions, timeout=REQUEST_SECONDS)
        for each in answered:
            if each.error is not None:
                raise KafkaException(each.error)
        positions: dict[int, int] = {}
        for each in sorted(answered, key=lambda each: int(each.partition)):
            positions[int(each.partition)] = each.offset if each.offset >= 0 else OFFSET_BEGINNING
        return positions

    def _discover(self) -> list[int]:
        now = time.monotonic()
        if self._discovered_at is None or now - self._discovered_at > REDISCOVER_SECONDS:
            found = self.consumer.list_topics(self.topic, timeout=REQUEST_SECONDS).topics[self.topic]
            if found.error is not None:
                raise KafkaException(found.error)
            self._partitions = sorted(found.partitions)
            self._discovered_at = now
        return self._partitions


def outage_pause(outages: int) -> float:
    """Seconds to wait after this many failures in a row: doubling, up to 30, with jitter."""
    ceiling = min(LONGEST_OUTAGE_WAIT_SECONDS, 2.0 ** min(outages - 1, 10))
    return random.uniform(ceiling / 2, ceiling)


async def _close(probe: Probe | None) -> None:
    if probe is not None:
        await asyncio.shield(asyncio.to_thread(probe.close))
