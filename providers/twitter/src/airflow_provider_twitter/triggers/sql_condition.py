"""A doorbell for a PostgreSQL query: rings when the query returns a row that it has not yet rung for.

With a table of things to do (due rules, outdated checks), Airflow runs when there is something to do, instead of
every few seconds only to find that there is nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import psycopg
from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from psycopg.conninfo import make_conninfo

from airflow_provider_twitter.triggers.kafka_lag import outage_pause

QUERY_SECONDS = 30.0
MOST_ROWS = 1000

Clock = Callable[[], float]


class SqlConditionTrigger(BaseEventTrigger):
    """Fires when a query returns a row that it has not yet fired for. Never ends, never raises.

    The query runs every `poll_seconds` in a read-only session, for at most half a minute. As long as all rows that it
    fired for are still there, that run is still on its way and new rows wait for it. Rows that stay fire again after
    `interval_seconds`, to make up for a run that died; a row that disappears and comes back is new. Only the first
    thousand rows are considered. An event's payload is {"rows": how many there are}: a reference, no data. During
    outages of PostgreSQL or Airflow's API the trigger backs off internally, up to 30 seconds.

    :param postgres_conn_id: id of a connection of type "postgres"; its extra goes to libpq
    :param sql: the query; its columns identify a row, for example by a name and the time it is due
    :param parameters: values for %(name)s in the query; no secrets, since Airflow's database stores them
    :param poll_seconds: pause between two checks
    :param interval_seconds: pause before firing again for rows that stay
    """

    def __init__(
        self,
        *,
        postgres_conn_id: str,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        poll_seconds: float = 15.0,
        interval_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        for name, seconds in (("poll_seconds", poll_seconds), ("interval_seconds", interval_seconds)):
            if seconds <= 0:
                raise ValueError(f"{name} must be above 0, not {seconds}")
        self.postgres_conn_id = postgres_conn_id
        self.sql = sql
        self.parameters = dict(parameters or {})
        self.poll_seconds = poll_seconds
        self.interval_seconds = interval_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments: the query and ids, no addresses and no secrets."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "postgres_conn_id": self.postgres_conn_id,
            "sql": self.sql,
            "parameters": self.parameters,
            "poll_seconds": self.poll_seconds,
            "interval_seconds": self.interval_seconds,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire at once for new rows, then check again every `poll_seconds`."""
        connection: psycopg.AsyncConnection[Any] | None = None
        news = News(self.interval_seconds, asyncio.get_running_loop().time)
        outages = 0
        try:
            while True:
                try:
                    async with asyncio.timeout(QUERY_SECONDS):
                        connection = connection or await self._connect()
                        cursor = await connection.execute(self.sql.encode(), self.parameters or None)
                        rows = await cursor.fetchmany(MOST_ROWS)
                    outages = 0
                except Exception as broken:  # noqa: BLE001 - a trigger that raises is restarted at once, without a pause
                    outages += 1
                    pause = outage_pause(outages)
                    reason = str(broken) or type(broken).__name__
                    if outages == 1:
                        self.log.warning("Cannot query %s: %s", self.postgres_conn_id, reason)
                    else:
                        self.log.info("Querying %s again in %.1f s: %s", self.postgres_conn_id, pause, reason)
                    await _close(connection)
                    connection = None
                    await asyncio.sleep(pause)
                    continue
                if news.are_in(rows):
                    yield TriggerEvent({"rows": len(rows)})
                await asyncio.sleep(self.poll_seconds)
        finally:
            await _close(connection)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        found = await BaseHook.aget_connection(self.postgres_conn_id)
        conninfo = make_conninfo(
            host=found.host,
            port=found.port,
            dbname=found.schema,
            user=found.login,
            password=found.password,
            connect_timeout=10,
            application_name="airflow-doorbell",
            **found.extra_dejson,
        )
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        await connection.execute("set default_transaction_read_only to on")
        return connection


class News:
    """Remembers which rows were fired for, and whether any of them has been dealt with since."""

    def __init__(self, interval_seconds: float, clock: Clock) -> None:
        self._interval, self._clock = interval_seconds, clock
        self._fired: set[str] = set()
        self._fired_at = -float("inf")
        self._is_answered = True

    def are_in(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether to fire; if true, all these rows count as fired for."""
        now, keys = self._clock(), {repr(row) for row in rows}
        self._is_answered |= not self._fired <= keys
        self._fired &= keys
        is_new = self._is_answered and not keys <= self._fired
        if keys and (is_new or now - self._fired_at >= self._interval):
            self._fired, self._fired_at, self._is_answered = keys, now, False
            return True
        return False


async def _close(connection: psycopg.AsyncConnection[Any] | None) -> None:
    if connection is not None:
        await asyncio.shield(connection.close())
