"""The books of a poll: where to resume, what may be spent, which pages are done. With an in-memory implementation.

A poll works page by page: Kafka acknowledges a page, then the books record it. The books also keep messages that are
too large for Kafka. To keep books in a database, implement `Books`; `InMemoryBooks` live as long as the object.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_twitter.client import Page
from airflow_provider_twitter.client.ledger import InMemoryLedger, Ledger
from tweet_envelope.sink import MessageTooLarge
from tweet_envelope.writing import Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where to resume. If `until_id` and `newest_id` are set, an unfinished poll continues below `until_id`."""

    since_id: int | None = None
    until_id: int | None = None
    newest_id: int | None = None
    start_time: datetime | None = None
    since_at: datetime | None = None
    newest_at: datetime | None = None
    stalled_polls: int = 0


class Resumable(Protocol):
    """What a poll reads from a checkpoint, whichever books it comes from."""

    @property
    def since_id(self) -> int | None:
        """Highest id of the last finished poll."""
        ...

    @property
    def since_at(self) -> datetime | None:
        """When the tweet of `since_id` was created, if known."""
        ...

    @property
    def until_id(self) -> int | None:
        """Everything at or above this id, up to `newest_id`, is acknowledged."""
        ...

    @property
    def newest_id(self) -> int | None:
        """Highest id of the unfinished poll."""
        ...

    @property
    def newest_at(self) -> datetime | None:
        """When the tweet of `newest_id` was created, if known."""
        ...

    @property
    def start_time(self) -> datetime | None:
        """How far back a poll without since_id reaches; None means as far as X does."""
        ...

    @property
    def stalled_polls(self) -> int:
        """How many polls in a row ended unfinished and without anything new."""
        ...


@dataclass(frozen=True, slots=True)
class Gap:
    """A window that is known not to have been read, and why; a bound of None is unknown."""

    reason: str
    since_id: int | None = None
    until_id: int | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class Books(Ledger, Protocol):
    """What a poll needs from its owner: where to resume, what may be spent, and a record of each page.

    Exceptions raised by the books pass through. A class attribute `skip_task` that is true says that another
    process does this work; `fail_task` says that a retry cannot help (a spent budget).
    """

    def resume(self) -> Resumable:
        """Where this poll starts. Called once, first."""
        ...

    def page_acknowledged(
        self,
        *,
        request_id: str,
        endpoint: str,
        params: dict[str, str],
        tweet_ids: list[int],
        topic: str,
        topic_id: str,
        offsets: dict[int, int],
        poll_newest_id: int | None,
        poll_newest_at: datetime | None,
        resume_until_id: int | None,
        poll_start_time: datetime | None,
        observed_at: datetime,
    ) -> None:
        """Kafka has acknowledged every message of this page; `offsets` has the last one of each partition.

        `poll_newest_id` is None while no tweet of the window has come; the checkpoint then stays as it is.
        """
        ...

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None) -> None:
        """The poll is complete; the next one starts after the higher of this id and the known since_id."""
        ...

    def poll_stalled(self) -> None:
        """The poll ended unfinished and brought nothing new; count one more in a row."""
        ...

    def out_of_reach(self, gap: Gap, start_time: datetime) -> None:
        """Record the gap; this poll, and those that resume it, reach back only to `start_time`."""
        ...

    def left_out(self, gap: Gap) -> None:
        """Record that this window was given up; the poll then counts as finished."""
        ...

    def count_differs(self, request_id: str, *, stated: int, given: int) -> None:
        """X's stated number of tweets differed from what it returned, twice."""
        ...

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message that Kafka does not accept; return once it is stored durably."""
        ...


class Sink(Protocol):
    """Where messages go."""

    @property
    def topic(self) -> str:
        """Name of the topic."""
        ...

    @property
    def topic_id(self) -> str:
        """Kafka's id of the topic that the last `produce` wrote to."""
        ...

    def produce(self, messages: list[Message]) -> dict[int, int]:
        """Write all messages, wait until all are acknowledged, and return the last offset per partition.

        Raises MessageTooLarge, which names the messages that can never be written.
        """
        ...


@dataclass
class InMemoryBooks(InMemoryLedger):
    """Books that live as long as the object, with an optional budget in USD for all their requests."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    gaps: list[Gap] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)

    def resume(self) -> Checkpoint:
        """The current checkpoint."""
        return self.checkpoint

    def page_acknowledged(
        self,
        *,
        poll_newest_id: int | None,
        poll_newest_at: datetime | None,
        resume_until_id: int | None,
        poll_start_time: datetime | None,
        **_: Any,
    ) -> None:
        """Remember how far down the unfinished poll is."""
        if poll_newest_id is not None:
            self.checkpoint = replace(
                self.checkpoint,
                until_id=resume_until_id,
                newest_id=poll_newest_id,
                newest_at=poll_newest_at,
                start_time=poll_start_time,
                stalled_polls=self.checkpoint.stalled_polls
                if resume_until_id == self.checkpoint.until_id
                else 0,
            )

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None) -> None:
        """Move since_id up."""
        known = self.checkpoint
        if newest_id is not None and (known.since_id is None or newest_id > known.since_id):
            self.checkpoint = Checkpoint(since_id=newest_id, since_at=newest_at)
        else:
            self.checkpoint = Checkpoint(known.since_id, since_at=known.since_at, start_time=known.start_time)

    def poll_stalled(self) -> None:
        """Count it."""
        self.checkpoint = replace(self.checkpoint, stalled_polls=self.checkpoint.stalled_polls + 1)

    def out_of_reach(self, gap: Gap, start_time: datetime) -> None:
        """Keep the gap; reach back to `start_time`."""
        self.gaps.append(gap)
        self.checkpoint = replace(self.checkpoint, since_id=None, since_at=None, start_time=start_time)

    def left_out(self, gap: Gap) -> None:
        """Keep the gap."""
        self.gaps.append(gap)

    def count_differs(self, request_id: str, *, stated: int, given: int) -> None:
        """Log it."""
        log.warning("Request %s: X stated %d tweets but returned %d", request_id, stated, given)

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Remember the key. These books have no store, so their owner must fail after the poll."""
        self.too_large.append(key)


class Keeper(Protocol):
    """Keeps messages that Kafka does not accept."""

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message; return once it is stored durably."""
        ...


def produce_or_set_aside(
    sink: Sink, keeper: Keeper, messages: list[Message], page: Page
) -> tuple[dict[int, int], int]:
    """Produce all messages; hand those too large for Kafka to the keeper. Returns last offsets and how many were kept.

    A kept message that holds no tweet of the page gets a hash of its bytes as its key.
    """
    if not messages:
        return {}, 0
    try:
        return sink.produce(messages), 0
    except MessageTooLarge as refused:
        too_large, reason = refused.messages, str(refused)
    offsets, aside = produce_or_set_aside(sink, keeper, [m for m in messages if m not in too_large], page)
    for message in too_large:
        key = message.key.decode("ascii", "replace")
        if key == page.request_id:
            key = hashlib.sha256(message.value).hexdigest()[:32]
        keeper.set_aside(
            request_id=page.request_id, endpoint=page.endpoint, key=key, payload=message.value, reason=reason
        )
    return offsets, aside + len(too_large)
