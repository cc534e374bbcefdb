"""Money: every request is priced and reserved before it is sent.

The books are shared by all processes, and reserving takes turns, so that the hard stop holds across them. A
reservation whose request never came back keeps counting at its full price: never too little.
"""

import ipaddress
import socket
import uuid
from decimal import Decimal
from urllib.parse import urlsplit

import psycopg

NOT_COUNTED = ""
TURN = 0x7477_5F73_7065_6E64  # advisory lock: one reservation at a time
SPENT_THIS_MONTH = """
select coalesce(sum(coalesce(actual_usd, reserved_usd)), 0) from pipeline.spend
where reserved_at >= date_trunc('month', now(), 'UTC')
"""


class BudgetExceeded(RuntimeError):
    """The next request could cost more than is left. Nothing was sent; raise X_BUDGET_USD or wait for the next month."""

    fail_task = True


def is_local(url: str) -> bool:
    """Whether an address is this machine or a private network, where no money is spent."""
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(not ipaddress.ip_address(address.partition("%")[0]).is_global for address in found)


def limit(url: str, budget_usd: Decimal | None) -> Decimal | None:
    """What may be spent at an address: the budget; without one nothing, and nothing is counted where it is local."""
    if budget_usd is not None:
        return budget_usd
    return None if is_local(url) else Decimal(0)


def spent_this_month(connection: psycopg.Connection) -> Decimal:
    """USD spent or reserved since the month began (UTC). Never writes."""
    row = connection.execute(SPENT_THIS_MONTH).fetchone()
    return Decimal(0) if row is None else Decimal(row[0])


def reserve(
    connection: psycopg.Connection,
    endpoint: str,
    price_usd: Decimal,
    budget_usd: Decimal | None,
    rule: str | None,
) -> str:
    """Set `price_usd` aside; returns the reservation. Without a budget (None: simulators, where nothing is paid)
    nothing is counted, so that play money never uses up a budget that is set later. Raises BudgetExceeded.
    """
    if budget_usd is None:
        return NOT_COUNTED
    with connection.transaction():
        connection.execute(
            "set local idle_in_transaction_session_timeout = '5s'"
        )  # a frozen one ends its turn
        connection.execute("select pg_advisory_xact_lock(%s)", (TURN,))
        if (spent := spent_this_month(connection)) + price_usd > budget_usd:
            raise BudgetExceeded(
                f"{endpoint}: a request of up to ${price_usd} would exceed the budget: ${spent} of X_BUDGET_USD=${budget_usd}"
                " are spent or reserved this month"
            )
        reservation = uuid.uuid4()
        connection.execute(
            "insert into pipeline.spend (reservation, rule, endpoint, reserved_usd) values (%s, %s, %s, %s)",
            (reservation, rule, endpoint, price_usd),
        )
    return str(reservation)


def settle(connection: psycopg.Connection, reservation: str, actual_usd: Decimal) -> None:
    """Put the actual cost in place of the reserved one."""
    if reservation == NOT_COUNTED:
        return
    connection.execute(
        "update pipeline.spend set actual_usd = %s, settled_at = now() where reservation = %s",
        (actual_usd, reservation),
    )
