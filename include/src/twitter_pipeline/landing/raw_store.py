"""The raw store as landing and transform see it: read by `_id`, and identified by its identity and its marks.

Documents are requested by their `_id`s, never by a range: the offsets of a range are known, and the embedded server
answers a range of `_id` with a scan of the whole collection, while chunks of `$in` are index reads there and on MongoDB,
at any size of the store (docs/decisions/0019).

A store that was wiped, replaced or restored from an older copy would look as if nothing had been collected in some
ranges. So the store carries an identity (`pipeline_marks`, _id "identity"), which PostgreSQL records too, and one mark
per partition: how far landing has filled it, written after the documents and before landing's cursor moves. A different
identity, or a mark below the cursor, raises `RawStoreLost`.
"""

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import psycopg
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from tweet_envelope.coordinates import Coordinate, offset_of
from twitter_pipeline.landing.lost import RawStoreLost

logger = logging.getLogger(__name__)

DURABLE = WriteConcern(w="majority", j=True)
CHUNK = 25  # ids in one $in: cheapest per document on the embedded server
IDENTITY = "identity"
LOOKED_AT_WHEN_ADOPTING = 1_000  # offsets before landing's cursor, of which at least one must exist
CURRENT_STORE = "select store_id from pipeline.raw_stores where is_current"
ADOPT = """
insert into pipeline.raw_stores (store_id, adopted_by, reason)
select %s, current_user, %s where not exists (select from pipeline.raw_stores where is_current)
on conflict do nothing
"""
LANDED = """
select topic, topic_id, partition, start_offset, next_offset from pipeline.cursors
where stage = 'land' order by topic_id, partition
"""
KNOWN_EMPTY = """
select from pipeline.gaps where kind = 'offsets' and topic_id = %(topic_id)s and partition = %(partition)s
    and from_offset < %(to)s and to_offset > %(from)s
union all
select from pipeline.empty_ranges where topic_id = %(topic_id)s and partition = %(partition)s
    and from_offset < %(to)s and to_offset > %(from)s
limit 1
"""
WHAT_TO_DO = (
    "Nothing was moved and no gap was written. If PIPELINE_MONGO_URI or the database is wrong, correct it; if a newer"
    " backup exists, restore it; otherwise `twitter-pipeline raw accept-loss` gives up what Kafka no longer has"
)


def chunks(ids: Iterable[str], size: int = CHUNK) -> Iterator[list[str]]:
    """The ids in lists of at most `size`, one list per $in."""
    remaining = iter(ids)
    while chunk := list(islice(remaining, size)):
        yield chunk


def points_filter(ids: Sequence[str]) -> dict[str, Any]:
    """The filter of one read by `_id`; also what `explain` is asked about."""
    return {"_id": {"$in": list(ids)}}


def read_points(
    collection: Collection[Any],
    topic_id: str,
    partition: int,
    offsets: Iterable[int],
    fields: Mapping[str, Any],
) -> dict[int, dict[str, Any]]:
    """The documents at these offsets, by offset. The cost grows with the number of offsets, not with the collection."""
    found: dict[int, dict[str, Any]] = {}
    for ids in chunks(Coordinate(topic_id, partition, offset).key for offset in offsets):
        for document in collection.find(points_filter(ids), fields, batch_size=CHUNK):
            found[offset_of(document["_id"])] = document
    return found


def mark_key(topic_id: str, partition: int) -> str:
    """The `_id` of a partition's mark."""
    return f"{topic_id}/{partition:05d}"


class RawStore:
    """The identity and the marks of one raw store. Raises pymongo's errors if the store does not answer."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database
        self._marks: Collection[Any] = database.pipeline_marks.with_options(write_concern=DURABLE)

    def identity(self) -> str | None:
        """The identity that the store carries now; None if it has none."""
        found = self._marks.find_one({"_id": IDENTITY})
        return None if found is None else str(found["store_id"])

    def name(self, store_id: str) -> str:
        """Give the store an identity unless it has one; returns the identity it then has."""
        with suppress(DuplicateKeyError):
            self._marks.insert_one({"_id": IDENTITY, "store_id": store_id, "created_at": datetime.now(UTC)})
        return self.identity() or store_id

    def marks(self, partitions: Iterable[tuple[str, int]], store_id: str) -> dict[tuple[str, int], int]:
        """How far landing has filled each partition; partitions without a mark of this identity are left out."""
        keys = {mark_key(*partition): partition for partition in partitions}
        found: dict[tuple[str, int], int] = {}
        for ids in chunks(keys):
            for mark in self._marks.find({"_id": {"$in": ids}}):
                if mark.get("store_id") == store_id:
                    found[keys[mark["_id"]]] = int(mark["landed_to"])
        return found

    def begin_mark(self, topic_id: str, partition: int, store_id: str, at: int) -> None:
        """Create a partition's mark unless it exists. A mark of another identity is replaced."""
        key = mark_key(topic_id, partition)
        self._marks.delete_one({"_id": key, "store_id": {"$ne": store_id}})
        with suppress(DuplicateKeyError):
            self._marks.insert_one({"_id": key, "store_id": store_id, "landed_to": at})

    def raise_mark(self, topic_id: str, partition: int, store_id: str, known: int, to: int) -> None:
        """Record that everything before `to` is in the store. Raises RawStoreLost if the store has changed.

        `known` is where the mark was: in a store that was wiped or restored meanwhile it is gone or lower.
        """
        done = self._marks.update_one(
            {"_id": mark_key(topic_id, partition), "store_id": store_id, "landed_to": {"$gte": known}},
            {"$max": {"landed_to": to}, "$set": {"updated_at": datetime.now(UTC)}},
        )
        if done.matched_count == 0:
            raise RawStoreLost(
                f"the raw store changed while topic {topic_id} partition {partition} was landed: its mark of {known} is"
                f" gone or lower. {WHAT_TO_DO}"
            )

    def holds_any(self, topic_id: str, partition: int, offsets: Iterable[int]) -> bool:
        """Whether at least one of the offsets has a document or a dead letter."""
        ids = (Coordinate(topic_id, partition, offset).key for offset in offsets)
        for chunk in chunks(ids):
            wanted = points_filter(chunk)
            if self._database.raw_tweets.find_one(wanted, {"_id": 1}) is not None:
                return True
            if self._database.dead_letters.find_one(wanted, {"_id": 1}) is not None:
                return True
        return False


def adopted_identity(store: RawStore, warehouse: psycopg.Connection) -> str:
    """The identity that PostgreSQL records, after adopting the store if none is recorded yet.

    A store without an identity, from an older version, is adopted if each partition that landing has filled still holds
    at least one of the newest offsets; its marks are set to landing's cursors. Raises RawStoreLost if one holds none.
    """
    if (row := warehouse.execute(CURRENT_STORE).fetchone()) is not None:
        return str(row[0])
    landed = warehouse.execute(LANDED).fetchall()
    for _, topic_id, partition, start, landed_to in landed:
        newest = range(landed_to - 1, max(start, landed_to - LOOKED_AT_WHEN_ADOPTING) - 1, -1)
        span = {"topic_id": topic_id, "partition": partition, "from": newest.stop + 1, "to": landed_to}
        if landed_to > start and not store.holds_any(topic_id, partition, newest):
            if warehouse.execute(KNOWN_EMPTY, span).fetchone() is not None:
                continue
            raise RawStoreLost(
                f"topic {topic_id} partition {partition}: landing has filled offsets {start} to {landed_to}, and the raw"
                f" store holds none of the newest {len(newest)}. {WHAT_TO_DO}"
            )
    store_id = store.name(str(uuid.uuid4()))
    for _, topic_id, partition, _, landed_to in landed:
        store.begin_mark(topic_id, partition, store_id, landed_to)
        store.raise_mark(topic_id, partition, store_id, 0, landed_to)
    warehouse.execute(ADOPT, (store_id, "adopted at the first run"))
    row = warehouse.execute(CURRENT_STORE).fetchone()
    logger.info("raw store adopted store_id=%s", row and row[0])
    return str(row[0]) if row else store_id


def check_marks(
    store: RawStore,
    store_id: str,
    landed_to: Mapping[tuple[str, int], int],
    starts: Mapping[tuple[str, int], int],
) -> None:
    """Check that the store holds what landing's cursors say. Raises RawStoreLost, which names what is missing.

    `starts`: where each partition began; a partition that landing never filled needs no mark.
    """
    if (found := store.identity()) != store_id:
        raise RawStoreLost(
            f"the raw store {_described(found)}, but the cursors speak of store {store_id}. {WHAT_TO_DO}"
        )
    marks = store.marks(landed_to, store_id)
    below = [
        f"topic {topic_id} partition {partition} offsets {mark} to {to}"
        for (topic_id, partition), to in sorted(landed_to.items())
        if to > (mark := marks.get((topic_id, partition), starts[topic_id, partition]))
    ]
    if below:
        raise RawStoreLost(
            f"the raw store has lost what landing wrote: {'; '.join(below[:5])}"
            f"{f' and {len(below) - 5} more' if len(below) > 5 else ''}. Landing refills them from Kafka where it can."
            f" {WHAT_TO_DO}"
        )


def _described(identity: str | None) -> str:
    return (
        "has no identity (it was wiped, or is another database)"
        if identity is None
        else f"is store {identity}"
    )
