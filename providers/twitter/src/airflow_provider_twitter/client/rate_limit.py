"""The three x-rate-limit headers and Retry-After, and how long to wait if they are missing or absurd.

X counts requests per endpoint and token in windows of 15 minutes. It gives the reset in seconds since 1970 by *its*
clock, so the wait is measured against the answer's own Date header, if there is one, and then added to our clock.
Retry-After, which X and everything in front of it may send, is a floor under each wait. No wait is longer than 15
minutes, whatever a header says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_WAIT = timedelta(minutes=15)
GUESSED_WAIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer said about its window; a part that is missing or not a number is None."""

    limit: int | None
    remaining: int | None
    reset_at: datetime | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """The window in these headers, or None if none of the three is there."""
        limit = _number(headers.get("x-rate-limit-limit"))
        remaining = _number(headers.get("x-rate-limit-remaining"))
        reset_at = _instant(_number(headers.get("x-rate-limit-reset")))
        if limit is None and remaining is None and reset_at is None:
            return None
        return cls(limit=limit, remaining=remaining, reset_at=reset_at)

    def as_dict(self) -> dict[str, int | str | None]:
        """The same as plain JSON values, for ledgers that store it."""
        reset_at = None if self.reset_at is None else self.reset_at.isoformat()
        return {"limit": self.limit, "remaining": self.remaining, "reset_at": reset_at}


def reset_of(headers: Mapping[str, str], now: datetime) -> tuple[datetime, bool]:
    """When to try again after a 429, by our clock, and whether that is our own estimate.

    Never before `now` or the time that Retry-After asks for, never more than 15 minutes after `now`. Without a
    usable header: 60 seconds, X's advice for the first wait after a 429.
    """
    floor = retry_after_of(headers, now)
    reset_at = _instant(_number(headers.get("x-rate-limit-reset")))
    wait = None if reset_at is None else reset_at - _server_time(headers, now)
    if wait is None or wait < timedelta(0):
        return now + (GUESSED_WAIT if floor is None else floor), floor is None
    if wait > LONGEST_WAIT:
        return now + LONGEST_WAIT, True
    return now + max(wait, floor or timedelta(0)), False


def retry_after_of(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long Retry-After (seconds, or a date by the server's clock) asks to wait, at most 15 minutes.

    None if the header is missing or is neither.
    """
    stated = headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit():
        return min(timedelta(seconds=int(stated)), LONGEST_WAIT) if len(stated) <= 9 else LONGEST_WAIT
    until = _date(stated)
    if until is None:
        return None
    return min(max(until - _server_time(headers, now), timedelta(0)), LONGEST_WAIT)


def _server_time(headers: Mapping[str, str], now: datetime) -> datetime:
    return _date(headers.get("date", "")) or now


def _date(text: str) -> datetime | None:
    """An HTTP date, aware UTC; None if it is not a date or is out of range."""
    try:
        stated = parsedate_to_datetime(text)
        return stated.astimezone(UTC) if stated.tzinfo else stated.replace(tzinfo=UTC)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None  # the standard library raises each of these for some odd date


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)


def _instant(seconds: int | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
