"""What collecting knows to be missing, written down in pipeline.gaps: windows that were not read, tweets that X gives no more.

Loud by design: status and alerts show every row. The gaps of the log itself (offsets) are written by whoever reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import psycopg

NOTE_WINDOW = """
insert into pipeline.gaps (kind, rule, subject, since_id, until_id, from_at, to_at, reason)
values ('window', %(rule)s, %(subject)s, %(since_id)s, %(until_id)s, %(from_at)s, %(to_at)s, %(reason)s)
"""
NOTE_TWEETS = """
insert into pipeline.gaps (kind, rule, tweet_ids, reason) values ('tweets', %(rule)s, %(tweet_ids)s, %(reason)s)
"""
BOUNDS = ("since_id", "until_id", "from_at", "to_at")


class Window(Protocol):
    """A window that was not read, as a poll describes it; a bound that is None is not known. Ids are exclusive."""

    @property
    def reason(self) -> str: ...
    @property
    def since_id(self) -> int | None: ...
    @property
    def until_id(self) -> int | None: ...
    @property
    def from_at(self) -> datetime | None: ...
    @property
    def to_at(self) -> datetime | None: ...


@dataclass(frozen=True)
class Unread:
    """A window that this room gives up itself."""

    reason: str
    since_id: int | None = None
    until_id: int | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def note_window(connection: psycopg.Connection, rule: str, subject: str, window: Window) -> None:
    """Keep a window of a rule's checkpoint as a gap."""
    bounds = {name: getattr(window, name) for name in BOUNDS}
    connection.execute(NOTE_WINDOW, {"rule": rule, "subject": subject, "reason": window.reason, **bounds})


def note_tweets(
    connection: psycopg.Connection, rule: str | None, tweet_ids: Iterable[int], reason: str
) -> None:
    """Keep tweets that were collected once and cannot be had again as a gap."""
    given = {"rule": rule, "tweet_ids": sorted(tweet_ids), "reason": reason.replace("\x00", "")}
    connection.execute(NOTE_TWEETS, given)
