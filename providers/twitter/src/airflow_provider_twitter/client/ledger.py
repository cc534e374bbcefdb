"""The books that the client keeps for its owner: asked before every request, told after it.

Every HTTP request goes through them, each try of a repeated one too, so that a budget that another process
shares cannot be passed by a client that forgot to ask. An outcome that nobody knows (a cut connection, a
deadline, a kill) is not free: its reservation stays.
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
    """Prices requests before they are sent and records them after. All times aware UTC, money in USD."""

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Reserve this much and return the reservation's id; raise an exception of your own to refuse."""
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
        """Settle the reservation; called once for every request, for a failed one with `error`.

        `cost_usd` is None when nobody knows whether X charged for it: then the reservation stays as it is.
        """
        ...


@runtime_checkable
class BoundedLedger(Ledger, Protocol):
    """Books that also know how much is left, so that pages shrink before a budget refuses them."""

    def charged_by(self, api: str) -> None:
        """Whom the requests go to: base URL and a fingerprint of the token. Called when a client takes the books."""
        ...

    def left_usd(self) -> Decimal | None:
        """The most that the next request should cost; None for no limit, 0 for the smallest that there is."""
        ...


class NoLedger:
    """Books of an owner who keeps none: everything may be spent, nothing is remembered."""

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Allow it."""
        return ""

    def record_request(self, reservation: str, **_: Any) -> None:
        """Forget it."""


class BudgetSpent(Exception):
    """This request could cost more than the budget has left, or an answer has cost more than was asked for."""

    fail_task = True


class CircuitOpen(Exception):
    """Nobody knows what the last requests cost, so nothing is sent before `probe_at` (aware UTC)."""

    fail_task = True

    def __init__(self, message: str, probe_at: datetime) -> None:
        super().__init__(message)
        self.probe_at = probe_at


@dataclass(kw_only=True)
class InMemoryLedger:
    """Books of one request at a time that last as long as the object, with an optional budget in USD.

    After three requests in a row of which nobody knows what they cost nothing more is sent, except the smallest
    request as a probe after 15 minutes, then after twice as long, up to a day; a success ends that. An answer
    that cost more than was asked for stops these books.
    """

    budget_usd: Decimal | None = None
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    overcharged_usd: Decimal = Decimal(0)
    unknown_in_a_row: int = 0
    probe_at: datetime | None = None
    probe_wait: timedelta = FIRST_PROBE_AFTER

    def now(self) -> datetime:
        """This instant, for the waits between probes."""
        return datetime.now(UTC)

    def charged_by(self, api: str) -> None:
        """One object serves one client, so whom it pays makes no difference."""

    def left_usd(self) -> Decimal | None:
        """What the budget has left; nothing while a probe is all that may be sent."""
        if self.probe_at is not None:
            return Decimal(0)
        return None if self.budget_usd is None else max(self.budget_usd - self.spent_usd, Decimal(0))

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Allow it while the budget covers the worst case and the outcome of the last requests is known."""
        if self.overcharged_usd:
            raise BudgetSpent(
                f"{endpoint} is not sent: an answer has cost {self.overcharged_usd} USD more than was asked "
                "for; find out why before going on"
            )
        if price_usd and self.probe_at is not None and self.now() < self.probe_at:
            raise CircuitOpen(
                f"{endpoint} is not sent: of the last {self.unknown_in_a_row} requests nobody knows what they "
                f"cost; the smallest request may try again at {self.probe_at:%Y-%m-%dT%H:%M:%SZ}",
                self.probe_at,
            )
        if self.budget_usd is not None and self.spent_usd + price_usd > self.budget_usd:
            raise BudgetSpent(
                f"{endpoint} may cost up to {price_usd} USD; {self.spent_usd} of the budget of "
                f"{self.budget_usd} USD are spent: raise the budget"
            )
        self.reserved_usd = price_usd
        return ""

    def record_request(
        self, reservation: str, *, cost_usd: Decimal | None, error: str | None, **_: Any
    ) -> None:
        """Add up the cost: the actual one, or the reserved one where nobody knows."""
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
