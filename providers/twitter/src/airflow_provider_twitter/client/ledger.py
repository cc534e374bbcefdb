"""The ledger of a client: it reserves money before every request and records the request afterwards.

Every HTTP request goes through it, including each retry, so that no client can exceed a budget shared with another
process because it forgot to ask. An unknown outcome (a cut connection, a deadline, a kill) is not free: its
reservation stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

UNKNOWN_IN_A_ROW = 3
FIRST_PROBE_AFTER = timedelta(minutes=15)
LONGEST_PROBE_WAIT = timedelta(days=1)


class Ledger(Protocol):
    """Reserves the price of requests before they are sent and records them afterwards. Times are aware UTC, money is USD."""

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Reserve this amount and return the reservation's id. To refuse, raise an exception of your own."""
        ...

    def record_request(
        self,
        reservation: str,
        *,
        request_id: str,
        endpoint: str,
        params: dict[str, str],
        status: int | None,
        rate_limit: dict[str, Any] | None,
        result_count: int,
        cost_usd: Decimal | None,
        observed_at: datetime,
        error: str | None,
    ) -> None:
        """Settle the reservation. Called once for every request; for a failed one, with `error`.

        `cost_usd` is None if it is unknown whether X charged for it; the reservation then stays as it is.
        """
        ...


@runtime_checkable
class BoundedLedger(Ledger, Protocol):
    """A ledger that also knows how much is left, so that pages shrink before a budget refuses them."""

    def charged_by(self, api: str) -> None:
        """Note who charges for the requests: base URL and token fingerprint. Called when a client gets this ledger."""
        ...

    def left_usd(self) -> Decimal | None:
        """The most that the next request should cost; None for no limit, 0 for the smallest possible request."""
        ...


class NoLedger:
    """The ledger for owners without one: everything may be spent, nothing is remembered."""

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Allow it."""
        return ""

    def record_request(self, reservation: str, **_: Any) -> None:
        """Forget it."""


class BudgetSpent(Exception):
    """This request could cost more than the budget has left, or an answer cost more than its reservation."""

    fail_task = True


class CircuitOpen(Exception):
    """The cost of the last requests is unknown, so nothing is sent before `probe_at` (aware UTC)."""

    fail_task = True

    def __init__(self, message: str, probe_at: datetime) -> None:
        super().__init__(message)
        self.probe_at = probe_at


@dataclass(kw_only=True)
class InMemoryLedger:
    """A ledger for one request at a time that lives as long as the object, with an optional budget in USD.

    After three requests in a row whose cost is unknown, nothing more is sent except the smallest request as a probe:
    after 15 minutes, then after twice as long, up to a day. A success ends that. An answer that cost more than was
    reserved stops all further requests.
    """

    budget_usd: Decimal | None = None
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    overcharged_usd: Decimal = Decimal(0)
    unknown_in_a_row: int = 0
    probe_at: datetime | None = None
    probe_wait: timedelta = FIRST_PROBE_AFTER

    def now(self) -> datetime:
        """The current time, for the waits between probes."""
        return datetime.now(UTC)

    def charged_by(self, api: str) -> None:
        """Do nothing: one object serves one client, so it makes no difference whom it pays."""

    def left_usd(self) -> Decimal | None:
        """What the budget has left; 0 while only a probe may be sent."""
        if self.probe_at is not None:
            return Decimal(0)
        return None if self.budget_usd is None else max(self.budget_usd - self.spent_usd, Decimal(0))

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Allow it if the budget covers the worst case and the outcome of the last requests is known."""
        if self.overcharged_usd:
            raise BudgetSpent(
                f"{endpoint} was not sent: an answer cost {self.overcharged_usd} USD more than was reserved; "
                "find out why before going on"
            )
        if price_usd and self.probe_at is not None and self.now() < self.probe_at:
            raise CircuitOpen(
                f"{endpoint} was not sent: the cost of the last {self.unknown_in_a_row} requests is unknown; "
                f"the smallest request may be tried again at {self.probe_at:%Y-%m-%dT%H:%M:%SZ}",
                self.probe_at,
            )
        if self.budget_usd is not None and self.spent_usd + price_usd > self.budget_usd:
            raise BudgetSpent(
                f"{endpoint} may cost up to {price_usd} USD; {self.spent_usd} of the budget of "
                f"{self.budget_usd} USD has been spent: raise the budget"
            )
        self.reserved_usd = price_usd
        return ""

    def record_request(
        self, reservation: str, *, cost_usd: Decimal | None, error: str | None, **_: Any
    ) -> None:
        """Add the cost: the actual amount, or the reserved amount if the cost is unknown."""
        if cost_usd is None:
            self.spent_usd += self.reserved_usd
            self._unknown()
            return
        self.spent_usd += cost_usd
        self.overcharged_usd += max(cost_usd - self.reserved_usd, Decimal(0))
        if error is None and self.reserved_usd:
            self.unknown_in_a_row, self.probe_at, self.probe_wait = 0, None, FIRST_PROBE_AFTER

    def _unknown(self) -> None:
        self.unknown_in_a_row += 1
        if self.probe_at is not None:
            self.probe_wait = min(self.probe_wait * 2, LONGEST_PROBE_WAIT)
        if self.unknown_in_a_row >= UNKNOWN_IN_A_ROW:
            self.probe_at = self.now() + self.probe_wait
