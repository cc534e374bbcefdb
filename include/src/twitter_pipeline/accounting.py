"""The accounting identity, per (topic id, partition), computed from the stores and never from counters.

    consumed = landed + dead-lettered + in gaps (what landed before the log went is not in the gap)
    landed   = loaded + quarantined + removed + pending

Redelivered messages have the coordinates of the first delivery, so they are the same document and count once.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from pymongo.database import Database

from twitter_pipeline.landing.documents import Coordinate, offset_of

CURSORS = """
select landing.topic_id, landing.partition, landing.start_offset, landing.next_offset,
    coalesce(transform.next_offset, landing.start_offset)
from pipeline.cursors landing
left join pipeline.cursors transform
    on transform.stage = 'transform' and transform.topic_id = landing.topic_id
    and transform.partition = landing.partition
where landing.stage = 'landing' order by 1, 2
"""
LOADED = """
select distinct "offset" from pipeline.observations
where topic_id = %(topic_id)s and partition = %(partition)s
"""
QUARANTINED = """
select "offset" from pipeline.dead_letters where topic_id = %(topic_id)s and partition = %(partition)s
    and stage = 'transform'
"""
IN_GAPS = """
select from_offset, to_offset from pipeline.gaps
where kind = 'offsets' and topic_id = %(topic_id)s and partition = %(partition)s
"""


@dataclass(frozen=True)
class Account:
    """What became of every offset of one partition; `missing` and `unaccounted` are empty when the books are right."""

    topic_id: str
    partition: int
    consumed: int
    landed: int
    dead_lettered: int
    in_gaps: int
    loaded: int
    quarantined: int
    removed: int
    pending: int
    unaccounted: tuple[int, ...]

    @property
    def balances(self) -> bool:
        """Whether both identities hold."""
        return (
            self.consumed == self.landed + self.dead_lettered + self.in_gaps
            and self.landed == self.loaded + self.quarantined + self.removed + self.pending
            and not self.unaccounted
        )


def accounts(raw: Database[Any], warehouse: psycopg.Connection) -> list[Account]:
    """One account per partition of every topic that was ever drained. Never writes."""
    return [_account(raw, warehouse, *row) for row in warehouse.execute(CURSORS).fetchall()]


def _account(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    topic_id: str,
    partition: int,
    start: int,
    landed_to: int,
    loaded_to: int,
) -> Account:
    bounds = {
        "$gte": Coordinate(topic_id, partition, start).key,
        "$lt": Coordinate(topic_id, partition, landed_to).key,
    }
    documents = {
        offset_of(d["_id"]): d.get("removed_at") is not None
        for d in raw.raw_tweets.find({"_id": bounds}, {"removed_at": 1})
    }
    dead = {
        offset_of(d["_id"])
        for d in raw.dead_letters.find({"_id": bounds, "reason": {"$ne": "coordinate_conflict"}}, {"_id": 1})
    }
    key = {"topic_id": topic_id, "partition": partition}
    done = {offset for offset in documents if offset < loaded_to}
    quarantined = {offset for (offset,) in warehouse.execute(QUARANTINED, key).fetchall()} & done
    removed = {offset for offset in done if documents[offset]} - quarantined
    loaded = (
        ({offset for (offset,) in warehouse.execute(LOADED, key).fetchall()} & done) - quarantined - removed
    )
    gaps = warehouse.execute(IN_GAPS, key).fetchall()
    held = documents.keys() | dead
    return Account(
        topic_id=topic_id,
        partition=partition,
        consumed=landed_to - start,
        landed=len(documents),
        dead_lettered=len(dead),
        in_gaps=sum(b - a - sum(a <= offset < b for offset in held) for a, b in gaps),
        loaded=len(loaded),
        quarantined=len(quarantined),
        removed=len(removed),
        pending=len(documents) - len(done),
        unaccounted=tuple(sorted(done - quarantined - removed - loaded)),
    )
