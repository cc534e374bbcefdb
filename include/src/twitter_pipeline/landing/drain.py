"""Drain Kafka into MongoDB.

Per batch: read, ask once more whether the topic is still the same one (what was read across a change is dropped),
insert unordered under the coordinates (majority, journaled), and only when everything is acknowledged move
landing's cursor. Then publish the position to Kafka as a hint. Killed anywhere in between, the next drain inserts
the same documents under the same ids and nothing is twice.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import Message, Producer
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from twitter_pipeline.landing.documents import Coordinate, Unlandable, dead_letter, raw_document, source_of
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.flood import FloodGate
from twitter_pipeline.streaming.hints import Hints
from twitter_pipeline.streaming.log import LANDING_GROUP, Log, TopicChanged, Truncated, next_offsets, place
from twitter_pipeline.streaming.warmth import Warmth, stay_warm

logger = logging.getLogger(__name__)

STAGE = "landing"
DURABLE = WriteConcern(w="majority", j=True)
DUPLICATE_KEY = 11000


@dataclass
class Landed:
    """What one drain did: messages read, documents new, redelivered ones, dead letters, seconds it took."""

    topic_id: str = ""
    read: int = 0
    landed: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    seconds: float = 0.0


def land(
    kafka: Mapping[str, Any],
    raw: Database[Any],
    warehouse: psycopg.Connection,
    *,
    topic: str = "raw-tweets",
    partitions: Sequence[int] | None = None,
    batch_size: int = 2000,
    warmth: Warmth | None = None,
    flood: FloodGate | None = None,
) -> Landed:
    """Land what is in the topic, stay warm for more, and tell what was done.

    `kafka`: librdkafka configuration; `warehouse`: a connection in autocommit mode; `partitions`: which to take
    (default: all). Safe to run twice or at once. Raises cursors.Fenced when another drain took over (end and do
    not retry), TopicMissing, TopicChanged, LogUnavailable and pymongo's errors (retry), Flood and Truncated (the log
    ends before our cursor: a person must look).
    """
    started, summary = time.monotonic(), Landed()
    announcer = Producer({**kafka, "message.timeout.ms": 10_000}, logger=logger)
    with Log(kafka, topic, LANDING_GROUP) as log, Hints(kafka, topic, LANDING_GROUP) as hints:
        summary.topic_id = log.topic_id
        ours = log.partitions if partitions is None else partitions
        drain = _Drain(log, raw, warehouse, hints, summary, batch_size, flood or FloodGate(STAGE), announcer)
        with cursors.fenced_when_ended(warehouse, STAGE, [(log.topic_id, number) for number in ours]):
            drain.take(ours)
            stay_warm(drain.step, lambda: cursors.seconds_since_a_move(warehouse, STAGE), warmth or Warmth())
    summary.seconds = round(time.monotonic() - started, 3)
    return summary


class _Drain:
    def __init__(
        self,
        log: Log,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        hints: Hints,
        summary: Landed,
        batch_size: int,
        flood: FloodGate,
        announcer: Producer,
    ) -> None:
        self._log, self._warehouse, self._hints, self._summary = log, warehouse, hints, summary
        self._batch_size, self._flood, self._announcer = batch_size, flood, announcer
        self._raw: Collection[Any] = raw.raw_tweets.with_options(write_concern=DURABLE)
        self._dead: Collection[Any] = raw.dead_letters.with_options(write_concern=DURABLE)
        self._cursors: dict[int, cursors.Cursor] = {}
        self._asked_at = time.monotonic()

    def take(self, partitions: Sequence[int]) -> None:
        starts = self._starts()
        cursors.declare(self._warehouse, STAGE, self._log.topic, self._log.topic_id, starts)
        for partition in sorted(partitions):
            self._cursors[partition] = cursors.take(self._warehouse, STAGE, self._log.topic_id, partition)
        self._skip_what_is_gone(starts)
        positions = {p: c.next_offset for p, c in self._cursors.items()}
        self._hints.publish(positions)
        self._log.read_from(positions)

    def step(self) -> int:
        try:
            messages = self._log.poll(self._batch_size, 0.2)
        except Truncated:
            if not self._skip_what_is_gone(self._starts()):
                raise  # nothing is gone before our cursor: the log ends before it
            self._log.read_from({p: c.next_offset for p, c in self._cursors.items()})
            return 0
        if not messages:
            # a broker without out-of-range errors says nothing when it was wiped: ask now and then
            if time.monotonic() - self._asked_at > 1.0:
                self._check_topic()
            return 0
        self._check_topic()
        self._store(messages)
        ends = next_offsets(messages)
        moved = cursors.advance(self._warehouse, [(self._cursors[p], end) for p, end in ends.items()])
        self._cursors.update({cursor.partition: cursor for cursor in moved})
        self._hints.publish(ends)
        return len(messages)

    def _starts(self) -> dict[int, int]:
        """Where the log starts, and surely this topic's and not that of another of the same name."""
        starts = self._log.starts()
        self._check_topic()
        return starts

    def _check_topic(self) -> None:
        self._asked_at = time.monotonic()
        if not self._log.is_same():
            raise TopicChanged(
                f"{self._log.topic} is no longer topic {self._log.topic_id}; the batch was dropped"
            )

    def _store(self, messages: Sequence[Message]) -> None:
        documents, dead, announcements = [], [], []
        landed_at = datetime.now(UTC)
        for message in messages:
            at = Coordinate(self._log.topic_id, *place(message))
            try:
                documents.append(raw_document(message.value(), at, landed_at))
            except Unlandable as unlandable:
                dead.append(dead_letter(message.value(), at, unlandable.reason, str(unlandable)))
                announcements.append((message, at, unlandable.reason))
        bad = [source_of(message.value()) for message, _, _ in announcements]
        self._flood.check_live([*(document["source"] for document in documents), *bad], bad)
        duplicates = self._insert(self._raw, documents) + self._insert(self._dead, dead)
        for message, at, reason in announcements:
            self._announce(message, at, reason)
        if announcements and (unsent := self._announcer.flush(10)):
            logger.warning("dead letters not announced topic=%s.dlq count=%d", self._log.topic, unsent)
        self._summary.read += len(messages)
        self._summary.landed += len(documents)
        self._summary.dead_lettered += len(dead)
        self._summary.duplicates += duplicates

    def _insert(self, collection: Collection[Any], documents: list[dict[str, Any]]) -> int:
        """Insert all; returns how many were there already. What is there with other contents is an incident."""
        if not documents:
            return 0
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", [])
            if error.details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in refused):
                raise
            self._compare(collection, [documents[e["index"]] for e in refused])
            return len(refused)
        return 0

    def _compare(self, collection: Collection[Any], documents: list[dict[str, Any]]) -> None:
        by_key = {d["_id"]: d for d in documents}
        field = "sha256" if collection.name == self._raw.name else "payload"
        known = collection.find({"_id": {"$in": list(by_key)}, "removed_at": None}, {field: 1})
        for other in known:
            mine = by_key[other["_id"]]
            if not _same(other.get(field), mine[field]):
                logger.error(
                    "incident=coordinate_conflict id=%s: two payloads under one coordinate", mine["_id"]
                )
                conflict = mine.get("envelope", mine.get("payload"))
                self._dead.update_one(
                    {"_id": f"{mine['_id']}/conflict"},
                    {
                        "$setOnInsert": {
                            "stage": STAGE,
                            "reason": "coordinate_conflict",
                            "detail": f"another payload than the one in {collection.name} under {mine['_id']}",
                            "payload": conflict,
                            "failed_at": datetime.now(UTC),
                        }
                    },
                    upsert=True,
                )

    def _announce(self, message: Message, at: Coordinate, reason: str) -> None:
        headers: dict[str, str | bytes | None] = {"reason": reason, "stage": STAGE, "coordinates": at.key}
        self._announcer.produce(
            f"{self._log.topic}.dlq", key=at.key.encode(), value=message.value(), headers=headers
        )

    def _skip_what_is_gone(self, starts: Mapping[int, int]) -> int:
        """Record a gap where the log begins after our cursor, and go on at its beginning: never silently.

        Returns how many partitions had one.
        """
        skipped = 0
        for partition, cursor in list(self._cursors.items()):
            start = starts[partition]
            if start <= cursor.next_offset:
                continue
            with self._warehouse.transaction():
                cursors.hold(self._warehouse, cursor)
                self._warehouse.execute(
                    "insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)"
                    " values ('offsets', %s, %s, %s, %s, 'the log starts after landing''s cursor')"
                    " on conflict do nothing",
                    (cursor.topic_id, partition, cursor.next_offset, start),
                )
                self._cursors[partition] = cursors.move(self._warehouse, cursor, start)
            skipped += 1
            logger.error(
                "gap topic_id=%s partition=%d from=%d to=%d",
                cursor.topic_id,
                partition,
                cursor.next_offset,
                start,
            )
        return skipped


def _same(one: Any, other: Any) -> bool:
    """Whether two stored values are equal; bson's Binary never equals the bytes that it comes back as."""
    if isinstance(one, bytes) and isinstance(other, bytes):
        return bytes(one) == bytes(other)
    return bool(one == other)
