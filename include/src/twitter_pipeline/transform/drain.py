"""Drain raw tweets into the tables.

Reads MongoDB by Kafka coordinates between transform's cursor and landing's: unordered inserts become visible in
any order, so nothing beyond landing's cursor may be read. Retired topics are drained to their end like the
current one. A batch that PostgreSQL refuses for its data is halved until the refused record stands alone, and
that one goes to the dead letters; a fault of the infrastructure is raised, never dead-lettered.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from pymongo.database import Database

from twitter_pipeline.landing.documents import Coordinate, offset_of
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.flood import FloodGate
from twitter_pipeline.streaming.hints import Hints
from twitter_pipeline.streaming.log import PROCESSING_GROUP
from twitter_pipeline.streaming.warmth import Warmth, stay_warm
from twitter_pipeline.transform.flatten import Batch, Coordinates, Unreadable
from twitter_pipeline.transform.load import STAGE, Loader, Quarantined

logger = logging.getLogger(__name__)

DEADLOCK_TRIES = 5
ADOPT_NEW_PARTITIONS = """
insert into pipeline.cursors (stage, topic, topic_id, partition, start_offset, next_offset)
select 'transform', topic, topic_id, partition, start_offset, start_offset from pipeline.cursors landing
where stage = 'landing' and not exists (
    select from pipeline.cursors known
    where known.stage = 'transform' and known.topic_id = landing.topic_id and known.partition = landing.partition
)
order by topic_id, partition
on conflict do nothing
"""
WITH_WORK = """
select transform.topic_id, transform.partition, landing.next_offset
from pipeline.cursors transform
join pipeline.cursors landing using (topic_id, partition)
where transform.stage = 'transform' and landing.stage = 'landing' and transform.next_offset < landing.next_offset
order by transform.topic_id, transform.partition
"""


@dataclass
class Transformed:
    """What one drain did: raw documents read, envelopes loaded, quarantined, removed ones met, seconds."""

    read: int = 0
    loaded: int = 0
    quarantined: int = 0
    removed: int = 0
    seconds: float = 0.0


def transform(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    kafka: Mapping[str, Any] | None = None,
    *,
    topic: str = "raw-tweets",
    partitions: Sequence[tuple[str, int]] | None = None,
    batch_size: int = 4000,
    warmth: Warmth | None = None,
    flood: FloodGate | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Transformed:
    """Load what was landed, stay warm for more, and tell what was done.

    `warehouse`: a connection in autocommit mode; `kafka`: where the position is published as a hint (None: not);
    `partitions`: (topic id, partition) pairs to take (default: all that have work, as they come). Safe to run
    twice or at once. Raises cursors.Fenced when another drain took over (end, do not retry), psycopg and pymongo
    errors (retry), Flood (a person must look).
    """
    started, summary = time.monotonic(), Transformed()
    with (
        cursors.fenced_when_ended(warehouse, STAGE, partitions),
        Hints(kafka or {}, topic, PROCESSING_GROUP) as hints,
    ):
        publisher = None if kafka is None else hints
        gate = flood or FloodGate(STAGE)
        drain = _Drain(raw, warehouse, publisher, topic, partitions, batch_size, gate, summary, sleep)
        stay_warm(drain.step, lambda: cursors.seconds_since_a_move(warehouse, STAGE), warmth or Warmth())
    summary.seconds = round(time.monotonic() - started, 3)
    return summary


class _Drain:
    def __init__(
        self,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        hints: Hints | None,
        topic: str,
        partitions: Sequence[tuple[str, int]] | None,
        batch_size: int,
        flood: FloodGate,
        summary: Transformed,
        sleep: Callable[[float], None],
    ) -> None:
        self._raw, self._warehouse, self._hints, self._topic = raw, warehouse, hints, topic
        self._wanted = None if partitions is None else set(partitions)
        self._batch_size, self._flood, self._summary, self._sleep = batch_size, flood, summary, sleep
        self._cursors: dict[tuple[str, int], cursors.Cursor] = {}
        self._loader = Loader(warehouse)

    def step(self) -> int:
        """One batch of each partition that has work; waits a moment when none has.

        All of them are taken before the first is loaded: a frozen owner of a later one may hold rows that the
        first needs, and is ended by taking.
        """
        self._warehouse.execute(ADOPT_NEW_PARTITIONS)
        with_work = [
            ((topic_id, partition), landed_to)
            for topic_id, partition, landed_to in self._warehouse.execute(WITH_WORK).fetchall()
            if self._wanted is None or (topic_id, partition) in self._wanted
        ]
        for key, _ in with_work:
            if key not in self._cursors:
                self._cursors[key] = cursors.take(self._warehouse, STAGE, *key)
        moved = sum(self._one_batch(*key, landed_to) for key, landed_to in with_work)
        if moved:
            self._publish()
        else:
            self._sleep(0.1)
        return moved

    def _one_batch(self, topic_id: str, partition: int, landed_to: int) -> int:
        key = (topic_id, partition)
        cursor = self._cursors[key]
        bounds = {
            "$gte": Coordinate(topic_id, partition, cursor.next_offset).key,
            "$lt": Coordinate(topic_id, partition, landed_to).key,
        }
        found = list(
            self._raw.raw_tweets.find({"_id": bounds}, {"envelope": 1, "source": 1, "removed_at": 1})
            .sort("_id", 1)
            .limit(self._batch_size)
            .batch_size(self._batch_size)
        )
        end = offset_of(found[-1]["_id"]) + 1 if len(found) == self._batch_size else landed_to
        before = cursor.next_offset
        self._load(found, key, end)
        self._summary.read += len(found)
        return end - before

    def _load(self, documents: list[dict[str, Any]], key: tuple[str, int], end: int) -> None:
        """Load documents and move the cursor to `end`; halve what PostgreSQL refuses until it stands alone."""
        batch, quarantined, removed = Batch(), [], 0
        sources = {offset_of(document["_id"]): document.get("source") for document in documents}
        for document in documents:
            at = Coordinates(*key, offset_of(document["_id"]))
            if document.get("removed_at") is not None:
                removed += 1
                continue
            try:
                batch.add_envelope(document["envelope"], at)
            except Unreadable as why:
                quarantined.append(Quarantined(at, why.reason, str(why), document["envelope"]))
        self._flood.check_live(sources.values(), [sources[letter.at.offset] for letter in quarantined])
        try:
            self._commit(batch, quarantined, key, end)
        except (psycopg.DataError, psycopg.IntegrityError) as refused:
            if len(documents) == 1:
                self._flood.check_live([], sources.values())
                at = Coordinates(*key, offset_of(documents[0]["_id"]))
                alone = Quarantined(at, "refused", str(refused), documents[0]["envelope"])
                self._commit(Batch(), [alone], key, end)
                self._summary.quarantined += 1
                return
            half = len(documents) // 2
            self._load(documents[:half], key, offset_of(documents[half]["_id"]))
            self._load(documents[half:], key, end)
            return
        self._summary.loaded += len(documents) - len(quarantined) - removed
        self._summary.quarantined += len(quarantined)
        self._summary.removed += removed

    def _commit(self, batch: Batch, quarantined: list[Quarantined], key: tuple[str, int], end: int) -> None:
        for attempt in range(1, DEADLOCK_TRIES + 1):
            try:
                self._cursors[key] = self._loader.load(batch, quarantined, self._cursors[key], end)
                return
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if attempt == DEADLOCK_TRIES:
                    raise
                self._sleep(random.uniform(0, 0.05 * 2**attempt))

    def _publish(self) -> None:
        if self._hints is not None:
            current = self._current_topic_id()
            held = {p: c.next_offset for (topic_id, p), c in self._cursors.items() if topic_id == current}
            if held:
                self._hints.publish(held)

    def _current_topic_id(self) -> str | None:
        row = self._warehouse.execute(
            "select topic_id from pipeline.cursors where stage = 'landing' and topic = %s order by updated_at desc limit 1",
            (self._topic,),
        ).fetchone()
        return None if row is None else row[0]
