"""Load a batch into PostgreSQL in one transaction that also moves transform's cursor.

Staging comes first and takes no lock that another drain waits for. Then the cursor row is locked and checked, the
tables are merged in one fixed order, observations, dead letters and drift are written, the cursor moves, and all of it
becomes visible at once. A drain that was superseded meanwhile finds the cursor changed and leaves nothing behind.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import sql

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.stages import TRANSFORM
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engine import Prepared
from twitter_pipeline.warehouse import model, observations

STAGE = TRANSFORM.name
DROP_REMOVED = "delete from {staging} using pipeline.tombstones where tombstones.tweet_id = {staging}.{key}"
WRITE_LETTER = """
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
_T = TypeVar("_T")


class _AlreadyResolved(Exception):
    """The letter to be resolved already is."""


class Loader:
    """Loads batches over one connection (autocommit mode, role pipeline_loader) and owns its staging tables."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        with connection.transaction():
            for table in model.IN_LOADING_ORDER:
                connection.execute(table.stage_sql().encode())
            observations.prepare(connection)

    def load(self, prepared: Prepared, cursor: cursors.Cursor, to: int) -> cursors.Cursor:
        """Merge what was prepared and move `cursor` to `to`, or do nothing at all; returns the moved cursor.

        Raises cursors.Fenced if another drain took the partition, psycopg.errors.DeadlockDetected and connection errors
        (repeat), and, if a row of the batch is rejected, errors that transform.faults classifies (narrow it down).
        """
        held = partial(cursors.hold, self._connection, cursor)
        return self._load_between(held, prepared, lambda: cursors.move(self._connection, cursor, to))

    def redrive(self, prepared: Prepared, letter: Coordinate | None, by: str) -> bool:
        """Merge the envelope of a dead letter under its own coordinates and resolve the letter in one transaction.

        False if the letter was resolved meanwhile; then nothing was done. `letter`: the coordinate of a dead letter of
        transform (None: there is none to resolve). Raises like `load`.
        """

        def claim() -> None:
            if letter is not None and self._connection.execute(CLAIM_LETTER, letter).fetchone() is None:
                raise _AlreadyResolved

        def resolve() -> bool:
            if letter is not None:
                self._connection.execute(RESOLVE_LETTER, (by, *letter))
            return True

        try:
            return self._load_between(claim, prepared, resolve)
        except _AlreadyResolved:
            return False

    def _load_between(
        self,
        claim: Callable[[], None],
        prepared: Prepared,
        finish: Callable[[], _T],
    ) -> _T:
        """Stage, claim the cursor or letter that the batch belongs to, merge, and finish: one transaction."""
        with self._connection.transaction():
            filled = [t for t in model.IN_LOADING_ORDER if prepared.rows[t.name]]
            for table in filled:
                self._stage(table, prepared)
            claim()
            for table in filled:
                if (key := _tweet_key(table)) is not None:
                    statement = sql.SQL(DROP_REMOVED).format(
                        staging=sql.Identifier(table.staging), key=sql.Identifier(key)
                    )
                    self._connection.execute(statement)
            for table in filled:
                self._connection.execute(table.upsert_sql().encode())
            prepared.observations.merge_into(self._connection)
            self._write_records(prepared)
            return finish()

    def _stage(self, table: model.Table, prepared: Prepared) -> None:
        columns = table.columns
        with self._connection.cursor() as cursor, cursor.copy(table.copy_sql().encode()) as copy:
            copy.set_types(table.copy_types)
            for row in prepared.rows[table.name].values():
                copy.write_row([row[c] for c in columns])

    def _write_records(self, prepared: Prepared) -> None:
        """Write the dead letters of the batch, and count its drift."""
        letters = [
            (*letter.at, letter.reason, letter.detail[:500], letter.payload)
            for letter in prepared.dead_letters
        ]
        with self._connection.cursor() as cursor:
            if letters:
                cursor.executemany(WRITE_LETTER, letters)
            if prepared.drift:
                counted = [(o, f.replace("\x00", ""), n) for (o, f), n in sorted(prepared.drift.items())]
                cursor.executemany(COUNT_DRIFT, counted)


def _tweet_key(table: model.Table) -> str | None:
    """The column of a table that holds the tweet id, if it is about tweets."""
    if table is model.TWEETS:
        return "id"
    return "tweet_id" if "tweet_id" in table.key else None
