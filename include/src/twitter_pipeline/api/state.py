"""The state of the pipeline, for the page and for programs: one look at the stores serves everyone for two seconds.

A store that hangs (frozen, or behind a network that drops packets) can delay a look for any length of time, but never
an answer. The last look is then served with its age; if that is too old, or there is none, the answer is 503.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from twitter_pipeline.api.problems import Problem
from twitter_pipeline.health import report
from twitter_pipeline.health.report import Health
from twitter_pipeline.settings import Settings

FRESH_SECONDS = 2.0
WAIT_SECONDS = 4.2
STALE_SECONDS = 300.0
GIVEN_UP_SECONDS = 30.0
MOST_LOOKS = 3


class _Look:
    """One look at the stores, in a thread that nothing waits for if it hangs."""

    def __init__(self, look: Callable[[], Health], started_at: float) -> None:
        self.started_at = started_at
        self.health: Health | None = None
        self.error: Exception | None = None
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(look,), name="pipeline-state", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return self.health is not None or self.error is not None

    async def wait(self, seconds: float) -> bool:
        """Wait for at most this long; return whether it is done."""
        try:
            await asyncio.wait_for(self._done.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _run(self, look: Callable[[], Health]) -> None:
        try:
            self.health = look()
        except Exception as error:  # noqa: BLE001 - the waiting request raises it
            self.error = error
        try:
            self._loop.call_soon_threadsafe(self._done.set)
        except RuntimeError:  # the loop is closed: nobody waits
            return


class PipelineState:
    """The body of GET /pipeline; a store that does not answer is part of the state, not an error."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        look: Callable[[], Health] | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._settings, self._clock, self._wait_seconds = settings, clock, wait_seconds
        self._take_look = look or (lambda: report.look(settings.stores()))
        self._looks: list[_Look] = []
        self._last: dict[str, Any] | None = None
        self._looked_at = 0.0

    async def body(self) -> bytes:
        """JSON, at most FRESH_SECONDS old; while a store hangs, the last look with its age.

        Raises Problem 503 if a store hangs and the last look is older than STALE_SECONDS.
        """
        self._keep_finished()
        if self._last is None or self._age() > FRESH_SECONDS:
            look = self._look()
            if look is not None and await look.wait(self._wait_seconds):
                self._keep_finished()
        if self._last is None or self._age() > STALE_SECONDS:
            raise Problem(
                503,
                f"a store hangs: the pipeline's state could not be read within {self._wait_seconds:g} s",
                {"Retry-After": "5"},
            )
        return orjson.dumps(self._last | {"age_seconds": round(self._age(), 1)})

    def _age(self) -> float:
        return self._clock() - self._looked_at

    def _look(self) -> _Look | None:
        """The look in progress, or a new one; None if as many looks as allowed are hanging."""
        now = self._clock()
        for look in self._looks:
            if now - look.started_at < GIVEN_UP_SECONDS:
                return look
        if len(self._looks) >= MOST_LOOKS:
            return None
        look = _Look(self._take_look, now)
        self._looks.append(look)
        return look

    def _keep_finished(self) -> None:
        """Keep the newest finished look, even one that no request waited for to the end."""
        finished = [look for look in self._looks if look.is_done]
        self._looks = [look for look in self._looks if not look.is_done]
        for look in finished:
            if look.error is not None:
                raise look.error
            if look.health is not None and (self._last is None or look.started_at >= self._looked_at):
                self._last = self._picture(look.health, datetime.now(UTC))
                self._looked_at = look.started_at

    def _picture(self, health: Health, now: datetime) -> dict[str, Any]:
        given = self._settings
        return {
            "stages": [
                asdict(stage)
                | {
                    "newest": stage.newest,
                    "age_seconds": None
                    if stage.newest is None
                    else max((now - stage.newest).total_seconds(), 0),
                }
                for stage in health.stages
            ],
            "dead_letters": {"land": health.land_dead_letters, "transform": health.transform_dead_letters},
            "gaps": health.gaps,
            "lost_pages": health.lost_pages,
            "spend": {
                "month_usd": None if health.spent_usd is None else str(health.spent_usd),
                "budget_usd": None if given.x_budget_usd is None else str(given.x_budget_usd),
            },
            "contracts": [asdict(contract) for contract in health.contracts],
            "accounts": [account.as_json() for account in health.accounts],
            "x_api_url": given.x_api_url,
            "broker": given.broker,
            "looked_at": now,
        }
