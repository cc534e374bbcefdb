"""The API's access to PostgreSQL: a small pool as the read-only role, and PostgreSQL errors as API responses.

The first request opens the pool, because an app mounted in another app is not told when that app starts; there is
one pool per event loop. However PostgreSQL fails to answer, the request ends within ANSWER_SECONDS. A query that
nobody waits for any more ends in PostgreSQL too: its connection is closed, which PostgreSQL checks for.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from twitter_pipeline.api.problems import Problem
from twitter_pipeline.serving.statements import IN_ORDER, places

MOST_CONNECTIONS = 8
ANSWER_SECONDS = 4.5
STATEMENT_SECONDS = 4  # so that the server's own error arrives before our deadline
LOCK_SECONDS = 3
ACQUIRE_SECONDS = (
    2.0  # a client that gets no connection is told so, instead of being told to narrow its request
)
GONE_SECONDS = 1  # how soon PostgreSQL notices a closed connection
RETRY_AFTER = {"Retry-After": "5"}
SESSION = {
    "application_name": "tweet-pipeline-api",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "client_connection_check_interval": f"{GONE_SECONDS}s",
    "plan_cache_mode": "force_custom_plan",  # a rare word and a common one need different plans
    "timezone": "UTC",
}
_AWAY = {"08", "25", "26", "28", "3D", "40", "53", "55", "57", "58", "XX"}
"""Classes of SQLSTATE that concern the server or the connection, not the query."""


class _Connection(asyncpg.Connection):
    """A connection that is not reset after use: our queries do not change the session, and it would cost a round trip."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Runs the API's queries. `dsn` must be of a role that cannot write. Never writes."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pools: dict[asyncio.AbstractEventLoop, asyncpg.Pool] = {}
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    async def one(self, text: str, values: Mapping[str, Any], *, in_order: bool = False) -> asyncpg.Record:
        """The only row of a statement, its `:names` bound to values; `in_order` for a list ordered by an index.

        Raises Problem: 503 if PostgreSQL is away, locked or has no connection left, 504 if the query takes too long.
        """
        rows = await self.rows(text, values, in_order=in_order)
        if len(rows) != 1:
            raise RuntimeError(f"expected one row, got {len(rows)}: {text[:80]}")
        return rows[0]

    async def rows(
        self, text: str, values: Mapping[str, Any], *, in_order: bool = False
    ) -> list[asyncpg.Record]:
        """All rows of a statement; otherwise like `one`."""
        query, arguments = bound(text, values)
        async with self._connection() as connection:
            if not in_order:
                return list(await connection.fetch(query, *arguments))
            await connection.execute(f"begin; {IN_ORDER}")
            try:
                rows = list(await connection.fetch(query, *arguments))
            except asyncpg.PostgresError:
                if not connection.is_closed():
                    await connection.execute("rollback")
                raise
            await connection.execute("commit")
            return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                pool = await self._pool()
                try:
                    connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
                except TimeoutError:
                    raise Problem(
                        503,
                        f"no PostgreSQL connection was free within {ACQUIRE_SECONDS:g} s; try again",
                        RETRY_AFTER,
                    ) from None
                try:
                    yield connection
                except BaseException as error:
                    if not isinstance(error, asyncpg.PostgresError):
                        connection.terminate()  # a server that hangs would not answer a normal close either
                    raise
                finally:
                    await pool.release(connection)
        except TimeoutError:
            raise Problem(
                503, f"PostgreSQL does not answer within {ANSWER_SECONDS:g} s; try again", RETRY_AFTER
            ) from None
        except (OSError, asyncpg.InterfaceError) as error:
            raise _away(error) from None
        except asyncpg.PostgresError as error:
            if (problem := _problem(error)) is None:
                raise
            raise problem from None

    async def _pool(self) -> asyncpg.Pool:
        loop = asyncio.get_running_loop()
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if loop not in self._pools:
                self._pools[loop] = await asyncpg.create_pool(
                    self._dsn,
                    connection_class=_Connection,
                    min_size=0,
                    max_size=MOST_CONNECTIONS,
                    timeout=ACQUIRE_SECONDS,
                    server_settings=SESSION,
                )
            return self._pools[loop]

    async def close(self) -> None:
        """Close the connections of this event loop."""
        if (pool := self._pools.pop(asyncio.get_running_loop(), None)) is not None:
            await pool.close()


def _problem(error: asyncpg.PostgresError) -> Problem | None:
    """What a client is told about a PostgreSQL error; None for a bug of ours."""
    sqlstate = error.sqlstate or ""
    if isinstance(error, asyncpg.QueryCanceledError | asyncpg.ConfigurationLimitExceededError):
        limit = f"within {STATEMENT_SECONDS} s" if sqlstate == "57014" else "in the space for temporary files"
        return Problem(
            504,
            f"PostgreSQL could not answer this {limit}; narrow the request down by a rule, an author, a hashtag or a"
            " time window",
            RETRY_AFTER,
        )
    if isinstance(error, asyncpg.LockNotAvailableError):
        return Problem(503, "a table is locked by another session; try again", RETRY_AFTER)
    if isinstance(
        error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError | asyncpg.UndefinedFunctionError
    ):
        return Problem(503, "the database lacks tables of this version; `make up` creates them", RETRY_AFTER)
    return _away(error) if sqlstate[:2] in _AWAY else None


def _away(error: BaseException) -> Problem:
    return Problem(503, f"PostgreSQL does not answer ({type(error).__name__})", RETRY_AFTER)


def bound(text: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A statement with `:names` replaced by numbered placeholders, and the values it uses, in that order."""
    used: dict[str, int] = {}
    query = places(text, lambda name: f"${used.setdefault(name, len(used) + 1)}")
    return query, [values[name] for name in used]
