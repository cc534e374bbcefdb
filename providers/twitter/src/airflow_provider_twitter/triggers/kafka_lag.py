"""The doorbell: rings while somebody has messages to read, and reads none of them.

Airflow's asset queue collapses repeated events into one follow-up run, so the bell may ring every second while a
lag lasts; a drain that died with work left is rung for again, and nothing needs to be remembered here.

Two positions are compared without consuming or committing anything:

- `group_id` alone: is there a message at the group's committed position? This is asked by a real fetch there and
  never by subtracting offsets: a broker's "end of log" may lag behind the true end (Tansu gives the base offset of
  the last batch plus one). The fetch waits at the position, so a message rings as soon as it is there.
- `group_id` and `behind_group_id`: has the first group (the stage upstream) committed more than the second?

Consumers are assigned, never subscribed: no group is joined, no rebalance caused.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook

REQUEST_SECONDS = 10.0
QUIET_PROBE_SECONDS = 0.25
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


class Probe(Protocol):
    """Compares two positions; blocking, used from one thread at a time."""

    def lagging(self, wait_seconds: float) -> dict[int, int]:
        """First unread offset of each partition with a lag; empty when there is none within the wait."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


class KafkaLagTrigger(BaseEventTrigger):
    """Fires while a consumer group lags behind its topic, or one group behind another. Never ends, never raises.

    An event's payload is {"topic", "group_id", "partitions": {partition: first unread offset}}: a reference, no
    message. During outages of Kafka or of Airflow's API the trigger backs off inside, up to 30 seconds.

    :param kafka_conn_id: id of a connection of type "kafka"
    :param topic: the topic; partitions are discovered, also new ones
    :param group_id: the group whose committed offsets are its position; without `behind_group_id` it is the one
        that lags, with it the one in front
    :param behind_group_id: the group that lags behind `group_id`
    :param interval_seconds: pause between two rings while a lag lasts
    """

    def __init__(
        self,
        *,
        kafka_conn_id: str,
        topic: str,
        group_id: str,
        behind_group_id: str | None = None,
        interval_seconds: float = 1.0,
    ) -> None:
        super().__init__()
        if interval_seconds <= 0:
            raise ValueError(f"interval_seconds must be above 0, not {interval_seconds}")
        self.kafka_conn_id = kafka_conn_id
        self.topic = topic
        self.group_id = group_id
        self.behind_group_id = behind_group_id
        self.interval_seconds = interval_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and what remakes it: ids only, no addresses and no secrets."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "kafka_conn_id": self.kafka_conn_id,
            "topic": self.topic,
            "group_id": self.group_id,
            "behind_group_id": self.behind_group_id,
            "interval_seconds": self.interval_seconds,
        }

    async def open_probe(self) -> Probe:
        """A probe on the connection as it is now."""
        connection = await BaseHook.aget_connection(self.kafka_conn_id)
        hook = KafkaConfigurationHook(self.kafka_conn_id, connection)
        return await asyncio.to_thread(lambda: self._make_probe(hook.configuration()))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring while there is a lag: at once, then every interval."""
        probe: Probe | None = None
        outages = 0
        try:
            while True:
                try:
                    probe = probe or await self.open_probe()
                    lagging = await asyncio.to_thread(probe.lagging, self.interval_seconds)
                    outages = 0
                except Exception as broken:  # noqa: BLE001 - one that raises is restarted at once, without a pause
                    outages += 1
                    pause = _outage_pause(outages)
                    if outages == 1:
                        self.log.warning("Doorbell of %s cannot ask Kafka: %s", self.topic, broken)
                    else:
                        self.log.info("Doorbell of %s asks again in %.1f s: %s", self.topic, pause, broken)
                    await _close(probe)
                    probe = None
                    await asyncio.sleep(pause)
                    continue
                if lagging:
                    yield TriggerEvent(
                        {
                            "topic": self.topic,
                            "group_id": self.behind_group_id or self.group_id,
                            "partitions": {str(partition): offset for partition, offset in lagging.items()},
                        }
                    )
                    await asyncio.sleep(self.interval_seconds)
        finally:
            await _close(probe)

    def _make_probe(self, configuration: Mapping[str, Any]) -> Probe:
        if self.behind_group_id is None:
            return UnreadProbe(configuration, self.topic, self.group_id)
        return CommittedProbe(configuration, self.topic, self.group_id, self.behind_group_id)


class UnreadProbe:
    """Asks for a message at a group's committed positions by a fetch that waits there."""

    def __init__(self, configuration: Mapping[str, Any], topic: str, group_id: str) -> None:
        self._lock = threading.Lock()
        self._positions = _Positions(configuration, topic, group_id)
        self._waiting_at: dict[int, int] | None = None

    def lagging(self, wait_seconds: float) -> dict[int, int]:
        """A committed position that the log no longer reaches, on either side, counts as a lag."""
        with self._lock:
            committed = self._positions.committed()
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
        """Give the connection back, after a fetch that is still waiting."""
        with self._lock:
            self._positions.consumer.close()


class CommittedProbe:
    """Compares what two groups have committed."""

    def __init__(
        self, configuration: Mapping[str, Any], topic: str, group_id: str, behind_group_id: str
    ) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._ahead = _Positions(configuration, topic, group_id)
        self._behind = _Positions(configuration, topic, behind_group_id)

    def lagging(self, wait_seconds: float) -> dict[int, int]:
        """Nothing committed counts as position 0."""
        with self._lock:
            looks = max(round(wait_seconds / QUIET_PROBE_SECONDS), 1)
            for _ in range(looks):
                behind = self._behind.committed()
                lagging = {
                    partition: max(behind.get(partition, 0), 0)
                    for partition, offset in self._ahead.committed().items()
                    if max(offset, 0) > max(behind.get(partition, 0), 0)
                }
                if lagging or self._closing.wait(wait_seconds / looks):
                    return lagging
            return {}

    def close(self) -> None:
        """Give both connections back."""
        self._closing.set()
        with self._lock:
            self._ahead.consumer.close()
            self._behind.consumer.close()


class _Positions:
    """Committed positions of one group; OFFSET_BEGINNING where nothing is committed."""

    def __init__(self, configuration: Mapping[str, Any], topic: str, group_id: str) -> None:
        self.topic = topic
        self.consumer = Consumer({**configuration, **PROBE_SETTINGS, "group.id": group_id})
        self._partitions: list[int] = []
        self._discovered_at: float | None = None

    def committed(self) -> dict[int, int]:
        """Position by partition. Raises KafkaException when the broker or the topic is not there."""
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


def _outage_pause(outages: int) -> float:
    ceiling = min(LONGEST_OUTAGE_WAIT_SECONDS, 2.0 ** min(outages - 1, 10))
    return random.uniform(ceiling / 2, ceiling)


async def _close(probe: Probe | None) -> None:
    if probe is not None:
        await asyncio.shield(asyncio.to_thread(probe.close))
