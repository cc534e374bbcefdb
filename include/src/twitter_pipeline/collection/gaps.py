"""What collection knows to be missing, as rows of pipeline.gaps: windows not read, tweets that X no longer returns.

Visible by design: status and alerts show every row. The stages that read the log write its own gaps (of offsets).
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
    """A window that was not read, as a poll describes it. A bound that is None is unknown; ids are exclusive."""

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
    """A window that collection itself gives up."""

    reason: str
    since_id: int | None = None
    until_id: int | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def note_window(connection: psycopg.Connection, rule: str, subject: str, window: Window) -> None:
    """Record a window of a rule's checkpoint as a gap."""
    bounds = {name: getattr(window, name) for name in BOUNDS}
    connection.execute(NOTE_WINDOW, {"rule": rule, "subject": subject, "reason": window.reason, **bounds})


def note_tweets(
    connection: psycopg.Connection, rule: str | None, tweet_ids: Iterable[int], reason: str
) -> None:
    """Record tweets as a gap that were collected once and cannot be fetched again."""
    given = {"rule": rule, "tweet_ids": sorted(tweet_ids), "reason": reason.replace("\x00", "")}
    connection.execute(NOTE_TWEETS, given)
