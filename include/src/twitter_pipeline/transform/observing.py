"""Observe again what an older version loaded: it recorded only where tweets were seen.

Reads raw documents and dead letters by their coordinates, from where it left off, and writes only observations.
"""

from typing import Any

import psycopg
from pymongo.database import Database

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.landing.raw_store import read_points
from twitter_pipeline.transform.engines import rows
from twitter_pipeline.warehouse import observations

SLICE = 1_000
NEXT = "select topic_id, partition, from_offset, to_offset from pipeline.unobserved order by 1, 2 limit 1"
LEFT = "select coalesce(sum(to_offset - from_offset), 0)::bigint from pipeline.unobserved"
MOVE = "update pipeline.unobserved set from_offset = %s where topic_id = %s and partition = %s and to_offset > %s"
DONE = "delete from pipeline.unobserved where topic_id = %s and partition = %s and to_offset <= %s"
FIELDS = {"envelope": 1, "landed_at": 1, "removed_at": 1}


def observe_older(raw: Database[Any], warehouse: psycopg.Connection[Any], most: int | None = None) -> int:
    """Observe about `most` offsets of older versions (None: all); returns how many are left.

    `warehouse` in autocommit mode. If it is killed, the next call resumes; safe to run repeatedly and concurrently.
    """
    observations.prepare(warehouse)
    passed = 0
    while most is None or passed < most:
        row = warehouse.execute(NEXT).fetchone()
        if row is None:
            return 0
        topic_id, partition, start, end = row
        until = min(start + SLICE, end)
        seen = _seen(raw, topic_id, partition, range(start, until))
        with warehouse.transaction():
            seen.merge_into(warehouse)
            warehouse.execute(MOVE, (until, topic_id, partition, until))
            warehouse.execute(DONE, (topic_id, partition, until))
        passed += until - start
    row = warehouse.execute(LEFT).fetchone()
    return int(row[0]) if row else 0


def _seen(raw: Database[Any], topic_id: str, partition: int, offsets: range) -> observations.Observations:
    found = read_points(raw.raw_tweets, topic_id, partition, offsets, FIELDS)
    seen = rows.prepare([found[offset] for offset in sorted(found)], topic_id, partition).observations
    seen.drop("envelope")  # these rows prove a load, and the older version may not have loaded the envelope
    letters = read_points(raw.dead_letters, topic_id, partition, offsets, {"payload": 1})
    for offset, letter in letters.items():
        seen.note_unread(letter.get("payload"), Coordinate(topic_id, partition, offset))
    return seen
