"""Checked conversions from X's JSON to values that PostgreSQL stores and gives back."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

MAX_ID = 2**63 - 1
SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
FIRST_SNOWFLAKE = 29_700_859_247  # smaller ids were counted up and hold no time (before November 2010)
UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_TIME = datetime(2006, 1, 1, tzinfo=UTC)  # the service opened in March 2006
LONGEST_AHEAD = timedelta(days=1)
LONGEST_KEY = 500  # characters: of four bytes each they fit into an entry of an index, 2,704 bytes
_ID = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class BadValue(ValueError):
    """A value that must not be guessed at: its record goes to the dead letters."""


def read_id(value: object, field: str) -> int | None:
    """A 64-bit id out of X's string (or an exact number); None stays None.

    Raises BadValue for anything but ASCII digits without sign, space or leading zero below 2^63. A float is
    no id, whole or not: it may have been rounded to a neighbour's.
    """
    if value is None:
        return None
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID:
        return value
    raise BadValue(f"{field}: {str(value)[:40]!r} is no id (0 to 2^63-1, digits only)")


def lenient_id(value: object) -> int | None:
    """Like read_id for a side column: what is no id becomes null instead of costing the row."""
    try:
        return read_id(value, "")
    except BadValue:
        return None


def read_time(value: str | None) -> datetime | None:
    """An aware UTC instant, or None when it is missing, naive, impossible or beyond year 9999."""
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (ValueError, OverflowError):
        return None


def is_plausible(instant: datetime, now: datetime) -> bool:
    """Whether something may have happened then: from 2006 to a day after `now`, which leaves room for clocks."""
    return EARLIEST_TIME <= instant <= now + LONGEST_AHEAD


def read_plausible_time(value: str | None, now: datetime) -> datetime | None:
    """Like read_time, and None also for an instant outside of the bounds that `is_plausible` sets."""
    instant = read_time(value)
    return instant if instant is not None and is_plausible(instant, now) else None


def read_observed_at(value: str | None, landed_at: datetime) -> datetime | None:
    """When an observation was made: never after it landed, and None (unknown) for a time before 2006.

    A later time becomes that of landing: one forged or mistaken year would outrank every true observation.
    `landed_at` is stored with the envelope, so that any replay reads the same time.
    """
    instant = read_time(value)
    if instant is None or instant < EARLIEST_TIME:
        return None
    return min(instant, landed_at)


def snowflake_time(tweet_id: int) -> datetime | None:
    """When a snowflake id was made, by the id itself; None for the ids from before and for emulators' small ids."""
    if tweet_id < FIRST_SNOWFLAKE:
        return None
    return UNKNOWN_TIME + timedelta(milliseconds=(tweet_id >> 22) + SNOWFLAKE_EPOCH_MS)


def version(observed_at: datetime, *, is_data: bool, content_hash: bytes) -> UUID:
    """A uuid that sorts like (observed_at, data before includes, content): the rank of one observation.

    Eight bytes of microseconds since 1970, one byte for data (1) or include (0), seven bytes of hash.
    `twitter.observed_at(uuid)` reads the instant back.
    """
    microseconds = (observed_at - UNKNOWN_TIME) // timedelta(microseconds=1)
    return UUID(bytes=max(microseconds, 0).to_bytes(8, "big") + bytes((is_data,)) + content_hash[:7])


def text_hash(text: str) -> UUID:
    """Names a text: the positions of entities belong to one. PostgreSQL says `md5(text)::uuid`."""
    return UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest())


def clean(value: Any) -> tuple[Any, bool]:
    """A JSON value without what PostgreSQL cannot hold, and whether anything had to go.

    NUL characters are removed, lone surrogates become U+FFFD, in keys too. A literal backslash-u0000 in a
    text is just text and stays. Raises RecursionError on hostile nesting.
    """
    if isinstance(value, str):
        cleaned = value.replace("\x00", "")
        try:
            cleaned.encode()
        except UnicodeEncodeError:
            cleaned = cleaned.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return cleaned, cleaned != value
    if isinstance(value, dict):
        pairs = [(clean(k), clean(v)) for k, v in value.items()]
        return {k: v for (k, _), (v, _) in pairs}, any(a or b for (_, a), (_, b) in pairs)
    if isinstance(value, list):
        items = [clean(v) for v in value]
        return [v for v, _ in items], any(changed for _, changed in items)
    return value, False


class NotJson(ValueError):
    """Bytes that are no JSON text; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_carefully(payload: bytes) -> tuple[Any, bool]:
    """A JSON document out of bytes that the fast decoder refuses, cleaned, and whether cleaning changed it.

    Takes a byte order mark, lone surrogates and NULs; raises NotJson for NaN and for anything that is not JSON.
    """
    try:
        text = payload.decode().removeprefix("\ufeff")
        return clean(json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number))
    except RecursionError:
        raise NotJson("nesting", "nested too deep to be an answer of X") from None
    except ValueError as error:
        raise NotJson("not_json", str(error)[:200]) from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _whole_number(digits: str) -> int | float:
    """A number as it is; one of more digits than anything here holds as a float, which is no id and no count."""
    return int(digits) if len(digits) <= 40 else float(digits)
