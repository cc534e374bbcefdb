"""What collection needs from X: the protocol `X`, which an adapter around the client implements in production.

    XError                  X gave no usable answer for this item; other items of the turn may succeed
    ├── TryAgain            the same request may succeed later, after `retry_after`
    ├── InvalidRequest      X refuses the request as it stands
    ├── CredentialsRefused  X does not accept the token (401), or does not let it ask for this item (403)
    ├── RateLimited         no request before `reset_at`
    ├── SpendingStopped     X sells nothing more to this account for now
    └── AddressRefused      the token must not be sent to this address

The last four end the turn (`concerns_all`; a 403 does not), because every other item would fail too. A message names the
endpoint and the status and never holds a token. Errors of a ledger and of the sink are passed on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from tweet_envelope.writing import Message
from twitter_pipeline.collection.accounts import LookedUp
from twitter_pipeline.collection.kind import Target
from twitter_pipeline.collection.ledgers import PollLedger, RefetchLedger, RequestLedger

UNAUTHORIZED = 401


class XError(Exception):
    """X gave no usable answer for this item."""

    concerns_all = False
    """Whether every other item would fail the same way."""


class TryAgain(XError):
    """The same request may succeed later; `retry_after` is the wait that X asked for, zero if none."""

    def __init__(self, message: str, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidRequest(XError):
    """X refuses the request as it stands: repeating it unchanged cannot help."""


class RateLimited(XError):
    """The rate limit of the endpoint is used up until `reset_at` (aware UTC)."""

    concerns_all = True

    def __init__(self, message: str, reset_at: datetime) -> None:
        super().__init__(message)
        self.reset_at = reset_at


class CredentialsRefused(XError):
    """X does not accept the token; a `status` other than 401 concerns this item only. None: no token was sent."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.concerns_all = status in (None, UNAUTHORIZED)


class SpendingStopped(XError):
    """X sells nothing more to this account for now: no credits, or a usage cap."""

    concerns_all = True


class AddressRefused(XError):
    """The token must not be sent to this address."""

    concerns_all = True


@dataclass(frozen=True)
class AccountState:
    """What X says about an account instead of returning its tweets: protected, suspended or gone, and X's words."""

    state: str
    reason: str


@dataclass(frozen=True)
class Polled:
    """What a poll did. `ended` says how it ended; an unfinished poll is resumed where it stopped.

    `username` is the present name of the target's account, if an answer contained it.
    """

    pages: int
    tweets: int
    newest_id: int | None
    ended: str
    cost_usd: Decimal
    is_finished: bool = True
    state: AccountState | None = None
    username: str | None = None


@dataclass(frozen=True)
class Refetched:
    """The outcome for tweets requested by id: found, refused with X's reason, or left unanswered by X."""

    found: frozenset[int]
    refused: Mapping[int, str]
    unanswered: frozenset[int]


class Sink(Protocol):
    """Where envelopes go; see tweet_envelope.sink."""

    @property
    def topic(self) -> str: ...
    @property
    def topic_id(self) -> str: ...
    def produce(self, messages: list[Message]) -> dict[int, int]: ...


class X(Protocol):
    """X as collection uses it. Every method raises XError, and calls the ledger before and after each request."""

    @property
    def base_url(self) -> str:
        """Where requests go; whether they cost money depends on it."""
        ...

    def server_now(self, now: datetime) -> datetime:
        """The time on X's clock when ours says `now` (both aware UTC)."""
        ...

    def poll(
        self,
        target: Target,
        ledger: PollLedger,
        sink: Sink,
        *,
        rule: str,
        page_size: int,
        max_pages: int,
        overlap: timedelta,
        clock: Callable[[], datetime],
    ) -> Polled:
        """Send everything new of a target to the sink and advance its checkpoint, page by page."""
        ...

    def refetch(self, tweet_ids: Sequence[int], ledger: RefetchLedger, sink: Sink, *, rule: str) -> Refetched:
        """Request known tweets by id and send what X returns to the sink."""
        ...

    def look_up(self, usernames: Sequence[str], ledger: RequestLedger) -> LookedUp:
        """The ids of up to 100 names in lower case. Raises InvalidRequest if X considers one of them invalid."""
        ...
