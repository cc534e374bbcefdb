"""Observe again what an older version landed: it recorded only where loaded tweets were seen.

Reads raw documents and dead letters by their coordinates, from where it left off, and writes only observations. Absence is
not a statement: an offset is passed only if its document or dead letter was read, or if it is known to have none.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
from pymongo.database import Database

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.landing.expected import expected_offsets
from twitter_pipeline.landing.raw_store import LANDED, RawStore, adopted_identity, check_marks, read_points
from twitter_pipeline.stages import TRANSFORM
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines import rows
from twitter_pipeline.warehouse import observations
from twitter_pipeline.warehouse.observations import Observations

SLICE = 1_000
LETTERS_AT_ONCE = 200
NEXT = "select topic_id, partition, from_offset, to_offset from pipeline.unobserved order by 1, 2 limit 1"
LEFT = "select coalesce(sum(to_offset - from_offset), 0)::bigint from pipeline.unobserved"
MOVE = """
update pipeline.unobserved set from_offset = %(to)s
where topic_id = %(topic_id)s and partition = %(partition)s and from_offset < %(to)s and to_offset > %(to)s
"""
DONE = """
delete from pipeline.unobserved where topic_id = %(topic_id)s and partition = %(partition)s and to_offset <= %(to)s
"""
NOT_LOADED = """
select "offset" from pipeline.dead_letters
where stage = 'transform' and topic_id = %s and partition = %s and "offset" = any(%s)
    and resolution is distinct from 'loaded'
"""
LETTERS_LEFT = "select from pipeline.backfills where name = 'observed_letters' and below_id is not null"
LETTERS_DONE = (
    "update pipeline.backfills set below_id = null, updated_at = now() where name = 'observed_letters'"
)
FIELDS = {"envelope": 1, "landed_at": 1, "removed_at": 1}
WITHOUT_A_PLACE = {"_id": {"$regex": "^(extract|import)/|/conflict$"}}


class NotInRaw(RuntimeError):
    """An offset that must have a document or a dead letter has neither; the text says what to do."""


def observe_older(raw: Database[Any], warehouse: psycopg.Connection[Any], most: int | None = None) -> int:
    """Observe about `most` offsets of older versions (None: all); returns how many are left.

    `warehouse` in autocommit mode. If it is killed, the next call resumes; safe to run repeatedly and concurrently. Raises
    RawStoreLost if the raw store is not the one that the cursors speak of or has lost something, and NotInRaw.
    """
    observations.prepare(warehouse)
    passed = 0
    while (row := warehouse.execute(NEXT).fetchone()) is not None:
        if most is not None and passed >= most:
            left = warehouse.execute(LEFT).fetchone()
            return int(left[0]) if left else 0
        passed += _observe_slice(raw, warehouse, *row)
    _observe_letters(raw, warehouse)
    return 0


def _observe_slice(
    raw: Database[Any],
    warehouse: psycopg.Connection[Any],
    topic_id: str,
    partition: int,
    start: int,
    end: int,
) -> int:
    _check_store(raw, warehouse)
    expected = dict(islice(expected_offsets(warehouse, topic_id, partition, start, end), SLICE))
    until = max(expected) + 1 if len(expected) == SLICE else end
    seen = _seen(raw, warehouse, topic_id, partition, expected)
    passed = {"topic_id": topic_id, "partition": partition, "to": until}
    with warehouse.transaction():
        seen.merge_into(warehouse)
        warehouse.execute(MOVE, passed)
        warehouse.execute(DONE, passed)
    return until - start


def _check_store(raw: Database[Any], warehouse: psycopg.Connection[Any]) -> None:
    """Check that the store holds what landing's cursors say. Raises RawStoreLost."""
    store = RawStore(raw)
    identity = adopted_identity(store, warehouse)
    landed = warehouse.execute(LANDED).fetchall()
    landed_to = {(topic_id, partition): to for _, topic_id, partition, _, to in landed}
    starts = {(topic_id, partition): start for _, topic_id, partition, start, _ in landed}
    check_marks(store, identity, landed_to, starts)


def _seen(
    raw: Database[Any],
    warehouse: psycopg.Connection[Any],
    topic_id: str,
    partition: int,
    expected: dict[int, bool],
) -> Observations:
    found = read_points(raw.raw_tweets, topic_id, partition, expected, FIELDS)
    letters = read_points(raw.dead_letters, topic_id, partition, expected, {"payload": 1})
    missing = [
        n for n, is_required in expected.items() if is_required and n not in found and n not in letters
    ]
    if missing:
        raise NotInRaw(
            f"topic {topic_id} partition {partition}: {len(missing)} offsets from {missing[0]} on have neither a document nor"
            " a dead letter in MongoDB. See `twitter-pipeline raw check`; what cannot be had again is given up by"
            " `twitter-pipeline raw accept-loss`"
        )
    known = (topic_id, partition, list(found))
    not_loaded = {offset for (offset,) in warehouse.execute(NOT_LOADED, known).fetchall()}
    # transform observes by itself what it has not loaded yet
    loaded_to = cursors.positions(warehouse, TRANSFORM.name).get((topic_id, partition), 0)
    loaded = [found[n] for n in sorted(found) if n not in not_loaded and n < loaded_to]
    seen = rows.prepare(loaded, topic_id, partition).observations
    seen.drop("envelope")  # these rows prove a load, and the older version may not have loaded the envelope
    for offset in not_loaded:
        seen.note_unread(found[offset].get("envelope"), Coordinate(topic_id, partition, offset))
    for offset, letter in letters.items():
        seen.note_unread(letter.get("payload"), Coordinate(topic_id, partition, offset))
    return seen


def _observe_letters(raw: Database[Any], warehouse: psycopg.Connection[Any]) -> None:
    """Observe, once, the dead letters that never had a place in Kafka, and conflicts under a coordinate."""
    if warehouse.execute(LETTERS_LEFT).fetchone() is None:
        return
    letters = iter(raw.dead_letters.find(WITHOUT_A_PLACE, {"payload": 1}))
    while some := list(islice(letters, LETTERS_AT_ONCE)):
        observations.observe_letters(warehouse, _named(some))
    warehouse.execute(LETTERS_DONE)


def _named(letters: list[dict[str, Any]]) -> Iterator[tuple[str, bytes | None]]:
    for letter in letters:
        yield str(letter["_id"]), letter.get("payload")
