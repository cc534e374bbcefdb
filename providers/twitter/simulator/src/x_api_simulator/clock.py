"""The simulator's clock, and how X encodes times in ids.

A tweet's id contains its time: the upper bits of a snowflake hold the milliseconds since 2010-11-04 (general
knowledge; the ids in recordings/tweepy-cassettes agree with the times in their texts), so a window of time is
a range of ids.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
MAX_ID = 2**63 - 1


def first_id(at_ms: int) -> int:
    """The lowest id that a tweet created in this millisecond can have (0 for times before snowflakes)."""
    return max(0, at_ms - SNOWFLAKE_EPOCH_MS) << 22


def moment_of(tweet_id: int) -> int:
    """The millisecond (Unix) in which a tweet with this id was created."""
    return (tweet_id >> 22) + SNOWFLAKE_EPOCH_MS


def to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def to_text(at_ms: int) -> str:
    """RFC 3339 with milliseconds, as X writes it: 2026-07-24T21:05:48.000Z."""
    whole = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{at_ms % 1000:03d}Z"


def parse_moment(text: str) -> int:
    """Milliseconds of an RFC 3339 time with a time zone. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write 2026-01-02T03:04:05Z")
    return to_ms(moment)


class Clock:
    """Real time, unless the control door has moved or frozen it."""

    def __init__(self, offset_ms: int = 0, frozen_at_ms: int | None = None) -> None:
        self.offset_ms = offset_ms
        self.frozen_at_ms = frozen_at_ms

    def now_ms(self) -> int:
        if self.frozen_at_ms is not None:
            return self.frozen_at_ms
        return time.time_ns() // 1_000_000 + self.offset_ms

    def move_to(self, at_ms: int) -> None:
        """Continue from this time (or stay there, while frozen)."""
        if self.frozen_at_ms is not None:
            self.frozen_at_ms = at_ms
        else:
            self.offset_ms = at_ms - time.time_ns() // 1_000_000

    def freeze(self) -> None:
        self.frozen_at_ms = self.now_ms()

    def run(self) -> None:
        """Continue from the time at which the clock stopped."""
        if self.frozen_at_ms is not None:
            stood, self.frozen_at_ms = self.frozen_at_ms, None
            self.move_to(stood)
