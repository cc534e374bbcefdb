"""Money: every request is priced and reserved before it is sent.

All processes share pipeline.spend, and a lock admits one reservation at a time, so the hard stop holds across them. A
reservation keeps counting at its full price when its request never came back, or came back with an unknown cost: the sum
is never too low. An answer that cost more than was reserved is recorded at its real cost, and its rule stops.
"""

import ipaddress
import logging
import socket
import uuid
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import psycopg

from twitter_pipeline.collection import circuits

logger = logging.getLogger(__name__)

NOT_COUNTED = ""
RESERVATION_LOCK = 0x7477_5F73_7065_6E64  # advisory lock: one reservation at a time
WARN_AT = Decimal("0.8")
SPENT_THIS_MONTH = """
select coalesce(sum(coalesce(actual_usd, reserved_usd)), 0) from pipeline.spend
where reserved_at >= date_trunc('month', now(), 'UTC')
"""
SPENT_BY_RULE_THIS_MONTH = f"{SPENT_THIS_MONTH} and rule = %s"
OVERSHOT = """
select endpoint, actual_usd, reserved_usd from pipeline.spend
where rule is not distinct from %s and actual_usd > reserved_usd and overshoot_allowed_at is null
order by reserved_at desc limit 1
"""
RESERVE = """
insert into pipeline.spend (reservation, rule, endpoint, reserved_usd, api, owner_pid, owner_started_at)
select %(reservation)s, %(rule)s, %(endpoint)s, %(price)s, %(api)s, pid, backend_start
from pg_stat_activity where pid = pg_backend_pid()
"""
SETTLE = """
update pipeline.spend set actual_usd = %(actual)s, settled_at = now(), settled_by = 'answer', unknown_at = null,
    result_count = %(result_count)s
where reservation = %(reservation)s
returning reservation, rule, endpoint, reserved_usd, api
"""
KEEP = """
update pipeline.spend set unknown_at = now()
where reservation = %s and actual_usd is null and unknown_at is null
returning reservation, api, reserved_usd
"""
WARN = """
insert into pipeline.budget_warnings (month_on, rule, budget_usd)
values (date_trunc('month', now(), 'UTC')::date, %s, %s) on conflict do nothing
"""


class BudgetExceeded(RuntimeError):
    """The next request could cost more than is left. Nothing was sent; raise the budget or wait for the next month."""


class RuleOvershot(RuntimeError):
    """An answer to this rule cost more than reserved, so nothing more is sent for it until an operator allows it."""


def is_local(url: str) -> bool:
    """Whether an address is this machine or a private network, where no money is spent."""
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(not ipaddress.ip_address(address.partition("%")[0]).is_global for address in found)


def limit(url: str, budget_usd: Decimal | None) -> Decimal | None:
    """What may be spent at an address: the budget; without one 0, or None at a local address, where nothing is counted."""
    if budget_usd is not None:
        return budget_usd
    return None if is_local(url) else Decimal(0)


def spent_this_month(connection: psycopg.Connection, rule: str | None = None) -> Decimal:
    """USD spent or reserved since the month began (UTC), by all rules or by one. Never writes."""
    if rule is None:
        row = connection.execute(SPENT_THIS_MONTH).fetchone()
    else:
        row = connection.execute(SPENT_BY_RULE_THIS_MONTH, (rule,)).fetchone()
    return Decimal(0) if row is None else Decimal(row[0])


def left(
    connection: psycopg.Connection,
    budget_usd: Decimal | None,
    rule: str | None,
    *,
    rule_budget_usd: Decimal | None = None,
    api: str | None = None,
) -> Decimal | None:
    """The most that the next request should cost, so that a client can ask for a smaller page before it is refused.

    None if nothing is counted; 0 while only the smallest request may be sent, as a probe. Never writes, and is only
    advice: `reserve` decides.
    """
    if budget_usd is None:
        return None
    if api is not None and circuits.is_open(connection, api):
        return Decimal(0)
    lefts = [budget_usd - spent_this_month(connection)]
    if rule is not None and rule_budget_usd is not None:
        lefts.append(rule_budget_usd - spent_this_month(connection, rule))
    return max(min(lefts), Decimal(0))


def reserve(
    connection: psycopg.Connection,
    endpoint: str,
    price_usd: Decimal,
    budget_usd: Decimal | None,
    rule: str | None,
    *,
    rule_budget_usd: Decimal | None = None,
    api: str | None = None,
) -> str:
    """Reserve `price_usd` and return the reservation's id. Without a budget (None: simulators, which cost nothing)
    nothing is counted, so play money never uses up a budget that is set later.

    `rule_budget_usd` is what the rule alone may spend in a month, `api` the API that the request goes to. Raises
    BudgetExceeded, RuleOvershot or circuits.CircuitOpen; then the request must not be sent.
    """
    if budget_usd is None:
        return NOT_COUNTED
    refused: circuits.CircuitOpen | None = None
    reservation, is_probe = uuid.uuid4(), False
    with connection.transaction():
        connection.execute(
            "set local idle_in_transaction_session_timeout = '5s'"
        )  # a frozen process loses the lock
        connection.execute("select pg_advisory_xact_lock(%s)", (RESERVATION_LOCK,))
        if price_usd and api is not None:
            try:
                is_probe = circuits.admit(connection, api)
            except circuits.CircuitOpen as circuit_open:
                refused = circuit_open  # raised after the commit, so that the killed requests it counted stay counted
        if refused is None:
            _refuse_after_an_overshoot(connection, rule)
            _refuse_beyond(connection, endpoint, price_usd, budget_usd, None)
            if rule is not None and rule_budget_usd is not None:
                _refuse_beyond(connection, endpoint, price_usd, rule_budget_usd, rule)
            connection.execute(
                RESERVE,
                {
                    "reservation": reservation,
                    "rule": rule,
                    "endpoint": endpoint,
                    "price": price_usd,
                    "api": api,
                },
            )
            if is_probe and api is not None:
                circuits.sent_as_probe(connection, api, reservation)
    if refused is not None:
        raise refused
    return str(reservation)


def _refuse_after_an_overshoot(connection: psycopg.Connection, rule: str | None) -> None:
    overshot = connection.execute(OVERSHOT, (rule,)).fetchone()
    if overshot is not None:
        endpoint, actual_usd, reserved_usd = overshot
        raise RuleOvershot(
            f"rule {rule}: an answer of {endpoint} cost ${actual_usd}, at most ${reserved_usd} was asked for; the rule is "
            f"stopped until you have looked at it and run `twitter-pipeline spend allow {rule or '-'}`"
        )


def _refuse_beyond(
    connection: psycopg.Connection, endpoint: str, price_usd: Decimal, budget_usd: Decimal, rule: str | None
) -> None:
    spent = spent_this_month(connection, rule)
    budget = f"X_BUDGET_USD=${budget_usd}" if rule is None else f"budget_usd={budget_usd} of rule {rule}"
    if spent + price_usd > budget_usd:
        raise BudgetExceeded(
            f"{endpoint}: a request of up to ${price_usd} would exceed the budget: ${spent} of {budget}"
            " are spent or reserved this month"
        )
    is_warned = budget_usd > 0 and spent + price_usd >= budget_usd * WARN_AT
    if is_warned and connection.execute(WARN, (rule or "", budget_usd)).rowcount == 1:
        logger.warning(
            "$%s of %s are spent or reserved this month, more than 80 %%", spent + price_usd, budget
        )


def settle(
    connection: psycopg.Connection,
    reservation: str,
    actual_usd: Decimal,
    *,
    result_count: int | None = None,
    is_answer: bool = True,
) -> None:
    """Replace the reserved cost by the actual one. `is_answer`: X gave what was asked for, which closes its circuit."""
    if reservation == NOT_COUNTED:
        return
    given: dict[str, Any] = {"reservation": reservation, "actual": actual_usd, "result_count": result_count}
    with connection.transaction():
        row = connection.execute(SETTLE, given).fetchone()
        if row is None:
            return
        identity, rule, endpoint, reserved_usd, api = row
        if api is not None and reserved_usd:
            if is_answer:
                circuits.count_success(connection, api)
            else:
                circuits.count_refusal(connection, api, identity)
    if actual_usd > reserved_usd:
        logger.error(
            "Rule %s: an answer of %s cost $%s, at most $%s was asked for",
            rule,
            endpoint,
            actual_usd,
            reserved_usd,
        )


def keep(connection: psycopg.Connection, reservation: str) -> None:
    """Keep the reservation of a request of unknown cost at its full price, and count the request in its circuit."""
    if reservation == NOT_COUNTED:
        return
    with connection.transaction():
        row = connection.execute(KEEP, (reservation,)).fetchone()
        if row is not None and row[1] is not None and row[2]:
            circuits.count_unknown(connection, row[1], [row[0]])
