"""Waits for a rate limit's reset in the triggerer, where a wait costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_twitter.client.rate_limit import LONGEST_WAIT

LONGEST_NAP_SECONDS = 30.0


class RateLimitResetTrigger(BaseTrigger):
    """Fires once, at `reset_at` (aware), or at once if that is past.

    Never waits longer than X's window of 15 minutes plus a minute of grace, whatever `reset_at` says: a clock that
    was wrong when the task was deferred must not put it to sleep for years.
    """

    def __init__(self, reset_at: datetime | str) -> None:
        super().__init__()
        self.reset_at = reset_at if isinstance(reset_at, datetime) else datetime.fromisoformat(reset_at)
        if self.reset_at.tzinfo is None:
            raise ValueError("reset_at has no time zone")

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"reset_at": self.reset_at.isoformat()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep in short naps, to notice a clock that is set forward; then fire."""
        latest = datetime.now(UTC) + LONGEST_WAIT + timedelta(minutes=1)
        while (left := (min(self.reset_at, latest) - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left, LONGEST_NAP_SECONDS))
        yield TriggerEvent({"reset_at": self.reset_at.isoformat()})
