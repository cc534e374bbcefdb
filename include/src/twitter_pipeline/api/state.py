"""How the pipeline is, for the page and for programs: one look at the stores serves everybody for two seconds."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from twitter_pipeline import health as health_of
from twitter_pipeline.health import Health
from twitter_pipeline.settings import Settings

FRESH_SECONDS = 2.0


class PipelineState:
    """The body of GET /pipeline; stores that do not answer are part of the picture and no error."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._looking = asyncio.Lock()
        self._body: bytes | None = None
        self._looked_at = 0.0

    async def body(self) -> bytes:
        """JSON, at most FRESH_SECONDS old."""
        async with self._looking:
            if self._body is None or self._clock() - self._looked_at > FRESH_SECONDS:
                health = await asyncio.to_thread(health_of.look, self._settings.stores())
                self._body = orjson.dumps(self._picture(health, datetime.now(UTC)))
                self._looked_at = self._clock()
            return self._body

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
            "dead_letters": {"landing": health.unlandable, "transform": health.quarantined},
            "gaps": health.gaps,
            "lost_pages": health.lost_pages,
            "spend": {
                "month_usd": None if health.spent_usd is None else str(health.spent_usd),
                "budget_usd": None if given.x_budget_usd is None else str(given.x_budget_usd),
            },
            "contracts": [asdict(contract) for contract in health.contracts],
            "x_api_url": given.x_api_url,
            "broker": given.broker,
            "looked_at": now,
        }
