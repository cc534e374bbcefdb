"""The API's way to PostgreSQL: a small pool as the role that only reads, and its errors as answers.

The pool is opened by the first request, because an app that is mounted into another is not told when that starts;
one is kept for each event loop.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any

import asyncpg

from twitter_pipeline.api.problems import Problem

MOST_CONNECTIONS = 8
ACQUIRE_SECONDS = (
    3.0  # less than a slow statement takes: who waits in vain is told so, and not to ask for less
)
STATEMENT_SECONDS = 5
RETRY_AFTER = {"Retry-After": "5"}
_PLACE = re.compile(r"(?<![:\w]):([a-z_]+)")
_UNREACHABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # the server shuts down or crashed
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


@cache
def statement(name: str) -> str:
    """The text of one of the .sql files."""
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")


class _Connection(asyncpg.Connection):
    """A connection whose session no query of ours changes: cleaning it after each would be a second round trip."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Runs the API's queries. `dsn` belongs to a role that cannot write. Never writes."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pools: dict[asyncio.AbstractEventLoop, asyncpg.Pool] = {}
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    async def one(self, name: str, filters: str, values: Mapping[str, Any]) -> asyncpg.Record:
        """The one row of a statement, `filters` put in its place and `:names` bound to values.

        Raises Problem: 503 when PostgreSQL is away or has no connection left, 504 when it takes too long.
        """
        text, arguments = bound(statement(name).replace("/* filters */", filters), values)
        async with self._connection() as connection:
            row = await connection.fetchrow(text, *arguments)
        if row is None:
            raise RuntimeError(f"{name}.sql gave no row")
        return row

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            pool = await self._pool()
            connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
        except (asyncpg.TooManyConnectionsError, TimeoutError):
            raise Problem(503, "PostgreSQL has no connection free; try again", RETRY_AFTER) from None
        except _UNREACHABLE as error:
            raise _away(error) from None
        try:
            yield connection
        except (TimeoutError, asyncpg.QueryCanceledError):
            raise Problem(
                504,
                f"PostgreSQL did not answer within {STATEMENT_SECONDS} s; narrow the request down, by a rule,"
                " an author, a hashtag or a window of time",
                RETRY_AFTER,
            ) from None
        except asyncpg.UndefinedTableError:
            raise Problem(503, "the database has no tables yet; `make up` makes them", RETRY_AFTER) from None
        except _UNREACHABLE as error:
            raise _away(error) from None
        finally:
            await pool.release(connection)

    async def _pool(self) -> asyncpg.Pool:
        loop = asyncio.get_running_loop()
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if loop not in self._pools:
                self._pools[loop] = await asyncpg.create_pool(
                    self._dsn,
                    connection_class=_Connection,
                    min_size=1,
                    max_size=MOST_CONNECTIONS,
                    timeout=ACQUIRE_SECONDS,
                    command_timeout=STATEMENT_SECONDS + 1,
                    server_settings={
                        "application_name": "tweet-pipeline-api",
                        "default_transaction_read_only": "on",
                        "statement_timeout": f"{STATEMENT_SECONDS}s",
                        "timezone": "UTC",
                    },
                )
            return self._pools[loop]

    async def close(self) -> None:
        """Give the connections of this event loop back."""
        if (pool := self._pools.pop(asyncio.get_running_loop(), None)) is not None:
            await pool.close()


def _away(error: BaseException) -> Problem:
    return Problem(503, f"PostgreSQL does not answer ({type(error).__name__})", RETRY_AFTER)


def bound(text: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A statement with `:names` as numbered places, and the values of those that it uses in their order."""
    used: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${used.setdefault(match[1], len(used) + 1)}"

    # comments may speak of :names too, and are not sent
    bare = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    return _PLACE.sub(place, bare), [values[name] for name in used]
