"""Drain Kafka into MongoDB.

Per batch: read, check once more that the topic is still the same (what was read across a change is dropped), insert
unordered under the coordinates (majority, journaled), raise the raw store's mark, and move landing's cursor only when
all of that is acknowledged. Then publish the position to Kafka. If a drain is killed anywhere in between, the next one
inserts the same documents under the same ids, and nothing is stored twice.

Every offset between the cursor and its new position is a document, a dead letter, or in a range that the log skipped,
which is recorded in the transaction that moves the cursor. A raw store whose mark is below the cursor has lost data: it
is refilled from Kafka, from the mark on and without moving the cursor, if Kafka still has all of it.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import Message, Producer
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.reading import source_of
from tweet_envelope.topic import TopicChanged
from twitter_pipeline.landing.documents import Unlandable, dead_letter, raw_document
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.landing.raw_store import (
    DURABLE,
    LANDED,
    WHAT_TO_DO,
    RawStore,
    adopted_identity,
    chunks,
    points_filter,
)
from twitter_pipeline.stages import LAND
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker
from twitter_pipeline.streaming.linger import Linger, drain_while_busy
from twitter_pipeline.streaming.log import Log, Truncated, place
from twitter_pipeline.streaming.published_positions import PublishedPositions
from twitter_pipeline.warehouse import observations
from twitter_pipeline.warehouse.observations import Observations

logger = logging.getLogger(__name__)

STAGE = LAND.name
DUPLICATE_KEY = 11000
OPEN_LETTERS = [("stage", 1), ("resolved_at", 1), ("failed_at", -1)]
GAP = """
insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)
values ('offsets', %s, %s, %s, %s, %s) on conflict do nothing
"""
EMPTY_RANGE = """
insert into pipeline.empty_ranges (topic_id, partition, from_offset, to_offset) values (%s, %s, %s, %s)
on conflict do nothing
"""
NOTED_RETIRED = """
select topic_id, partition from pipeline.cursors
where stage = 'land' and topic = %s and topic_id <> %s and last_error is not null
"""
REFILL_PATIENCE_SECONDS = 10.0


@dataclass
class Landed:
    """What one drain did: messages read, documents landed, redelivered ones among them, dead letters, seconds it took.

    `skipped`: offsets for which the log had no record.
    """

    topic_id: str = ""
    read: int = 0
    landed: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    seconds: float = 0.0


def land(
    kafka: Mapping[str, Any],
    raw: Database[Any],
    warehouse: psycopg.Connection,
    *,
    topic: str = "raw-tweets",
    partitions: Sequence[int] | None = None,
    batch_size: int = 2000,
    linger: Linger | None = None,
    breaker: BadRecordBreaker | None = None,
) -> Landed:
    """Land what is in the topic, linger for more, and return what was done.

    `kafka`: librdkafka configuration; `warehouse`: a connection in autocommit mode; `partitions`: which to take
    (default: all). Safe to run repeatedly and concurrently. Raises cursors.Fenced when another drain took over (end, do
    not retry); TopicMissing, TopicChanged, KafkaUnavailable and pymongo's errors (retry); TooManyBadRecords, RawStoreLost
    (the raw store is another one, or lost what Kafka no longer has) and Truncated (the log ends before our cursor): a
    person must look. A truncated partition does not stop the others; its error is raised when they are quiet.
    """
    started, summary = time.monotonic(), Landed()
    announcer = Producer({**kafka, "message.timeout.ms": 10_000}, logger=logger)
    with Log(kafka, topic, LAND.group) as log, PublishedPositions(kafka, topic, LAND.group) as published:
        summary.topic_id = log.topic_id
        ours = log.partitions if partitions is None else partitions
        drain = _Drain(
            log, raw, warehouse, published, summary, batch_size, breaker or BadRecordBreaker(STAGE), announcer
        )
        with cursors.fenced_when_ended(warehouse, STAGE, [(log.topic_id, number) for number in ours]):
            try:
                drain.take(ours)
                drain_while_busy(drain.step, drain.idle_seconds, linger or Linger())
                drain.finish()
            except cursors.Fenced:
                raise
            except Exception as error:
                cursors.note_failure(warehouse, STAGE, drain.partitions_of(error, ours), error)
                raise
    summary.seconds = round(time.monotonic() - started, 3)
    return summary


class _Drain:
    def __init__(
        self,
        log: Log,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        published: PublishedPositions,
        summary: Landed,
        batch_size: int,
        breaker: BadRecordBreaker,
        announcer: Producer,
    ) -> None:
        self._log, self._warehouse, self._published, self._summary = log, warehouse, published, summary
        self._batch_size, self._breaker, self._announcer = batch_size, breaker, announcer
        self._raw: Collection[Any] = raw.raw_tweets.with_options(write_concern=DURABLE)
        self._dead: Collection[Any] = raw.dead_letters.with_options(write_concern=DURABLE)
        self._store_marks = RawStore(raw)
        self._store_id = ""
        self._cursors: dict[int, cursors.Cursor] = {}
        # what is read next: the cursor, or the mark while the store is refilled
        self._positions: dict[int, int] = {}
        self._ended: dict[int, int] = {}  # where the log ended when it was last read to its end
        self._failed: dict[int, Truncated] = {}
        self._noted = True  # whether our cursor rows may hold the error of an earlier drain
        self._asked_at = self._moved_at = time.monotonic()
        self._observed = Observations()  # in dead letters that the cursors have not passed yet

    def take(self, partitions: Sequence[int]) -> None:
        observations.prepare(self._warehouse)
        starts = self._starts()
        cursors.declare(self._warehouse, STAGE, self._log.topic, self._log.topic_id, starts)
        for partition in sorted(partitions):
            self._cursors[partition] = cursors.take(self._warehouse, STAGE, self._log.topic_id, partition)
        self._open_store(starts)
        self._skip_what_is_gone(starts)
        # status, metrics and page count the open letters every few seconds
        self._dead.create_index(OPEN_LETTERS)
        self._dead.update_many({"stage": LAND.former_name}, {"$set": {"stage": STAGE}})
        self._published.publish(self._positions)
        self._log.read_from(self._positions)
        self._moved_at = time.monotonic()  # opening the store does not count as idle time

    def _open_store(self, starts: Mapping[int, int]) -> None:
        """Check that the raw store is the one that the cursors belong to, and find out where to resume.

        Raises RawStoreLost if it is another store, or has lost what Kafka can no longer provide.
        """
        self._store_id = adopted_identity(self._store_marks, self._warehouse)
        landed = self._warehouse.execute(LANDED).fetchall()
        identity = self._store_marks.identity()
        if identity not in {None, self._store_id}:
            raise RawStoreLost(
                f"the raw store is store {identity}, but the cursors belong to store {self._store_id}. {WHAT_TO_DO}"
            )
        # without an identity it counts as empty, whatever marks were restored into it
        keys = [(topic_id, partition) for _, topic_id, partition, _, _ in landed]
        marks: dict[Any, int] = {} if identity is None else self._store_marks.marks(keys, self._store_id)
        lost: list[tuple[str, int, int, int]] = []
        refilled: list[tuple[str, int, int, int]] = []
        for _, topic_id, number, start, landed_to in landed:
            mark = marks.get((topic_id, number), int(start))
            if mark >= landed_to:
                continue
            has_all = topic_id == self._log.topic_id and starts.get(number, landed_to) <= mark
            (refilled if has_all else lost).append((topic_id, number, mark, landed_to))
        if lost:
            raise RawStoreLost(
                f"the raw store has lost {_ranges(lost)}, which Kafka no longer holds. {WHAT_TO_DO}"
            )
        if refilled:
            logger.error("incident=raw_store_lost refilling from Kafka: %s", _ranges(refilled))
        if identity is None and self._store_marks.name(self._store_id) != self._store_id:
            raise RawStoreLost(f"the raw store got another identity while it was opened. {WHAT_TO_DO}")
        behind = {partition: mark for topic_id, partition, mark, _ in refilled}
        for partition, cursor in self._cursors.items():
            self._positions[partition] = behind.get(partition, cursor.next_offset)
            self._store_marks.begin_mark(
                cursor.topic_id, partition, self._store_id, self._positions[partition]
            )

    def step(self) -> int:
        try:
            messages = self._log.poll(self._batch_size, 0.2)
        except Truncated as truncated:
            self._go_on_after(truncated)
            return 0
        reached = self._log.reached()
        self._ended.update(reached)
        ends = {p: end for p, end in reached.items() if end > self._positions.get(p, end)}
        if not messages and not ends:
            # a wiped broker without out-of-range errors returns nothing: check the topic now and then
            if time.monotonic() - self._asked_at > 1.0:
                self._check_topic()
            self._clear_note()
            return 0
        self._check_topic()
        if messages:
            self._store(messages)
        self._move(messages, ends)
        self._clear_note()
        return len(messages) or len(ends)

    def _move(self, messages: Sequence[Message], ends: Mapping[int, int]) -> None:
        """Raise the marks over what is stored, then move the cursors, with a row for each range that was skipped."""
        offsets: dict[int, list[int]] = {}
        for partition, offset in map(place, messages):
            offsets.setdefault(partition, []).append(offset)
        to: dict[int, int] = {}
        skipped: list[tuple[int, int, int]] = []
        for partition in offsets.keys() | ends.keys():
            position = self._positions[partition]
            for offset in sorted(offsets.get(partition, ())):
                skipped.append((partition, position, offset))
                position = max(position, offset + 1)
            skipped.append((partition, position, ends.get(partition, position)))
            to[partition] = max(position, ends.get(partition, position))
        # while the store is refilled: ranges below the cursor were recorded when it passed them
        cursor_at = {p: c.next_offset for p, c in self._cursors.items()}
        skipped = [(p, max(a, cursor_at[p]), b) for p, a, b in skipped if b > max(a, cursor_at[p])]
        starts = self._starts() if skipped else {}
        for partition, end in sorted(to.items()):
            self._store_marks.raise_mark(
                self._log.topic_id, partition, self._store_id, self._positions[partition], end
            )
            self._positions[partition] = end
        ahead = [(self._cursors[p], end) for p, end in to.items() if end > cursor_at[p]]
        if ahead or self._observed:
            with self._warehouse.transaction():
                moved = cursors.advance(self._warehouse, ahead)
                self._observed.merge_into(self._warehouse)
                for partition, start, end in sorted(skipped):
                    self._write_down(partition, start, end, starts[partition])
            self._cursors.update({cursor.partition: cursor for cursor in moved})
            self._observed = Observations()
        # while the store is refilled this is the mark, so that the doorbell keeps ringing
        self._published.publish({partition: self._positions[partition] for partition in to})
        self._moved_at = time.monotonic()

    def _write_down(self, partition: int, start: int, end: int, log_starts: int) -> None:
        """Record a range without a record: as a gap up to the log's start, beyond it as an empty range."""
        topic_id = self._log.topic_id
        gone_to = min(max(start, log_starts), end)
        if start < gone_to:
            reason = "the log starts after landing's cursor"
            self._warehouse.execute(GAP, (topic_id, partition, start, gone_to, reason))
            logger.error("gap topic_id=%s partition=%d from=%d to=%d", topic_id, partition, start, gone_to)
        if gone_to < end:
            self._warehouse.execute(EMPTY_RANGE, (topic_id, partition, gone_to, end))
            logger.error(
                "incident=empty_range topic_id=%s partition=%d from=%d to=%d: the log has no record there; does somebody"
                " produce in transactions, or is the topic compacted?",
                topic_id,
                partition,
                gone_to,
                end,
            )
        self._summary.skipped += end - start

    def _go_on_after(self, truncated: Truncated) -> None:
        """Handle a position out of range: write a gap if the log starts later, else give up that partition."""
        starts = self._starts()
        for partition, position in self._positions.items():
            cursor = self._cursors[partition]
            if position < cursor.next_offset and position < starts[partition]:
                lost = [(cursor.topic_id, partition, position, cursor.next_offset)]
                raise RawStoreLost(
                    f"the raw store has lost {_ranges(lost)}, and the log was cut before it was refilled. {WHAT_TO_DO}"
                )
        if not self._skip_what_is_gone(
            starts
        ):  # nothing before our cursor was truncated, so the log ends before it
            if truncated.partition is None or truncated.partition not in self._positions:
                raise truncated
            self._give_up(truncated.partition, truncated)
        self._log.read_from(self._positions)

    def _give_up(self, partition: int, why: Truncated) -> None:
        """Continue without a partition; its error is recorded at once and raised when the others are quiet."""
        self._failed[partition] = why
        del self._positions[partition]
        cursors.note_failure(self._warehouse, STAGE, [(self._log.topic_id, partition)], why)
        logger.error("partition=%d topic_id=%s failed: %s", partition, self._log.topic_id, why)
        if not self._positions:
            self.finish()

    def idle_seconds(self) -> float:
        """Seconds since the stage moved or this drain refilled something; 0 while Kafka may have more to refill."""
        own = time.monotonic() - self._moved_at
        has_more = any(self._ended.get(p) != position for _, p, position, _ in self._behind())
        if own < REFILL_PATIENCE_SECONDS and has_more:
            return 0.0
        return min(cursors.seconds_since_a_move(self._warehouse, STAGE), own)

    def _behind(self) -> list[tuple[str, int, int, int]]:
        """What remains to be refilled in the store: topic id, partition, from, to."""
        return [
            (c.topic_id, p, self._positions[p], c.next_offset)
            for p, c in self._cursors.items()
            if p in self._positions and self._positions[p] < c.next_offset
        ]

    def finish(self) -> None:
        """Raise the errors that were deferred so that other partitions could go on."""
        # what Kafka was only too slow to return is left to the next run; transform waits until then
        lost = [what for what in self._behind() if self._ended.get(what[1]) == what[2]]
        if lost:
            raise RawStoreLost(
                f"the raw store has lost {_ranges(lost)}, which is out of range of Kafka's log. {WHAT_TO_DO}"
            )
        if self._failed:
            failed = sorted(self._failed.items())
            if len(failed) == 1:
                raise failed[0][1]
            raise Truncated("; ".join(f"partition {p}: {error}" for p, error in failed))

    def partitions_of(self, error: Exception, ours: Sequence[int]) -> list[tuple[str, int]]:
        """The partitions that an error concerns."""
        numbers = self._failed.keys() if isinstance(error, Truncated) and self._failed else ours
        return [(self._log.topic_id, number) for number in numbers]

    def _clear_note(self) -> None:
        """Clear the recorded errors of our cursors and of retired topics after a successful step."""
        if self._noted:
            retired = (self._log.topic, self._log.topic_id)
            healthy = [
                (topic_id, p) for topic_id, p in self._warehouse.execute(NOTED_RETIRED, retired).fetchall()
            ]
            healthy += [(self._log.topic_id, p) for p in self._positions]
            cursors.note_failure(self._warehouse, STAGE, healthy, None)
            self._noted = False

    def _starts(self) -> dict[int, int]:
        """Where the log starts; checked to be this topic's and not a recreated one's."""
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
                self._observed.note_unread(message.value(), at)
        bad = [source_of(message.value()) for message, _, _ in announcements]
        self._breaker.check_live([*(document["source"] for document in documents), *bad], bad)
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
        """Insert all; returns how many existed already. An existing document with other contents is an incident."""
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
        known = (
            other
            for ids in chunks(by_key)
            for other in collection.find(points_filter(ids), {field: 1, "removed_at": 1})
        )
        for other in known:
            mine = by_key[other["_id"]]
            if other.get("removed_at") is None and not _same(other.get(field), mine[field]):
                logger.error(
                    "incident=coordinate_conflict id=%s: two payloads under one coordinate", mine["_id"]
                )
                conflict = mine.get("envelope", mine.get("payload"))
                self._observed.note_unread(conflict, Coordinate.of_key(mine["_id"]))
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
        """Record a gap where the log begins after our cursor, and continue at its start: nothing is skipped silently.

        Returns the number of partitions with a gap.
        """
        skipped = 0
        for partition, cursor in list(self._cursors.items()):
            start = starts[partition]
            if start <= cursor.next_offset or partition not in self._positions:
                continue
            self._store_marks.raise_mark(
                cursor.topic_id, partition, self._store_id, self._positions[partition], start
            )
            with self._warehouse.transaction():
                cursors.hold(self._warehouse, cursor)
                self._write_down(partition, cursor.next_offset, start, start)
                self._cursors[partition] = cursors.move(self._warehouse, cursor, start)
            self._positions[partition] = start
            skipped += 1
        return skipped


def _ranges(lost: Sequence[tuple[str, int, int, int]]) -> str:
    named = [f"topic {t} partition {p} offsets {a} to {b}" for t, p, a, b in lost[:5]]
    return "; ".join(named) + (f" and {len(lost) - 5} more ranges" if len(lost) > 5 else "")


def _same(one: Any, other: Any) -> bool:
    """Whether two stored values are equal; a bson Binary never equals the bytes that it is read back as."""
    if isinstance(one, bytes) and isinstance(other, bytes):
        return bytes(one) == bytes(other)
    return bool(one == other)
