"""Accept that the raw store has lost what landing wrote: how to continue after RawStoreLost.

What Kafka still has is left to landing, which refills it from the mark. The rest is recorded as settled gaps: of kind
offsets where it was never loaded, of kind raw where only the document is lost and its tweets are rows.
"""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from pymongo.database import Database

from tweet_envelope.topic import TopicMissing
from twitter_pipeline.landing.expected import expected_offsets, runs
from twitter_pipeline.landing.raw_store import CURRENT_STORE, LOOKED_AT_WHEN_ADOPTING, RawStore, read_points
from twitter_pipeline.stages import LAND
from twitter_pipeline.streaming.log import Log

logger = logging.getLogger(__name__)

POSITIONS = """
select landing.topic_id, landing.partition, landing.start_offset, landing.next_offset,
    greatest(coalesce(transform.next_offset, landing.start_offset), landing.start_offset)
from pipeline.cursors landing
left join pipeline.cursors transform
    on transform.stage = 'transform' and transform.topic_id = landing.topic_id
    and transform.partition = landing.partition
where landing.stage = 'land' order by 1, 2
"""
SETTLED_GAP = """
insert into pipeline.gaps
    (kind, topic_id, partition, from_offset, to_offset, reason, settled_at, settled_by, settlement)
select %(kind)s, %(topic_id)s, %(partition)s, %(from)s, %(to)s, 'lost by the raw store', now(), %(by)s, %(reason)s
where not exists (
    select from pipeline.gaps where kind = %(kind)s and topic_id = %(topic_id)s and partition = %(partition)s
        and from_offset = %(from)s and to_offset = %(to)s
)
on conflict do nothing
"""
RETIRE_STORE = "update pipeline.raw_stores set is_current = false where is_current and store_id <> %s"
ADOPT_STORE = """
insert into pipeline.raw_stores as known (store_id, adopted_by, reason) values (%s, %s, %s)
on conflict (store_id) do update set is_current = true, adopted_by = excluded.adopted_by, reason = excluded.reason,
    adopted_at = now() where not known.is_current
"""


@dataclass(frozen=True)
class Loss:
    """One partition's loss: offsets never loaded, documents whose tweets are rows, and what Kafka refills."""

    topic_id: str
    partition: int
    never_loaded: tuple[tuple[int, int], ...]
    only_in_raw: tuple[int, int] | None
    refilled: tuple[int, int] | None


def losses(
    raw: Database[Any], warehouse: psycopg.Connection, kafka: Mapping[str, Any], topic: str
) -> list[Loss]:
    """What accepting now would give up, per partition that lost something. Never writes. Raises KafkaUnavailable."""
    store = RawStore(raw)
    row = warehouse.execute(CURRENT_STORE).fetchone()
    identity, known = store.identity(), None if row is None else str(row[0])
    log_id, starts = _log(kafka, topic)
    rows = warehouse.execute(POSITIONS).fetchall()
    marks = {} if identity is None else store.marks([(t, p) for t, p, *_ in rows], identity)
    found = []
    for topic_id, partition, start, landed_to, loaded_to in rows:
        mark = min(marks.get((topic_id, partition), start), landed_to)
        if (
            known is None and mark < landed_to
        ):  # never adopted, so without marks: a partition that holds one of the newest is whole
            newest = range(landed_to - 1, max(start, landed_to - LOOKED_AT_WHEN_ADOPTING) - 1, -1)
            mark = landed_to if store.holds_any(topic_id, partition, newest) else start
        if mark >= landed_to:
            continue
        in_log_from = starts.get(partition, landed_to) if topic_id == log_id else landed_to
        lost_to = min(max(mark, in_log_from), landed_to)
        found.append(
            Loss(
                topic_id,
                partition,
                tuple(_not_held(raw, warehouse, topic_id, partition, max(mark, loaded_to), lost_to)),
                (mark, min(loaded_to, lost_to)) if mark < min(loaded_to, lost_to) else None,
                (lost_to, landed_to) if lost_to < landed_to else None,
            )
        )
    return found


def accept_loss(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    kafka: Mapping[str, Any],
    topic: str,
    *,
    by: str,
    reason: str,
) -> list[Loss]:
    """Give up what Kafka no longer has, and adopt the store as it is; returns what was given up.

    `warehouse` in autocommit mode. If it is killed at any point, run it again. Raises KafkaUnavailable, because without
    Kafka it is unknown what need not be given up.
    """
    given_up = losses(raw, warehouse, kafka, topic)
    store = RawStore(raw)
    row = warehouse.execute(CURRENT_STORE).fetchone()
    store_id = store.name(str(row[0]) if row else str(uuid.uuid4()))
    with warehouse.transaction():
        warehouse.execute(RETIRE_STORE, (store_id,))
        warehouse.execute(ADOPT_STORE, (store_id, by, reason))
        for loss in given_up:
            what = {"topic_id": loss.topic_id, "partition": loss.partition, "by": by, "reason": reason}
            ranges = [("offsets", each) for each in loss.never_loaded]
            ranges += [("raw", loss.only_in_raw)] if loss.only_in_raw else []
            for kind, (start, end) in ranges:
                warehouse.execute(SETTLED_GAP, {**what, "kind": kind, "from": start, "to": end})
    lost = {(loss.topic_id, loss.partition): loss for loss in given_up}
    for topic_id, partition, _, landed_to, _ in warehouse.execute(POSITIONS).fetchall():
        refilled = lost[topic_id, partition].refilled if (topic_id, partition) in lost else None
        whole_to = landed_to if refilled is None else refilled[0]
        store.begin_mark(topic_id, partition, store_id, whole_to)
        store.raise_mark(topic_id, partition, store_id, 0, whole_to)
    logger.warning("raw loss accepted store_id=%s by=%s partitions=%d", store_id, by, len(given_up))
    return given_up


def _log(kafka: Mapping[str, Any], topic: str) -> tuple[str | None, dict[int, int]]:
    """The topic's id and where its partitions start; (None, {}) if there is no such topic."""
    try:
        with Log(kafka, topic, LAND.group) as log:
            return log.topic_id, log.starts()
    except TopicMissing:
        return None, {}


def _not_held(
    raw: Database[Any], warehouse: psycopg.Connection, topic_id: str, partition: int, start: int, end: int
) -> list[tuple[int, int]]:
    if start >= end:
        return []
    required = [
        o for o, is_required in expected_offsets(warehouse, topic_id, partition, start, end) if is_required
    ]
    held = set(read_points(raw.raw_tweets, topic_id, partition, required, {"_id": 1}))
    held |= set(read_points(raw.dead_letters, topic_id, partition, required, {"_id": 1}))
    return runs(offset for offset in required if offset not in held)
