"""The accounting identity, per (topic id, partition), computed from the stores and never from counters.

    consumed = landed + dead-lettered by landing + in gaps + empty (what landed before the log was lost is not in the gap)
    landed   = loaded + dead-lettered by transform + removed + pending

Redelivered messages have the coordinates of the first delivery, so they are the same document and count once. A
re-driven dead letter counts as loaded; a settled one still counts as a dead letter.

`accounts` checks everything and is meant for tests and investigations. `verify` checks each offset once, in slices of
bounded size, and stores in pipeline.accounted how far it came and which offsets it could not explain.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import psycopg
from pymongo.database import Database

from twitter_pipeline.landing.expected import expected_offsets
from twitter_pipeline.landing.raw_store import read_points
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.quality.contracts import Checked, record
from twitter_pipeline.warehouse.observations import loaded_offsets

CURSORS = """
select landing.topic_id, landing.partition, landing.start_offset, landing.next_offset,
    coalesce(transform.next_offset, landing.start_offset)
from pipeline.cursors landing
left join pipeline.cursors transform
    on transform.stage = 'transform' and transform.topic_id = landing.topic_id
    and transform.partition = landing.partition
where landing.stage = 'land' order by 1, 2
"""
DEAD_LETTERS = """
select "offset" from pipeline.dead_letters where topic_id = %(topic_id)s and partition = %(partition)s
    and stage = 'transform' and "offset" = any(%(offsets)s)
"""
EMPTY = """
select coalesce(sum(least(to_offset, %(to)s) - greatest(from_offset, %(from)s)), 0)::bigint from pipeline.empty_ranges
where topic_id = %(topic_id)s and partition = %(partition)s and from_offset < %(to)s and to_offset > %(from)s
"""
DONE = """
select landing.topic_id, landing.partition, coalesce(accounted.accounted_to, landing.start_offset),
    transform.next_offset, coalesce(accounted.unaccounted, '{}')
from pipeline.cursors landing
join pipeline.cursors transform using (topic_id, partition)
left join pipeline.accounted using (topic_id, partition)
where landing.stage = 'land' and transform.stage = 'transform'
    and (coalesce(accounted.accounted_to, landing.start_offset) < transform.next_offset
        or accounted.unaccounted_count > 0)
order by 1, 2
"""
REMEMBER = """
insert into pipeline.accounted as known (topic_id, partition, accounted_to, unaccounted_count, unaccounted)
values (%(topic_id)s, %(partition)s, %(accounted_to)s, %(count)s, %(unaccounted)s)
on conflict (topic_id, partition) do update set accounted_to = greatest(known.accounted_to, excluded.accounted_to),
    unaccounted_count = excluded.unaccounted_count, unaccounted = excluded.unaccounted, checked_at = now()
"""
UNACCOUNTED = "select coalesce(sum(unaccounted_count), 0)::bigint from pipeline.accounted"
SLICE = 5_000
LISTED = 1_000  # unaccounted offsets stored per partition; with more, the accounting stops there
CONTRACT = "pipeline.accounting"
CHECK = "every offset that transform passed is accounted for"


class AccountingFailed(RuntimeError):
    """Offsets were passed that nothing explains; the text names them. Nothing was changed; a person must look."""


@dataclass(frozen=True)
class Account:
    """The account of every offset of one partition.

    `missing` (neither document, dead letter nor known to have none) and `unaccounted` (documents that were passed and
    not loaded) are empty if the accounts are right.
    """

    topic_id: str
    partition: int
    consumed: int
    landed: int
    land_dead_letters: int
    in_gaps: int
    loaded: int
    transform_dead_letters: int
    removed: int
    pending: int
    unaccounted: tuple[int, ...]
    empty: int = 0
    missing: tuple[int, ...] = ()

    @property
    def balances(self) -> bool:
        """Whether both identities hold."""
        return (
            self.consumed == self.landed + self.land_dead_letters + self.in_gaps + self.empty
            and self.landed == self.loaded + self.transform_dead_letters + self.removed + self.pending
            and not self.unaccounted
            and not self.missing
        )


@dataclass(frozen=True)
class Verified:
    """How far one partition is accounted for, and which earlier offsets could not be explained."""

    topic_id: str
    partition: int
    accounted_to: int
    unaccounted: tuple[int, ...]

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.unaccounted[:10]))
        more = f" and {len(self.unaccounted) - 10} more" if len(self.unaccounted) > 10 else ""
        return f"topic {self.topic_id} partition {self.partition} offsets {shown}{more}"


@dataclass
class _Found:
    """What the stores hold for some offsets."""

    documents: dict[int, bool] = field(default_factory=dict)  # whether it is the stub of a removed document
    land_dead_letters: set[int] = field(default_factory=set)
    loaded: set[int] = field(default_factory=set)
    transform_dead_letters: set[int] = field(default_factory=set)


def accounts(raw: Database[Any], warehouse: psycopg.Connection) -> list[Account]:
    """One account per partition of every topic that was ever drained. Never writes; reads every offset."""
    return [_account(raw, warehouse, *row) for row in warehouse.execute(CURSORS).fetchall()]


def verify(raw: Database[Any], warehouse: psycopg.Connection, most: int = 200_000) -> list[Verified]:
    """Account for about `most` offsets that transform passed since the last call; `warehouse` in autocommit mode.

    Returns the partitions with something new or still unexplained. Unexplained offsets are checked again each time. If it
    is killed, the next call resumes.
    """
    rows = warehouse.execute(DONE).fetchall()
    share = max(most // max(len(rows), 1), SLICE)
    return [_verify(raw, warehouse, *row, share=share) for row in rows]


def verify_and_record(
    raw: Database[Any], warehouse: psycopg.Connection, run_id: str, metrics: Metrics, most: int = 200_000
) -> int:
    """`verify`, with its result stored like a contract's and sent as a gauge; returns the number of partitions checked.

    Raises AccountingFailed if an offset cannot be explained, after the result was stored.
    """
    verified = verify(raw, warehouse, most)
    row = warehouse.execute(UNACCOUNTED).fetchone()
    unaccounted = int(row[0]) if row else 0
    outcome = "failed" if unaccounted else "passed"
    record(warehouse, run_id, [Checked(CONTRACT, CHECK, None, outcome, float(unaccounted), "must be 0")])
    metrics.gauge("accounting_unaccounted", unaccounted)
    if bad := [partition for partition in verified if partition.unaccounted]:
        raise AccountingFailed(
            f"{unaccounted} offsets were passed and have no document, dead letter, gap or row: {'; '.join(map(str, bad))}."
            " Compare raw_tweets, dead_letters and pipeline.observations at these offsets"
        )
    return len(verified)


def _verify(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    topic_id: str,
    partition: int,
    accounted_to: int,
    passed: int,
    doubtful: Sequence[int],
    *,
    share: int,
) -> Verified:
    doubts = dict(_again(warehouse, topic_id, partition, doubtful))
    unexplained = _unexplained(raw, warehouse, topic_id, partition, doubts)
    offsets = expected_offsets(warehouse, topic_id, partition, accounted_to, passed)
    stop_at = accounted_to + share
    while True:
        part = dict(islice(offsets, SLICE))
        found = _unexplained(raw, warehouse, topic_id, partition, part)
        count = len(unexplained) + len(found)
        if fits := count <= LISTED:
            unexplained += found
            accounted_to = passed if len(part) < SLICE else max(part) + 1
        warehouse.execute(
            REMEMBER,
            {
                "topic_id": topic_id,
                "partition": partition,
                "accounted_to": accounted_to,
                "count": count,
                "unaccounted": unexplained,
            },
        )
        if not fits or accounted_to >= min(passed, stop_at):
            return Verified(topic_id, partition, accounted_to, tuple(unexplained) or tuple(found))


def _again(
    warehouse: psycopg.Connection, topic_id: str, partition: int, doubtful: Iterable[int]
) -> Iterator[tuple[int, bool]]:
    """The doubtful offsets that no gap has explained meanwhile."""
    for offset in doubtful:
        yield from expected_offsets(warehouse, topic_id, partition, offset, offset + 1)


def _unexplained(
    raw: Database[Any], warehouse: psycopg.Connection, topic_id: str, partition: int, part: dict[int, bool]
) -> list[int]:
    """The offsets passed by transform that nothing explains; `part`: each offset, and whether it must be explained."""
    if not part:
        return []
    found = _look(raw, warehouse, topic_id, partition, part)
    settled = found.loaded | found.transform_dead_letters
    return [
        offset
        for offset, is_required in part.items()
        if (offset in found.documents and not found.documents[offset] and offset not in settled)
        or (is_required and offset not in found.documents and offset not in found.land_dead_letters)
    ]


def _look(
    raw: Database[Any], warehouse: psycopg.Connection, topic_id: str, partition: int, offsets: Iterable[int]
) -> _Found:
    asked = list(offsets)
    documents = read_points(raw.raw_tweets, topic_id, partition, asked, {"removed_at": 1})
    absent = [offset for offset in asked if offset not in documents]
    letters = read_points(raw.dead_letters, topic_id, partition, absent, {"_id": 1})
    bounds = {"topic_id": topic_id, "partition": partition, "offsets": asked}
    return _Found(
        {offset: document.get("removed_at") is not None for offset, document in documents.items()},
        set(letters),
        loaded_offsets(warehouse, topic_id, partition, asked),
        {offset for (offset,) in warehouse.execute(DEAD_LETTERS, bounds).fetchall()},
    )


def _account(
    raw: Database[Any],
    warehouse: psycopg.Connection,
    topic_id: str,
    partition: int,
    start: int,
    landed_to: int,
    loaded_to: int,
) -> Account:
    landed, dead, loaded, rejected, removed, done = 0, 0, 0, 0, 0, 0
    required, held_in_gaps = 0, 0
    missing: list[int] = []
    unaccounted: list[int] = []
    offsets = expected_offsets(warehouse, topic_id, partition, start, landed_to)
    while part := dict(islice(offsets, SLICE)):
        found = _look(raw, warehouse, topic_id, partition, part)
        passed = {offset for offset in found.documents if offset < loaded_to}
        gone = {offset for offset in passed if found.documents[offset]}
        rows = (found.loaded & passed) - gone
        letters = (found.transform_dead_letters & passed) - gone - rows
        held = found.documents.keys() | found.land_dead_letters
        landed, dead, done = (
            landed + len(found.documents),
            dead + len(found.land_dead_letters),
            done + len(passed),
        )
        loaded, rejected, removed = loaded + len(rows), rejected + len(letters), removed + len(gone)
        required += sum(part.values())
        held_in_gaps += sum(not part[offset] for offset in held)
        missing += [offset for offset, is_required in part.items() if is_required and offset not in held]
        unaccounted += sorted(passed - gone - rows - letters)
    span = {"topic_id": topic_id, "partition": partition, "from": start, "to": landed_to}
    row = warehouse.execute(EMPTY, span).fetchone()
    empty = int(row[0]) if row else 0
    return Account(
        topic_id=topic_id,
        partition=partition,
        consumed=landed_to - start,
        landed=landed,
        land_dead_letters=dead,
        in_gaps=landed_to - start - required - empty - held_in_gaps,
        loaded=loaded,
        transform_dead_letters=rejected,
        removed=removed,
        pending=landed - done,
        unaccounted=tuple(unaccounted),
        empty=empty,
        missing=tuple(missing),
    )
