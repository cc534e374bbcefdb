"""What a poll needs from its owner: where to resume, may I spend this, note this page; and plain books that do it.

A poll goes page by page: the sink acknowledges, then the books hear of it. What no Kafka message can hold is kept by
the books. An owner who remembers in a database implements `Books`; `InMemoryBooks` last as long as the object.
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
    """Where to resume. With `until_id` and `newest_id` set, an unfinished poll goes on below `until_id`."""

    since_id: int | None = None
    until_id: int | None = None
    newest_id: int | None = None
    start_time: datetime | None = None
    since_at: datetime | None = None
    newest_at: datetime | None = None
    stalled_polls: int = 0


class Resumable(Protocol):
    """What a checkpoint of any books must tell."""

    @property
    def since_id(self) -> int | None:
        """Highest id of the last finished poll."""
        ...

    @property
    def since_at(self) -> datetime | None:
        """When the tweet of `since_id` was made, where that is known."""
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
        """When the tweet of `newest_id` was made, where that is known."""
        ...

    @property
    def start_time(self) -> datetime | None:
        """How far back a poll without since_id reaches; None for as far as X does."""
        ...

    @property
    def stalled_polls(self) -> int:
        """How many polls in a row have ended unfinished without anything new."""
        ...


@dataclass(frozen=True, slots=True)
class Gap:
    """A window of which is known that it was not read, and why; a bound that is None is not known."""

    reason: str
    since_id: int | None = None
    until_id: int | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class Books(Ledger, Protocol):
    """What a poll needs from its owner: where to resume, may I spend this, note this page.

    Exceptions of the books pass through. One whose class attribute `skip_task` is true says that somebody
    else does this work; one with `fail_task` that a retry cannot help (a spent budget).
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
        """Kafka has acknowledged every message of this page; `offsets` are the last of each partition.

        `poll_newest_id` is None while no tweet of the window has come: then the checkpoint stays.
        """
        ...

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None) -> None:
        """The poll is complete: the next one starts after the higher of this id and the known since_id."""
        ...

    def poll_stalled(self) -> None:
        """The poll ended unfinished and brought nothing new: one more in a row."""
        ...

    def out_of_reach(self, gap: Gap, start_time: datetime) -> None:
        """Write the gap down and let this poll, and those that resume it, reach back to `start_time` instead."""
        ...

    def left_out(self, gap: Gap) -> None:
        """Write down that this window was given up; the poll goes on as finished."""
        ...

    def count_differs(self, request_id: str, *, stated: int, given: int) -> None:
        """X stated another number of tweets than it gave, twice."""
        ...

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message that Kafka does not take; returns when it is stored for good."""
        ...


class Sink(Protocol):
    """Where messages go."""

    @property
    def topic(self) -> str:
        """Name of the topic."""
        ...

    @property
    def topic_id(self) -> str:
        """Id of the topic that the last `produce` wrote to."""
        ...

    def produce(self, messages: list[Message]) -> dict[int, int]:
        """Write all and return, after all are acknowledged, the last offset of each partition written to.

        Raises MessageTooLarge naming the messages that can never be written.
        """
        ...


@dataclass
class InMemoryBooks(InMemoryLedger):
    """Plain books that last as long as the object, with an optional budget in USD for all their requests."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    gaps: list[Gap] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)

    def resume(self) -> Checkpoint:
        """The checkpoint as it stands."""
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
        log.warning("Request %s: X stated %d tweets and gave %d", request_id, stated, given)

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Remember the key: these books have no store, so their owner must fail once the poll is over."""
        self.too_large.append(key)


class Keeper(Protocol):
    """Who keeps what Kafka does not take."""

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message; returns when it is stored for good."""
        ...


def produce_or_set_aside(
    sink: Sink, keeper: Keeper, messages: list[Message], page: Page
) -> tuple[dict[int, int], int]:
    """Everything into Kafka, and what no Kafka message can hold to the keeper: last offsets, and how many those were.

    A message that holds no tweet of the page is kept under a hash of its bytes.
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
