"""The books that the client keeps for its owner: asked before every request, told after it.

Every HTTP request goes through them, each try of a repeated one too, so that a budget that another process
shares cannot be passed by a client that forgot to ask.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol


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
        cost_usd: Decimal,
        observed_at: datetime,
        error: str | None,
    ) -> None:
        """Settle the reservation; called once for every request, for a failed one with `error`."""
        ...


class NoLedger:
    """Books of an owner who keeps none: everything may be spent, nothing is remembered."""

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Allow it."""
        return ""

    def record_request(self, reservation: str, **_: Any) -> None:
        """Forget it."""
