"""A circuit breaker per API: requests of unknown cost are not repeated without end.

Counted per API (base address and a fingerprint of the token) in PostgreSQL, and therefore across rules, processes,
attempts of a client and retries of a task. A request whose process was killed counts too: its reservation records the
backend that made it. Three in a row open the circuit. While it is open, only one probe at a time is sent, the smallest
possible request, after 15 minutes and then after waits that double up to a day. Only a success closes it: an API that
mixes refusals with silence is not healthy.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.rows import class_row

logger = logging.getLogger(__name__)

UNKNOWN_IN_A_ROW = 3
FIRST_PROBE_AFTER = timedelta(minutes=15)
LONGEST_PROBE_WAIT = timedelta(days=1)
PROBE_UNDER_WAY = timedelta(minutes=1)

FIND_KILLED = """
update pipeline.spend set unknown_at = clock_timestamp()
where api = %(api)s and actual_usd is null and unknown_at is null and (
    reserved_at < now() - interval '20 minutes'
    or not exists (
        select from pg_stat_activity where pid = owner_pid and backend_start = owner_started_at
    ))
returning reservation
"""
COUNT_UNKNOWN = """
insert into pipeline.circuits as known (api, unknown_in_a_row) values (%(api)s, %(count)s)
on conflict (api) do update set unknown_in_a_row = known.unknown_in_a_row + excluded.unknown_in_a_row
"""
OPEN = """
update pipeline.circuits set opened_at = clock_timestamp(), probe_wait = %(first)s,
    probe_at = clock_timestamp() + %(first)s, probe = null
where api = %(api)s and opened_at is null and unknown_in_a_row >= %(limit)s
returning unknown_in_a_row, probe_at
"""
PROBE_FAILED = """
update pipeline.circuits set probe = null, probe_wait = least(probe_wait * 2, %(longest)s),
    probe_at = clock_timestamp() + least(probe_wait * 2, %(longest)s)
where api = %(api)s and probe = any(%(reservations)s)
"""
PROBE_WAS_FREE = "update pipeline.circuits set probe = null where api = %s and probe = %s"
CLOSE = """
with was as (select opened_at from pipeline.circuits where api = %(api)s for update)
update pipeline.circuits
set unknown_in_a_row = 0, opened_at = null, probe_at = null, probe_wait = null, probe = null
from was where api = %(api)s and unknown_in_a_row > 0
returning was.opened_at
"""
OPEN_ONES = """
select api, unknown_in_a_row, opened_at, probe_at, probe from pipeline.circuits where opened_at is not null order by api
"""


class CircuitOpen(RuntimeError):
    """The cost of the last requests is unknown. Nothing was sent; a probe is allowed at `probe_at` (aware UTC)."""

    def __init__(self, message: str, probe_at: datetime) -> None:
        super().__init__(message)
        self.probe_at = probe_at


@dataclass(frozen=True)
class OpenCircuit:
    """An open circuit; times are aware UTC."""

    api: str
    unknown_in_a_row: int
    opened_at: datetime
    probe_at: datetime
    probe: UUID | None

    def __str__(self) -> str:
        return (
            f"requests to {self.api} are stopped since {self.opened_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}: of the last "
            f"{self.unknown_in_a_row} nobody knows what they cost; the smallest one is tried from "
            f"{self.probe_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} on"
        )


def open_circuits(connection: psycopg.Connection) -> list[OpenCircuit]:
    """The circuits that are open. Never writes."""
    with connection.cursor(row_factory=class_row(OpenCircuit)) as cursor:
        return cursor.execute(OPEN_ONES).fetchall()


def is_open(connection: psycopg.Connection, api: str) -> bool:
    """Whether only a probe may be sent. Never writes."""
    return any(circuit.api == api for circuit in open_circuits(connection))


def admit(connection: psycopg.Connection, api: str) -> bool:
    """Whether the next request is the probe of an open circuit. Raises CircuitOpen if it must not be sent.

    Call it while holding budget.RESERVATION_LOCK; then call `sent_as_probe`.
    """
    killed = [reservation for (reservation,) in connection.execute(FIND_KILLED, {"api": api}).fetchall()]
    if killed:
        count_unknown(connection, api, killed)
    circuit = next((each for each in open_circuits(connection) if each.api == api), None)
    if circuit is None:
        return False
    now = datetime.now(UTC)
    if circuit.probe is not None:
        raise CircuitOpen(f"a probe is under way: {circuit}", now + PROBE_UNDER_WAY)
    if now < circuit.probe_at:
        raise CircuitOpen(str(circuit), circuit.probe_at)
    return True


def sent_as_probe(connection: psycopg.Connection, api: str, reservation: UUID) -> None:
    """Remember which request is the probe."""
    connection.execute("update pipeline.circuits set probe = %s where api = %s", (reservation, api))


def count_unknown(connection: psycopg.Connection, api: str, reservations: Sequence[UUID]) -> None:
    """Count requests of unknown cost; opens the circuit, or lengthens the wait for the next probe."""
    given = {
        "api": api,
        "count": len(reservations),
        "reservations": list(reservations),
        "first": FIRST_PROBE_AFTER,
        "longest": LONGEST_PROBE_WAIT,
        "limit": UNKNOWN_IN_A_ROW,
    }
    with connection.transaction():
        connection.execute(COUNT_UNKNOWN, given)
        connection.execute(PROBE_FAILED, given)
        opened = connection.execute(OPEN, given).fetchone()
    if opened is not None:
        logger.error(
            "Requests to %s are stopped: of the last %d nobody knows what they cost; the smallest one is tried at %s",
            api,
            *opened,
        )


def count_success(connection: psycopg.Connection, api: str) -> None:
    """Reset the count and close the circuit."""
    closed = connection.execute(CLOSE, {"api": api}).fetchone()
    if closed is not None and closed[0] is not None:
        logger.warning("Requests to %s succeed again; they had been stopped since %s", api, closed[0])


def count_refusal(connection: psycopg.Connection, api: str, reservation: UUID) -> None:
    """A failure that cost nothing: it counts neither way, and if it was the probe, the next one may be sent at once."""
    connection.execute(PROBE_WAS_FREE, (api, reservation))


def probe_now(connection: psycopg.Connection) -> list[str]:
    """Allow the next request to each stopped API as a probe, without further wait; returns those APIs."""
    rows = connection.execute(
        "update pipeline.circuits set probe_at = now(), probe = null where opened_at is not null returning api"
    ).fetchall()
    return [api for (api,) in rows]
