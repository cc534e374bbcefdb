"""What collecting needs of X, in this room's own words: whoever speaks to X implements `X`, in production an adapter.

    XError                  X gave no usable answer for this item; the others of the turn may do better
    ├── TryAgain            the same request may succeed later, after `retry_after`
    ├── InvalidRequest      X refuses the request as it stands
    ├── CredentialsRefused  X does not accept the token (401), or does not let it ask for this item (403)
    ├── RateLimited         nothing more before `reset_at`
    ├── SpendingStopped     X sells nothing more to this account for now
    └── AddressRefused      the address is none that the token may be sent to

The last four end the turn, as `concerns_all` says (a 403 does not): no other item would do better. A message names the endpoint and the status and never holds a token. Errors of a ledger and of the sink pass through.
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
    """Whether every other item would fail alike."""


class TryAgain(XError):
    """The same request may succeed later; `retry_after` is what X asked to wait, zero where it said nothing."""

    def __init__(self, message: str, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidRequest(XError):
    """X refuses the request as it stands: asking again cannot help before it is changed."""


class RateLimited(XError):
    """The window of the endpoint is used up until `reset_at` (aware UTC)."""

    concerns_all = True

    def __init__(self, message: str, reset_at: datetime) -> None:
        super().__init__(message)
        self.reset_at = reset_at


class CredentialsRefused(XError):
    """X does not accept the token; with another `status` than 401 only not for this item. None: no token was sent."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.concerns_all = status in (None, UNAUTHORIZED)


class SpendingStopped(XError):
    """X sells nothing more to this account for now: no credits, or a usage cap."""

    concerns_all = True


class AddressRefused(XError):
    """The address is none that the token may be sent to."""

    concerns_all = True


@dataclass(frozen=True)
class AccountState:
    """What X says about an account instead of giving its tweets: protected, suspended or gone, and X's words."""

    state: str
    reason: str


@dataclass(frozen=True)
class Polled:
    """What a poll did. `ended` says how; one that is not finished is resumed where it stopped.

    `username` is the name that the account of the target goes by now, where an answer told it.
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
    """What became of tweets asked for by id: they came, were refused with X's reason, or X did not answer for them."""

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
    """X as collecting asks it. Every method raises XError; ledgers hear of each request before and after it."""

    @property
    def base_url(self) -> str:
        """Where requests go: what an answer costs depends on it."""
        ...

    def server_now(self, now: datetime) -> datetime:
        """What X's clock says when ours says `now` (both aware UTC)."""
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
        """Bring everything new of a target to the sink and its checkpoint up to it, page by page."""
        ...

    def refetch(self, tweet_ids: Sequence[int], ledger: RefetchLedger, sink: Sink, *, rule: str) -> Refetched:
        """Ask for known tweets by id and produce what X gives."""
        ...

    def look_up(self, usernames: Sequence[str], ledger: RequestLedger) -> LookedUp:
        """The ids of up to 100 names in lower case. One that X takes for no name spoils it: InvalidRequest."""
        ...
