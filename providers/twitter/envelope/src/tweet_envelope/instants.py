"""Instants as X and messages state them, and the bounds within which one is believed."""

from datetime import UTC, datetime, timedelta

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_TIME = datetime(2006, 1, 1, tzinfo=UTC)  # the service opened in March 2006
LONGEST_AHEAD = timedelta(days=1)


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
