"""Drain raw tweets into the tables.

Reads MongoDB by Kafka coordinates between transform's cursor and landing's: unordered inserts become visible in any
order, so nothing beyond landing's cursor may be read. Retired topics are drained to their end like the current one. A
cursor moves only over offsets that are each a document, a dead letter of landing, or in a known gap. A missing document
is read again from Kafka, and becomes a gap row if Kafka no longer has it.

A batch that PostgreSQL rejects because of its data is halved until the rejected record is alone, and that record goes to
the dead letters; infrastructure errors are raised, never dead-lettered. A failing partition does not stop the others:
its error is recorded in its cursor row at once, and raised when the others are done.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import psycopg
from pymongo.database import Database
from pymongo.errors import PyMongoError

from tweet_envelope.coordinates import Coordinate, offset_of
from tweet_envelope.topic import KafkaUnavailable
from twitter_pipeline.landing.documents import Unlandable, dead_letter, raw_document
from twitter_pipeline.landing.drain import STAGE as LANDING
from twitter_pipeline.landing.expected import expected_offsets, runs
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.landing.raw_store import (
    DURABLE,
    WHAT_TO_DO,
    RawStore,
    adopted_identity,
    check_marks,
    read_points,
)
from twitter_pipeline.stages import TRANSFORM
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker, TooManyBadRecords
from twitter_pipeline.streaming.linger import Linger, drain_while_busy
from twitter_pipeline.streaming.log import read_again
from twitter_pipeline.streaming.published_positions import PublishedPositions
from twitter_pipeline.transform.engine import DeadLetter, Engine, Prepared
from twitter_pipeline.transform.engines import rows
from twitter_pipeline.transform.faults import Fault, fault_of
from twitter_pipeline.transform.load import STAGE, Loader

logger = logging.getLogger(__name__)

DEADLOCK_TRIES = 5
ADOPT_NEW_PARTITIONS = """
insert into pipeline.cursors (stage, topic, topic_id, partition, start_offset, next_offset)
select 'transform', topic, topic_id, partition, start_offset, start_offset from pipeline.cursors landing
where stage = 'land' and not exists (
    select from pipeline.cursors known
    where known.stage = 'transform' and known.topic_id = landing.topic_id and known.partition = landing.partition
)
order by topic_id, partition
on conflict do nothing
"""
WITH_WORK = """
select transform.topic_id, transform.partition, landing.next_offset, landing.start_offset
from pipeline.cursors transform
join pipeline.cursors landing using (topic_id, partition)
where transform.stage = 'transform' and landing.stage = 'land' and transform.next_offset < landing.next_offset
order by transform.topic_id, transform.partition
"""
MISSING_IN_RAW = "missing in raw"
GAP = """
insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)
values ('offsets', %s, %s, %s, %s, %s) on conflict do nothing
"""
FIELDS = {"envelope": 1, "removed_at": 1, "landed_at": 1, "source": 1}
LOST_FROM = 50  # missing documents: with so many, and over half of a batch, the whole store is broken
RETRY_SECONDS = 5.0
NEIGHBOURS_TRIED = 5


class PartitionsFailed(RuntimeError):
    """Several partitions failed; the text names each. The others were drained meanwhile. Retry."""


@dataclass
class Transformed:
    """What one drain did: raw documents read, envelopes loaded, dead-lettered, skipped as removed, seconds.

    `read_again`: documents missing in raw that Kafka still had; `missing`: those that are gaps now.
    """

    read: int = 0
    loaded: int = 0
    dead_lettered: int = 0
    removed: int = 0
    read_again: int = 0
    missing: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The task's result in XCom, where `dead_lettered` keeps the key `quarantined`."""
        fields = asdict(self)
        return {"quarantined": fields.pop("dead_lettered"), **fields}


def transform(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    kafka: Mapping[str, Any] | None = None,
    *,
    topic: str = "raw-tweets",
    partitions: Sequence[tuple[str, int]] | None = None,
    batch_size: int = 4000,
    linger: Linger | None = None,
    breaker: BadRecordBreaker | None = None,
    sleep: Callable[[float], None] = time.sleep,
    engine: Engine = rows.prepare,
) -> Transformed:
    """Load what was landed, linger for more, and return what was done.

    `warehouse`: a connection in autocommit mode; `kafka`: where missing documents are read again and the position is
    published (None: neither); `partitions`: (topic id, partition) pairs to take (default: all with work, as it comes up).
    Safe to run repeatedly and concurrently. Raises cursors.Fenced when another drain took over (end, do not retry);
    psycopg and pymongo errors, KafkaUnavailable and PartitionsFailed (retry); TooManyBadRecords and RawStoreLost (a
    person must look).
    """
    started, summary = time.monotonic(), Transformed()
    with (
        cursors.fenced_when_ended(warehouse, STAGE, partitions),
        PublishedPositions(kafka or {}, topic, TRANSFORM.group) as published,
    ):
        publisher = None if kafka is None else published
        breaker = breaker or BadRecordBreaker(STAGE)
        drain = _Drain(
            raw, warehouse, publisher, topic, partitions, batch_size, breaker, summary, sleep, kafka, engine
        )
        drain.publish_all()
        drain_while_busy(drain.step, drain.idle_seconds, linger or Linger())
        drain.finish()
    summary.seconds = round(time.monotonic() - started, 3)
    return summary


class _Drain:
    def __init__(
        self,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        published: PublishedPositions | None,
        topic: str,
        partitions: Sequence[tuple[str, int]] | None,
        batch_size: int,
        breaker: BadRecordBreaker,
        summary: Transformed,
        sleep: Callable[[float], None],
        kafka: Mapping[str, Any] | None,
        engine: Engine,
    ) -> None:
        self._raw, self._warehouse, self._published, self._topic = raw, warehouse, published, topic
        self._wanted = None if partitions is None else set(partitions)
        self._batch_size, self._breaker, self._summary, self._sleep = batch_size, breaker, summary, sleep
        self._kafka = kafka
        self._cursors: dict[tuple[str, int], cursors.Cursor] = {}
        self._failures: dict[tuple[str, int], tuple[Exception, float]] = {}
        self._loader, self._engine = Loader(warehouse), engine
        self._store, self._store_id = RawStore(raw), ""
        self._whole: Sequence[dict[str, Any]] = ()
        self._has_loaded = False
        self._began_at = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since anything moved here or in landing, whose drain may have been woken together with this one."""
        moved = min(cursors.seconds_since_a_move(self._warehouse, stage) for stage in (STAGE, LANDING))
        return min(moved, time.monotonic() - self._began_at)

    def step(self) -> int:
        """Load one batch of each partition that has work; wait a moment if none has.

        All partitions are taken before the first is loaded: a frozen owner of a later one may hold rows that the first
        needs, and taking terminates it.
        """
        self._warehouse.execute(ADOPT_NEW_PARTITIONS)
        with_work = {
            (topic_id, partition): (landed_to, start)
            for topic_id, partition, landed_to, start in self._warehouse.execute(WITH_WORK).fetchall()
            if self._wanted is None or (topic_id, partition) in self._wanted
        }
        for key in with_work:
            if key not in self._cursors:
                self._cursors[key] = cursors.take(self._warehouse, STAGE, *key)
        if with_work:
            self._check_store(with_work)
        moved = 0
        for key, (landed_to, start) in with_work.items():
            if key not in self._failures or time.monotonic() >= self._failures[key][1]:
                moved += self._try_batch(key, landed_to, start)
        if moved:
            self._publish()
        elif self._failures:
            self.finish()
        else:
            self._sleep(0.1)
        return moved

    def finish(self) -> None:
        """Raise the errors of failed partitions, which were deferred while the others went on."""
        failed = sorted(self._failures.items())
        if len(failed) == 1:
            raise failed[0][1][0]
        if failed:
            named = (f"topic {t} partition {p}: {type(e).__name__}: {e}" for (t, p), (e, _) in failed)
            raise PartitionsFailed("; ".join(named)) from failed[0][1][0]

    def _check_store(self, landed: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """Check that raw holds what landing's cursors say; `landed`: (cursor, start). Raises RawStoreLost."""
        try:
            if not self._store_id:
                self._store_id = adopted_identity(self._store, self._warehouse)
            landed_to = {key: to for key, (to, _) in landed.items()}
            check_marks(
                self._store, self._store_id, landed_to, {key: start for key, (_, start) in landed.items()}
            )
        except (RawStoreLost, PyMongoError) as error:
            cursors.note_failure(self._warehouse, STAGE, landed, error)
            raise

    def _try_batch(self, key: tuple[str, int], landed_to: int, start: int) -> int:
        """Load one batch of a partition; returns how far its cursor moved. Keeps its failure unless that concerns all."""
        try:
            moved = self._one_batch(key, landed_to, start)
        except cursors.Fenced:
            raise
        except Exception as error:
            cursors.note_failure(self._warehouse, STAGE, [key], error)
            concern_all = (TooManyBadRecords, RawStoreLost, PyMongoError)
            if isinstance(error, concern_all) or self._warehouse.closed or self._warehouse.broken:
                raise
            logger.error(
                "partition=%d topic_id=%s failed: %s: %s", key[1], key[0], type(error).__name__, error
            )
            self._failures[key] = (error, time.monotonic() + RETRY_SECONDS)
            return 0
        self._failures.pop(key, None)
        return moved

    def _one_batch(self, key: tuple[str, int], landed_to: int, start: int) -> int:
        before = self._cursors[key].next_offset
        candidates = expected_offsets(self._warehouse, *key, before, landed_to)
        expected = list(islice(candidates, self._batch_size))
        end = expected[-1][0] + 1 if len(expected) == self._batch_size else landed_to
        found = read_points(self._raw.raw_tweets, *key, (offset for offset, _ in expected), FIELDS)
        absent = {offset: is_required for offset, is_required in expected if offset not in found}
        if absent:
            found |= self._account_for(key, absent, (landed_to, start), len(expected))
        documents = [found[offset] for offset in sorted(found)]
        self._whole, self._has_loaded = documents, False
        self._load(documents, key, end)
        self._summary.read += len(found)
        return end - before

    def _account_for(
        self, key: tuple[str, int], absent: Mapping[int, bool], landed: tuple[int, int], expected: int
    ) -> dict[int, dict[str, Any]]:
        """Account for offsets without a document; returns the documents that Kafka still had.

        Raises RawStoreLost if the store was replaced or has lost too much, and KafkaUnavailable.
        """
        letters = read_points(self._raw.dead_letters, *key, absent, {"_id": 1})
        missing = [offset for offset, is_required in absent.items() if is_required and offset not in letters]
        if not missing:
            return {}
        self._check_store({key: landed})  # it may have been replaced since this step checked
        topic_id, partition = key
        if self._kafka is None:
            raise KafkaUnavailable(
                f"topic {topic_id} partition {partition}: {len(missing)} documents are missing in raw from offset"
                f" {missing[0]} on, and no Kafka was given to read them again from"
            )
        values = read_again(self._kafka, self._cursors[key].topic, topic_id, partition, missing)
        gone = [offset for offset in missing if offset not in values]
        if len(gone) >= LOST_FROM and len(gone) * 2 > expected:
            raise RawStoreLost(
                f"topic {topic_id} partition {partition}: {len(gone)} of {expected} documents from offset {gone[0]} on are"
                f" missing in raw, and Kafka no longer has them. {WHAT_TO_DO}"
            )
        if gone:
            self._write_gaps(key, gone)
        logger.error(
            "incident=missing_in_raw topic_id=%s partition=%d first=%d read_again=%d gone=%d",
            topic_id,
            partition,
            missing[0],
            len(values),
            len(gone),
        )
        self._summary.read_again += len(values)
        self._summary.missing += len(gone)
        return self._put_back(key, values)

    def _put_back(
        self, key: tuple[str, int], values: Mapping[int, bytes | None]
    ) -> dict[int, dict[str, Any]]:
        """Land missing values again under their own coordinates; returns the documents by offset."""
        documents = {}
        for offset, value in values.items():
            at = Coordinate(*key, offset)
            try:
                document = raw_document(value, at, datetime.now(UTC))
                collection, documents[offset] = self._raw.raw_tweets, document
            except Unlandable as why:
                collection, document = self._raw.dead_letters, dead_letter(value, at, why.reason, str(why))
            collection.with_options(write_concern=DURABLE).replace_one({"_id": at.key}, document, upsert=True)
        return documents

    def _write_gaps(self, key: tuple[str, int], offsets: Iterable[int]) -> None:
        with self._warehouse.transaction():
            cursors.hold(self._warehouse, self._cursors[key])
            for start, end in runs(offsets):
                self._warehouse.execute(GAP, (*key, start, end, MISSING_IN_RAW))

    def _load(self, documents: Sequence[dict[str, Any]], key: tuple[str, int], end: int) -> None:
        """Load documents and move the cursor to `end`; halve a rejected batch until the bad record is alone."""
        try:
            prepared = self._engine(documents, *key)
            if documents is self._whole:
                bad = {letter.at.offset for letter in prepared.dead_letters}
                sources = {offset_of(document["_id"]): document.get("source") for document in documents}
                self._breaker.check_live(sources.values(), [sources[offset] for offset in bad])
            self._commit(prepared, key, end)
        except Exception as refused:
            fault = fault_of(refused)
            if fault is Fault.SERVER or not documents:
                raise
            if len(documents) > 1:
                half = len(documents) // 2
                self._load(documents[:half], key, offset_of(documents[half]["_id"]))
                self._load(documents[half:], key, end)
                return
            if fault is Fault.TOO_SLOW or (
                fault is Fault.UNKNOWN and not self._a_neighbour_loads(documents[0], key)
            ):
                raise
            self._breaker.check_live([], [documents[0].get("source")])
            at = Coordinate(*key, offset_of(documents[0]["_id"]))
            alone = Prepared()
            alone.refuse(DeadLetter(at, "refused", str(refused), documents[0]["envelope"]))
            self._commit(alone, key, end)
            self._summary.dead_lettered += 1
            return
        loaded = len(documents) - len(prepared.dead_letters) - prepared.removed
        self._has_loaded = self._has_loaded or loaded > 0
        self._summary.loaded += loaded
        self._summary.dead_lettered += len(prepared.dead_letters)
        self._summary.removed += prepared.removed

    def _a_neighbour_loads(self, suspect: dict[str, Any], key: tuple[str, int]) -> bool:
        """Whether another document of the batch loads: if so, the suspect is at fault and not the server.

        A later document is loaded before its turn; loading it again in its turn changes nothing.
        """
        if self._has_loaded:
            return True
        others = [document for document in self._whole if document["_id"] > suspect["_id"]]
        for other in others[:NEIGHBOURS_TRIED]:
            try:
                prepared = self._engine([other], *key)
                if not prepared.dead_letters and not prepared.removed:
                    prepared.drift.clear()  # counted in its turn
                    self._commit(prepared, key, self._cursors[key].next_offset)
                    self._has_loaded = True
                    return True
            except Exception as error:
                if fault_of(error) is Fault.SERVER:
                    raise
        return False

    def _commit(self, prepared: Prepared, key: tuple[str, int], end: int) -> None:
        for attempt in range(1, DEADLOCK_TRIES + 1):
            try:
                self._cursors[key] = self._loader.load(prepared, self._cursors[key], end)
                return
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if attempt == DEADLOCK_TRIES:
                    raise
                self._sleep(random.uniform(0, 0.05 * 2**attempt))

    def publish_all(self) -> None:
        """Publish every partition's position once: one without work would otherwise count as lagging in a new group."""
        if self._published is not None and (current := self._current_topic_id()) is not None:
            positions = cursors.positions(self._warehouse, STAGE)
            self._published.publish({p: to for (topic_id, p), to in positions.items() if topic_id == current})

    def _publish(self) -> None:
        if self._published is not None:
            current = self._current_topic_id()
            held = {p: c.next_offset for (topic_id, p), c in self._cursors.items() if topic_id == current}
            if held:
                self._published.publish(held)

    def _current_topic_id(self) -> str | None:
        row = self._warehouse.execute(
            "select topic_id from pipeline.cursors where stage = 'land' and topic = %s order by updated_at desc limit 1",
            (self._topic,),
        ).fetchone()
        return None if row is None else row[0]
