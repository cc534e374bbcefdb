"""Load a batch into PostgreSQL in one transaction that also moves transform's cursor.

Staging comes first and holds no lock of anybody; then the cursor row is locked and checked, the tables are
merged in their one order, the books are written, the cursor moves, and all of it becomes visible at once. A
drain that was overtaken meanwhile finds the cursor changed and leaves nothing behind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.flatten import Batch
from twitter_pipeline.warehouse import tables

STAGE = "transform"
COPY_OBSERVATIONS = 'copy staged_observations (topic_id, partition, "offset", tweet_id, is_data) from stdin with (format binary)'
DROP_REMOVED = "delete from {staging} using pipeline.tombstones where tombstones.tweet_id = {staging}.{key}"
INSERT_OBSERVATIONS = """
insert into pipeline.observations (topic_id, partition, "offset", tweet_id, is_data)
select topic_id, partition, "offset", tweet_id, is_data from staged_observations
on conflict do nothing
"""
QUARANTINE = """
insert into pipeline.dead_letters (topic_id, partition, "offset", stage, reason, detail, payload)
values (%s, %s, %s, 'transform', %s, %s, %s)
on conflict (topic_id, partition, "offset", stage) do nothing
"""
CLAIM_LETTER = """
select from pipeline.dead_letters
where topic_id = %s and partition = %s and "offset" = %s and stage = 'transform' and resolved_at is null for update
"""
RESOLVE_LETTER = """
update pipeline.dead_letters set resolved_at = now(), resolution = 'loaded', resolved_by = %s
where topic_id = %s and partition = %s and "offset" = %s and stage = 'transform'
"""
COUNT_DRIFT = """
insert into pipeline.schema_drift as known (object, field, seen_count) values (%s, %s, %s)
on conflict (object, field) do update set seen_count = known.seen_count + excluded.seen_count, last_seen_at = now()
"""
_COLUMN_TYPES = """
select column_name, udt_name from information_schema.columns
where table_schema = 'twitter' and table_name = %s
"""
_T = TypeVar("_T")


class _AlreadyResolved(Exception):
    """The letter that was to be resolved is so already."""


@dataclass(frozen=True)
class Quarantined:
    """One landed envelope that cannot be loaded: where it lies, why, and its bytes."""

    at: Coordinate
    reason: str
    detail: str
    payload: bytes


class Loader:
    """Loads batches over one connection (autocommit mode, role pipeline_loader), whose staging tables it owns."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._types: dict[str, list[str]] = {}
        with connection.transaction():
            for table in tables.IN_LOADING_ORDER:
                connection.execute(table.stage_sql().encode())
                found: dict[str, str] = dict(connection.execute(_COLUMN_TYPES, (table.name,)).fetchall())
                self._types[table.name] = [_array_name(found[c]) for c in table.columns]
            connection.execute(
                "create temporary table if not exists staged_observations on commit delete rows as"
                ' select topic_id, partition, "offset", tweet_id, is_data from pipeline.observations with no data'
            )

    def load(
        self, batch: Batch, quarantined: Sequence[Quarantined], cursor: cursors.Cursor, to: int
    ) -> cursors.Cursor:
        """Merge a batch and move `cursor` to `to`, or do nothing at all; returns the moved cursor.

        Raises cursors.Fenced when the partition was taken over, psycopg.errors.DeadlockDetected and connection
        errors (repeat), and what transform.faults tells apart when a row of the batch is refused (narrow it down).
        """
        held = partial(cursors.hold, self._connection, cursor)
        return self._load_between(
            held, batch, quarantined, lambda: cursors.move(self._connection, cursor, to)
        )

    def redrive(self, batch: Batch, letter: Coordinate | None, by: str) -> bool:
        """Merge the envelope of a dead letter under its own coordinates and resolve the letter in one transaction.

        False when somebody has resolved it meanwhile: then nothing was done. `letter`: where a letter of transform
        lies (None: there is none to resolve). Raises like `load`.
        """

        def claim() -> None:
            if letter is not None and self._connection.execute(CLAIM_LETTER, letter).fetchone() is None:
                raise _AlreadyResolved

        def resolve() -> bool:
            if letter is not None:
                self._connection.execute(RESOLVE_LETTER, (by, *letter))
            return True

        try:
            return self._load_between(claim, batch, (), resolve)
        except _AlreadyResolved:
            return False

    def _load_between(
        self,
        claim: Callable[[], None],
        batch: Batch,
        quarantined: Sequence[Quarantined],
        finish: Callable[[], _T],
    ) -> _T:
        """Stage, claim what the batch belongs to, merge, and finish: one transaction."""
        with self._connection.transaction():
            filled = [t for t in tables.IN_LOADING_ORDER if batch.rows[t.name]]
            for table in filled:
                self._stage(table, batch)
            self._stage_observations(batch)
            claim()
            for table in filled:
                if (key := _tweet_key(table)) is not None:
                    statement = sql.SQL(DROP_REMOVED).format(
                        staging=sql.Identifier(table.staging), key=sql.Identifier(key)
                    )
                    self._connection.execute(statement)
            for table in filled:
                self._connection.execute(table.upsert_sql().encode())
            self._connection.execute(INSERT_OBSERVATIONS)
            self._write_books(batch, quarantined)
            return finish()

    def _stage(self, table: tables.Table, batch: Batch) -> None:
        columns = table.columns
        with self._connection.cursor() as cursor, cursor.copy(table.copy_sql().encode()) as copy:
            copy.set_types(self._types[table.name])
            for row in batch.rows[table.name].values():
                copy.write_row([row[c] for c in columns])

    def _stage_observations(self, batch: Batch) -> None:
        with self._connection.cursor() as cursor, cursor.copy(COPY_OBSERVATIONS) as copy:
            copy.set_types(["text", "int4", "int8", "int8", "bool"])
            for (at, tweet_id), is_data in batch.observations.items():
                copy.write_row((at.topic_id, at.partition, at.offset, tweet_id, is_data))

    def _write_books(self, batch: Batch, quarantined: Sequence[Quarantined]) -> None:
        rows: list[tuple[Any, ...]] = [(*q.at, q.reason, q.detail[:500], q.payload) for q in quarantined]
        with self._connection.cursor() as cursor:
            if rows:
                cursor.executemany(QUARANTINE, rows)
            if batch.drift:
                counted = [(o, f.replace("\x00", ""), n) for (o, f), n in sorted(batch.drift.items())]
                cursor.executemany(COUNT_DRIFT, counted)


def _tweet_key(table: tables.Table) -> str | None:
    """The column of a table that holds the tweet id, if it is about tweets."""
    if table is tables.TWEETS:
        return "id"
    return "tweet_id" if "tweet_id" in table.key else None


def _array_name(udt: str) -> str:
    return f"{udt[1:]}[]" if udt.startswith("_") else udt
