"""X's ids: 63-bit numbers that travel as text, and the time inside them.

Since November 2010 the upper bits of an id hold the millisecond in which it was created. Other servers that speak the
X API number their tweets differently, from 0; an id counts as a snowflake only if the time in it is plausible.
"""

import re
from datetime import UTC, datetime, timedelta

LARGEST_ID = 2**63 - 1
EPOCH_MS = 1288834974657
SEQUENCE_BITS = 22
FIRST_SNOWFLAKE = 29_700_859_247  # smaller ids (before November 2010) were sequential and contain no time
FIRST_SNOWFLAKES_AT = datetime(2011, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class BadId(ValueError):
    """A value that is not an id, and must not be guessed at; the text names its field."""


def read_id(value: object, field: str) -> int | None:
    """Read an id from X's string (or an exact number); None stays None.

    Raises BadId for anything but ASCII digits below 2^63 without sign, space or leading zero. A float is not an id,
    even a whole one: it may have been rounded to a neighbouring id.
    """
    if value is None:
        return None
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_ID:
        return value
    raise BadId(f"{field}: {str(value)[:40]!r} is no id (0 to 2^63-1, digits only)")


def lenient_id(value: object) -> int | None:
    """Like read_id, but None for anything that is not an id."""
    try:
        return read_id(value, "")
    except BadId:
        return None


def snowflake_time(tweet_id: int) -> datetime | None:
    """When a snowflake id was created, according to the id; None for older ids and for emulators' small ids."""
    if not FIRST_SNOWFLAKE <= tweet_id <= LARGEST_ID:
        return None
    return _UNIX_EPOCH + timedelta(milliseconds=(tweet_id >> SEQUENCE_BITS) + EPOCH_MS)


def made_at(tweet_id: int, now: datetime) -> datetime | None:
    """When this id was created, or None if it cannot be a snowflake: before 2011, or more than a day after now."""
    moment = snowflake_time(tweet_id)
    believable = moment is not None and FIRST_SNOWFLAKES_AT <= moment <= now + timedelta(days=1)
    return moment if believable else None


def earlier(tweet_id: int, span: timedelta, now: datetime) -> int:
    """The id at the same place in the sequence, this span earlier; the id itself if it is not a snowflake."""
    if made_at(tweet_id, now) is None:
        return tweet_id
    milliseconds = span // timedelta(milliseconds=1)
    return max(tweet_id - (milliseconds << SEQUENCE_BITS), 1)
