"""Cursors: how far a stage has come, who may move it, and how a zombie is fenced off.

A drain *takes* a partition: it raises the epoch and terminates the PostgreSQL backend of the previous owner, because
a client that is stopped inside a transaction holds its locks through every timeout. It then *advances* the cursor in
the transaction that makes its work visible. A drain that was superseded gets `Fenced` and has changed nothing.

Until a drain owns a partition, nobody knows which backend to terminate. So until then it sends single statements,
which the server finishes on its own: a client that is stopped between them holds no lock. And it inserts only rows that
do not exist yet: `on conflict do nothing` alone would wait for another open transaction that holds the row.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg

DECLARE = """
insert into pipeline.cursors (stage, topic, topic_id, partition, start_offset, next_offset)
select %(stage)s, %(topic)s, %(topic_id)s, partition, start, start
from unnest(%(partitions)s::integer[], %(starts)s::bigint[]) as log (partition, start)
where not exists (
    select from pipeline.cursors known
    where known.stage = %(stage)s and known.topic_id = %(topic_id)s and known.partition = log.partition
)
order by partition
on conflict do nothing
"""
TERMINATE_PREVIOUS_OWNER = """
select pg_terminate_backend(activity.pid, 5000)
from pipeline.cursors
join pg_stat_activity activity on activity.pid = owner_pid and activity.backend_start = owner_started_at
where stage = %(stage)s and topic_id = %(topic_id)s and partition = %(partition)s and owner_pid <> pg_backend_pid()
"""
TAKE = """
with free as (
    select stage, topic_id, partition from pipeline.cursors
    where stage = %(stage)s and topic_id = %(topic_id)s and partition = %(partition)s
    for update nowait
)
update pipeline.cursors taken
set epoch = epoch + 1, owner_pid = activity.pid, owner_started_at = activity.backend_start, updated_at = clock_timestamp()
from free, pg_stat_activity activity
where taken.stage = free.stage and taken.topic_id = free.topic_id and taken.partition = free.partition
    and activity.pid = pg_backend_pid()
returning topic, start_offset, next_offset, epoch
"""
THIS_BACKEND = "select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()"
TAKEN_SINCE = """
select from pipeline.cursors
where stage = %(stage)s and (owner_pid, owner_started_at) <> (%(pid)s, %(began_at)s) and updated_at >= %(began_at)s
    and (%(all)s or (topic_id, partition) in (select * from unnest(%(topic_ids)s::text[], %(partitions)s::integer[])))
limit 1
"""
SUCCESSION_SECONDS = 1.0  # terminating a backend and taking its partition takes milliseconds
TAKE_SECONDS = 15.0  # give up when others still get in between after this
LOCK = """
select epoch, next_offset from pipeline.cursors
where stage = %(stage)s and topic_id = %(topic_id)s and partition = %(partition)s
for update
"""
MOVE = """
update pipeline.cursors
set next_offset = %(to)s, updated_at = clock_timestamp(), failed_at = null, last_error = null
where stage = %(stage)s and topic_id = %(topic_id)s and partition = %(partition)s
"""
# skip locked rows: noting a failure must not wait for a frozen drain
NOTE_FAILURE = """
with free as (
    select stage, topic_id, partition from pipeline.cursors
    where stage = %(stage)s
        and (topic_id, partition) in (select * from unnest(%(topic_ids)s::text[], %(partitions)s::integer[]))
    for update skip locked
)
update pipeline.cursors failed set failed_at = case when %(error)s::text is null then null else clock_timestamp() end,
    last_error = %(error)s
from free
where failed.stage = free.stage and failed.topic_id = free.topic_id and failed.partition = free.partition
    and failed.last_error is distinct from %(error)s::text
"""
LONGEST_ERROR = 400


class Fenced(RuntimeError):
    """Another drain took this partition. Nothing of this drain's batch was written; end, and do not retry."""


@contextmanager
def fenced_when_ended(
    connection: psycopg.Connection, stage: str, partitions: Sequence[tuple[str, int]] | None
) -> Iterator[None]:
    """Raise Fenced in a drain whose backend a successor has terminated: a retry would terminate the successor's.

    A server that shuts down or crashes ends backends too, and its final message can be lost: a statement sent meanwhile
    makes the socket reset. So we ask pipeline.cursors, over a new connection, whether another drain has taken one of
    this drain's `partitions` ((topic id, number); None: all) since it began. If not, the original error is raised, and
    a retry does the work.
    """
    address, password = connection.info.dsn, connection.info.password
    pid, began_at = connection.execute(THIS_BACKEND).fetchone() or (0, None)
    ours = {
        "stage": stage,
        "pid": pid,
        "began_at": began_at,
        "all": partitions is None,
        "topic_ids": [topic_id for topic_id, _ in partitions or ()],
        "partitions": [number for _, number in partitions or ()],
    }
    try:
        yield
    except psycopg.OperationalError as lost:
        if connection.broken and _were_taken(address, password, ours):
            raise Fenced(
                f"{stage}: another drain terminated this one's connection and took its partitions"
            ) from lost
        raise


def _were_taken(address: str, password: str, ours: dict[str, object]) -> bool:
    """Whether another drain took what a lost backend had; a successor needs a moment to do so after terminating it."""
    deadline = time.monotonic() + SUCCESSION_SECONDS
    try:
        with psycopg.connect(address, password=password, autocommit=True, connect_timeout=5) as connection:
            while connection.execute(TAKEN_SINCE, ours).fetchone() is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
    except psycopg.OperationalError:
        return False  # the server itself is down, which is what broke the connection
    return True


@dataclass(frozen=True)
class Cursor:
    """A stage's position in one partition, held under one epoch. `next_offset` is the first offset not yet done."""

    stage: str
    topic: str
    topic_id: str
    partition: int
    start_offset: int
    next_offset: int
    epoch: int

    @property
    def _key(self) -> dict[str, object]:
        return {"stage": self.stage, "topic_id": self.topic_id, "partition": self.partition}


def declare(
    connection: psycopg.Connection, stage: str, topic: str, topic_id: str, starts: dict[int, int]
) -> None:
    """Make sure that each partition has a cursor row; a new one begins at `starts[partition]`."""
    connection.execute(
        DECLARE,
        {
            "stage": stage,
            "topic": topic,
            "topic_id": topic_id,
            "partitions": list(starts),
            "starts": list(starts.values()),
        },
    )


def take(connection: psycopg.Connection, stage: str, topic_id: str, partition: int) -> Cursor:
    """Become the owner of a partition: terminates the previous owner's backend and raises the epoch.

    Raises LookupError when the cursor was never declared. `connection` must be in autocommit mode.
    """
    key = {"stage": stage, "topic_id": topic_id, "partition": partition}
    deadline = time.monotonic() + TAKE_SECONDS
    while True:
        connection.execute(TERMINATE_PREVIOUS_OWNER, key)
        try:
            row = connection.execute(TAKE, key).fetchone()
            break
        except (
            psycopg.errors.LockNotAvailable
        ):  # another drain took it between the two statements: terminate that one too
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    if row is None:
        raise LookupError(f"no {stage} cursor for topic {topic_id} partition {partition}; declare it first")
    topic, start_offset, next_offset, epoch = row
    return Cursor(stage, topic, topic_id, partition, start_offset, next_offset, epoch)


def hold(connection: psycopg.Connection, cursor: Cursor) -> None:
    """Lock the cursor row inside the caller's transaction. Raises Fenced when another drain has taken it."""
    row = connection.execute(LOCK, cursor._key).fetchone()
    if row != (cursor.epoch, cursor.next_offset):
        raise Fenced(
            f"{cursor.stage} of {cursor.topic} partition {cursor.partition}: held epoch {cursor.epoch} at"
            f" {cursor.next_offset}, pipeline.cursors has {row}"
        )


def move(connection: psycopg.Connection, cursor: Cursor, to: int) -> Cursor:
    """Move a held cursor inside the caller's transaction; returns the moved one. Raises ValueError instead of moving back."""
    if to < cursor.next_offset:
        raise ValueError(f"cursor at {cursor.next_offset} cannot go back to {to}")
    connection.execute(MOVE, {**cursor._key, "to": to})
    return replace(cursor, next_offset=to)


def advance(connection: psycopg.Connection, cursors: Iterable[tuple[Cursor, int]]) -> list[Cursor]:
    """Hold and move several cursors in one transaction of its own, in a fixed order."""
    with connection.transaction():
        moved = []
        for cursor, to in sorted(cursors, key=lambda pair: (pair[0].topic_id, pair[0].partition)):
            hold(connection, cursor)
            moved.append(move(connection, cursor, to))
        return moved


def note_failure(
    connection: psycopg.Connection,
    stage: str,
    partitions: Iterable[tuple[str, int]],
    error: BaseException | None,
) -> None:
    """Record the error that stops these partitions in their cursor rows, where status reads it; None clears it.

    Keeps the first line of the error, and never raises: the caller is about to raise `error` itself.
    """
    text = None
    if error is not None:
        first = next(iter(str(error).strip().splitlines()), "")
        text = f"{type(error).__name__}: {first}"[:LONGEST_ERROR].replace("\x00", "")
    keys = sorted(partitions)
    with suppress(psycopg.Error):
        connection.execute(
            NOTE_FAILURE,
            {
                "stage": stage,
                "topic_ids": [topic_id for topic_id, _ in keys],
                "partitions": [number for _, number in keys],
                "error": text,
            },
        )


def positions(connection: psycopg.Connection, stage: str) -> dict[tuple[str, int], int]:
    """next_offset of a stage per (topic_id, partition). Never writes."""
    rows = connection.execute(
        "select topic_id, partition, next_offset from pipeline.cursors where stage = %s", (stage,)
    ).fetchall()
    return {(topic_id, partition): next_offset for topic_id, partition, next_offset in rows}


def seconds_since_a_move(connection: psycopg.Connection, stage: str) -> float:
    """How long ago any cursor of a stage was taken or moved; infinite when there is none. Never writes."""
    row = connection.execute(
        "select extract(epoch from clock_timestamp() - max(updated_at))::float from pipeline.cursors where stage = %s",
        (stage,),
    ).fetchone()
    return float("inf") if row is None or row[0] is None else max(row[0], 0.0)
