"""Rate limits: a number of requests per endpoint, token and quarter of an hour.

Limits per app follow x-api-v2.md §2; header names and the fixed window that starts with the first request follow
recordings/tweepy-cassettes. They count real time, not the world's time, since clients sleep in real time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

WINDOW_SECONDS = 900.0


@dataclass(slots=True)
class _Counter:
    limit: int
    used: int
    resets_at: float


class RateLimits:
    """Counts requests; `limits` maps endpoint names to requests per window."""

    def __init__(self, limits: dict[str, int], window_seconds: float = WINDOW_SECONDS) -> None:
        self._rules = {name: (limit, window_seconds) for name, limit in limits.items()}
        self._counters: dict[tuple[str, str], _Counter] = {}

    def set(self, endpoint: str, limit: int, window_seconds: float) -> None:
        """Set another limit for one endpoint and all tokens, starting with a new window."""
        if endpoint not in self._rules:
            raise KeyError(f"no endpoint {endpoint!r}; the endpoints are {', '.join(self._rules)}")
        self._rules[endpoint] = (limit, window_seconds)
        for key in [key for key in self._counters if key[0] == endpoint]:
            del self._counters[key]

    def spend(self, endpoint: str, token_digest: str) -> tuple[bool, dict[str, str]]:
        """(allowed, headers) for one more request; a refused request is not counted."""
        now = time.time()
        counter = self._counters.get((endpoint, token_digest))
        if counter is None or now >= counter.resets_at:
            limit, window_seconds = self._rules[endpoint]
            counter = _Counter(limit, 0, now + window_seconds)
            self._counters[endpoint, token_digest] = counter
        allowed = counter.used < counter.limit
        counter.used += allowed
        return allowed, {
            "x-rate-limit-limit": str(counter.limit),
            "x-rate-limit-remaining": str(counter.limit - counter.used),
            "x-rate-limit-reset": str(int(counter.resets_at) + 1),
        }
