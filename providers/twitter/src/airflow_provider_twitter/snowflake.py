"""The time inside a tweet id.

Since November 2010 an X id holds the millisecond of its making in its upper bits. Other servers that speak
the X API number their tweets otherwise; an id counts as a snowflake only where the time in it is believable.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH_MS = 1288834974657
SEQUENCE_BITS = 22
FIRST_SNOWFLAKES_AT = datetime(2011, 1, 1, tzinfo=UTC)


def made_at(tweet_id: int, now: datetime) -> datetime | None:
    """When this id was made, or None where it is no snowflake (before 2011, or more than a day after now)."""
    try:
        moment = datetime.fromtimestamp(((tweet_id >> SEQUENCE_BITS) + EPOCH_MS) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment if FIRST_SNOWFLAKES_AT <= moment <= now + timedelta(days=1) else None


def earlier(tweet_id: int, span: timedelta, now: datetime) -> int:
    """The id of the same place in the sequence, this span earlier; the id itself where it is no snowflake."""
    if made_at(tweet_id, now) is None:
        return tweet_id
    milliseconds = span // timedelta(milliseconds=1)
    return max(tweet_id - (milliseconds << SEQUENCE_BITS), 1)
