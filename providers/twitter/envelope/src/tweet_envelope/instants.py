"""Instants as X and messages state them, and the bounds within which they are plausible."""

from datetime import UTC, datetime, timedelta

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_TIME = datetime(2006, 1, 1, tzinfo=UTC)  # the service opened in March 2006
LONGEST_AHEAD = timedelta(days=1)


def read_time(value: str | None) -> datetime | None:
    """An aware UTC instant, or None if it is missing, naive, impossible or beyond year 9999."""
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (ValueError, OverflowError):
        return None


def is_plausible(instant: datetime, now: datetime) -> bool:
    """Whether something can have happened then: from 2006 to a day after `now`, to allow for clock differences."""
    return EARLIEST_TIME <= instant <= now + LONGEST_AHEAD


def read_plausible_time(value: str | None, now: datetime) -> datetime | None:
    """Like read_time, but also None for an instant outside the bounds of `is_plausible`."""
    instant = read_time(value)
    return instant if instant is not None and is_plausible(instant, now) else None


def read_observed_at(value: str | None, landed_at: datetime) -> datetime | None:
    """When an observation was made: never after it landed, and None (unknown) for a time before 2006.

    A later time is replaced by the time of landing, since a forged or wrong year would outrank every true observation.
    `landed_at` is stored with the envelope, so that every replay reads the same time.
    """
    instant = read_time(value)
    if instant is None or instant < EARLIEST_TIME:
        return None
    return min(instant, landed_at)
