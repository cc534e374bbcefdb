"""One poll of a search, timeline or similar: start at the checkpoint in the books, read page by page, write to Kafka.

The order of steps is the promise. A page is priced, fetched, produced and acknowledged by Kafka, and only then
recorded in the books. During a poll the books remember the oldest acknowledged id, so that an interrupted poll
resumes below it. The id from which the next poll starts moves once, after a page that said it was the last.

Absence is not a statement. If a token promised a page and the page is empty, it is requested once more. Runs of empty
pages are followed. Giving up leaves the poll unfinished; if polls keep giving up at the same place, a gap is recorded.
What the server returns does not move the window: its top is fixed by the first page with a tweet inside the window.
Tweets from above it, from outside or from the future are kept, but none of them becomes the newest.

Other servers that speak the X API may ignore since_id, until_id or sorting. So "new" means not yet seen in this
poll. The number of pages is bounded, and order is trusted only after it has been observed: an interrupted poll of a
server that may not sort starts over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from airflow_provider_twitter.books import Books as Books
from airflow_provider_twitter.books import Checkpoint as Checkpoint
from airflow_provider_twitter.books import Gap as Gap
from airflow_provider_twitter.books import InMemoryBooks as InMemoryBooks
from airflow_provider_twitter.books import Resumable, Sink, produce_or_set_aside
from airflow_provider_twitter.client import (
    BodyTooLarge,
    InvalidRequest,
    Item,
    Page,
    ResourceFact,
    TryAgain,
    XClient,
)
from airflow_provider_twitter.client.endpoints import SEARCH_RECENT, USER_TWEETS, Endpoint
from airflow_provider_twitter.client.ledger import BudgetSpent as BudgetSpent
from airflow_provider_twitter.client.proof import asked_for, facts_in, stated_count
from airflow_provider_twitter.client.request import Value
from airflow_provider_twitter.client.x import utc_now
from airflow_provider_twitter.envelopes import messages_of
from tweet_envelope.ids import EPOCH_MS, SEQUENCE_BITS, earlier, made_at

log = logging.getLogger(__name__)

REACH_MARGIN = timedelta(minutes=1)
CLOCK_TOLERANCE = timedelta(minutes=1)
NOTEWORTHY_SLIP = timedelta(minutes=5)
FEWEST_TO_TRUST_ORDER = 100
MOST_STALLED_POLLS = 3


@dataclass(frozen=True)
class Target:
    """What a poll reads: an endpoint that returns pages of tweets, and the parameters sent with every page.

    `params` are the ones that stay the same, including the id in the path; the poll itself sets the window and the
    page. Raises ValueError for an endpoint without pages of tweets.
    """

    endpoint: Endpoint
    params: Mapping[str, Value]

    def __post_init__(self) -> None:
        if None in (self.endpoint.page_size, self.endpoint.page_token, self.endpoint.source):
            raise ValueError(f"{self.endpoint} does not return pages of tweets, so it cannot be polled")

    @property
    def user_id(self) -> int | None:
        """The id of the account named in the path, or None."""
        if self.endpoint.names != "user":
            return None
        named = str(self.params.get(self.endpoint.path_params[0]))
        return int(named) if named.isascii() and named.isdigit() else None


class Search(Target):
    """A recent search query."""

    def __init__(self, query: str) -> None:
        super().__init__(SEARCH_RECENT, {"query": query})


class Timeline(Target):
    """A user's own tweets; `exclude` may hold "replies" and "retweets"."""

    def __init__(self, user_id: int, exclude: Sequence[str] = ()) -> None:
        super().__init__(USER_TWEETS, {"id": user_id, "exclude": tuple(exclude)})


Ended = Literal[
    "last_page", "reached_the_known", "out_of_reach", "left_out", "gave_up", "max_pages", "account_state"
]
FINISHED: frozenset[Ended] = frozenset({"last_page", "reached_the_known", "out_of_reach", "left_out"})


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll did.

    `ended` says how it ended. Finished: it read X's last page, reached what an earlier poll had read (on a server
    that ignores since_id), or the rest is out of X's reach or was finally given up (both with a gap in the books).
    Unfinished, to be resumed: nothing new came, `max_pages` was reached, or `state` holds what X says about the
    account. `searched_from` is set if X no longer reached back to the checkpoint. `username` is the current name of a
    timeline's account, if a response contained it. `set_aside` counts messages too large for Kafka.
    """

    pages: int
    tweets: int
    newest_id: int | None
    ended: Ended
    cost_usd: Decimal
    searched_from: datetime | None = None
    state: ResourceFact | None = None
    username: str | None = None
    set_aside: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether the next poll starts above this one instead of resuming it."""
        return self.ended in FINISHED


def poll(
    client: XClient,
    target: Target | str,
    books: Books,
    sink: Sink,
    *,
    rule: str | None = None,
    clock: Callable[[], datetime] = utc_now,
    page_size: int = 100,
    max_pages: int = 100,
    overlap: timedelta = timedelta(seconds=60),
) -> PollResult:
    """Send everything new to the sink and move the checkpoint up; a plain string is a query.

    X sometimes indexes tweets late, so a poll starts `overlap` before the end of the last one (only if ids contain a
    time). When `max_pages` is reached, the poll stays unfinished and the next one continues below. Raises what the
    client, the books and the sink raise; whatever was acknowledged by then is in the books.
    """
    if page_size < 1 or max_pages < 1:
        raise ValueError(f"page_size and max_pages must be at least 1, not {page_size} and {max_pages}")
    return _Poll(
        client=client.charged_to(books),
        target=Search(target) if isinstance(target, str) else target,
        books=books,
        sink=sink,
        rule=rule,
        clock=clock,
        page_size=page_size,
        max_pages=max_pages,
        overlap=overlap,
    ).run()


@dataclass
class _Poll:
    client: XClient
    target: Target
    books: Books
    sink: Sink
    rule: str | None
    clock: Callable[[], datetime]
    page_size: int
    max_pages: int
    overlap: timedelta
    since_id: int | None = None
    since_at: datetime | None = None
    wanted_from: datetime | None = None
    start_time: datetime | None = None
    until_id: int | None = None
    ask_below: int | None = None
    token: str | None = None
    newest_id: int | None = None
    newest_at: datetime | None = None
    searched_from: datetime | None = None
    username: str | None = None
    pages: int = 0
    tweets: int = 0
    set_aside: int = 0
    cost_usd: Decimal = Decimal(0)
    seen: set[int] = field(default_factory=set)
    in_window: set[int] = field(default_factory=set)
    is_sorted: bool = True
    is_window_sorted: bool = True

    def run(self) -> PollResult:
        checkpoint = self.books.resume()
        server_now = self.client.server_now(self.clock())
        self.since_id, self.since_at = checkpoint.since_id, checkpoint.since_at
        if self.since_id is not None:
            self.since_at = self.since_at or made_at(self.since_id, server_now)
            self.since_id = earlier(self.since_id, self.overlap, server_now)
        else:
            self.wanted_from = checkpoint.start_time
            self.start_time = self._reachable(server_now)
        self.newest_id, self.newest_at = checkpoint.newest_id, checkpoint.newest_at
        self.until_id = self.ask_below = self._trusted(checkpoint)
        ended, state = self._read()
        is_stalled = checkpoint.newest_id is not None or not self.in_window
        if ended in FINISHED:
            self._note_what_slipped_out_of_reach(checkpoint)
            self.books.poll_finished(self.newest_id, self.newest_at)
        elif ended != "account_state" and is_stalled and self._resume_below() in (None, checkpoint.until_id):
            ended = self._stall(checkpoint, ended)
        if ended not in FINISHED:
            log.warning("Poll of rule %s is unfinished after %d pages (%s)", self.rule, self.pages, ended)
        return PollResult(
            pages=self.pages,
            tweets=self.tweets,
            newest_id=self.newest_id,
            ended=ended,
            cost_usd=self.cost_usd,
            searched_from=self.searched_from,
            state=state,
            username=self.username,
            set_aside=self.set_aside,
        )

    def _read(self) -> tuple[Ended, ResourceFact | None]:
        """Read page by page to the end of the window, or as far as it can be followed."""
        promised, confirmed = False, False
        tokens_used: set[str] = set()
        asked_below: set[int] = set()
        while self.pages < self.max_pages:
            try:
                page = self._fetch()
            except _OutOfReach:
                return "out_of_reach", None
            is_first = self.pages == 1
            page, has_new = self._take(page)
            if (state := self._state_in(page)) is not None:
                return "account_state", state
            oldest = min(self.in_window, default=None) if self.is_window_sorted else None
            if is_first and self._reaches_further(page):
                self._go_on_below(oldest)
                continue
            if page.next_token is None:
                if page.data:
                    return "last_page", None
                if promised and not confirmed:
                    # A token promised this page, but it is empty: believe it only if it is empty again.
                    confirmed = True
                    self._go_on_below(oldest)
                    continue
                return ("last_page" if stated_count(page.meta) == 0 else "gave_up"), None
            confirmed = False
            if self._reached_the_known(page):
                return "reached_the_known", None
            if (has_new or not page.data) and page.next_token not in tokens_used:
                self.token, promised = page.next_token, True
                tokens_used.add(page.next_token)
            elif oldest is not None and oldest not in asked_below:
                # Do not trust a token that brings nothing new or repeats: ask once below the oldest id.
                asked_below.add(oldest)
                self._go_on_below(oldest)
            else:
                return "gave_up", None
        return "max_pages", None

    def _go_on_below(self, oldest: int | None) -> None:
        """Ask by id instead of by token if ids show how far the poll is; otherwise repeat the same request."""
        if oldest is not None:
            self.ask_below, self.token = oldest, None

    def _take(self, page: Page) -> tuple[Page, bool]:
        """Pass a page on; if X's stated count differs from what it returned, ask once more and keep both pages."""
        has_new = self._pass_on(page)
        if not _count_differs(page):
            return page, has_new
        try:
            again = self._ask()
        except TryAgain as failed:
            log.warning("Could not request an incomplete page again: %s", failed)
            again = page
        except BaseException:
            self._note_difference(page)
            raise
        else:
            has_new = self._pass_on(again) or has_new
        self._note_difference(again)
        return again, has_new

    def _note_difference(self, page: Page) -> None:
        if _count_differs(page):
            stated = stated_count(page.meta) or 0
            self.books.count_differs(page.request_id, stated=stated, given=len(page.data))

    def _fetch(self) -> Page:
        """One page; changes the request if X refuses it for a reason that we can work out."""
        while True:
            try:
                return self._ask()
            except BodyTooLarge:
                smallest = self.target.endpoint.smallest_page
                if self.page_size <= smallest:
                    raise
                self.page_size = max(self.page_size // 2, smallest)
                log.warning(
                    "A page was too large to read: requesting pages of %d from now on", self.page_size
                )
            except InvalidRequest as refused:
                if self.token is not None and self.is_window_sorted:
                    # X may have forgotten the token; a refusal without one is interpreted on the next try
                    self.ask_below, self.token = min(self.in_window, default=self.ask_below), None
                elif not self._move_into_reach(refused.server_time or self.client.server_now(self.clock())):
                    raise

    def _move_into_reach(self, server_now: datetime) -> bool:
        """Whether the window had left X's reach by X's own clock and was moved back into it.

        Raises _OutOfReach if nothing of the window is left.
        """
        if (reach := self._reach(server_now)) is None:
            return False
        until_at = None if self.ask_below is None else made_at(self.ask_below, server_now)
        if until_at is not None and until_at <= reach:
            reason = "X no longer reached back to where the unfinished poll goes on"
            lower_at = self.since_at or self.wanted_from
            self.books.left_out(Gap(reason, self.since_id, self.ask_below, lower_at, until_at))
            self.searched_from = reach
            raise _OutOfReach
        if self.since_id is not None:
            if self.since_at is None or self.since_at - self.overlap > reach:
                return False
            if self.since_at > reach:  # only the overlap is out of reach
                self.since_id = earlier(self.since_id, -self.overlap, server_now)
                self.overlap = timedelta(0)
                return True
            gap = Gap("X no longer reached back to the checkpoint", self.since_id, None, self.since_at, reach)
            self.since_id = self.since_at = None
            self.start_time = self.wanted_from = self.searched_from = reach
            self.books.out_of_reach(gap, reach)
            return True
        if self.start_time is None or self.start_time >= reach:
            return False
        self.start_time = reach
        return True

    def _note_what_slipped_out_of_reach(self, checkpoint: Resumable) -> None:
        """Record a gap if, over several runs, the oldest part of the poll slipped out of X's reach."""
        wanted, reached = checkpoint.start_time, self.start_time
        if checkpoint.newest_id is None or wanted is None or reached is None:
            return
        if reached - wanted > NOTEWORTHY_SLIP:
            reason = "X no longer reached back to where this poll began"
            self.books.left_out(Gap(reason, from_at=wanted, to_at=reached))

    def _ask(self) -> Page:
        endpoint = self.target.endpoint
        window = {"since_id": self.since_id, "until_id": self.ask_below, "start_time": self.start_time}
        params: dict[str, Value] = {
            **self.target.params,
            **{name: bound for name, bound in window.items() if name in endpoint.window},
            "max_results": self.page_size,
        }
        if endpoint.page_token is not None:
            params[endpoint.page_token] = self.token
        page = self.client.request(endpoint, **params)
        self.pages += 1
        self.tweets += len(page.data)
        self.cost_usd += page.cost_usd
        return page

    def _pass_on(self, page: Page) -> bool:
        """Produce the page and record it in the books; return whether it held a tweet new to this poll."""
        self._note_username(page)
        ids = [tweet.id for tweet in page.data if tweet.id is not None]
        new = [tweet_id for tweet_id in dict.fromkeys(ids) if tweet_id not in self.seen]
        if page.data and not new and len(ids) == len(page.data):
            return False
        messages = messages_of(page, rule=self.rule, source=self.target.endpoint.tweet_source)
        offsets, aside = produce_or_set_aside(self.sink, self.books, messages, page)
        self.set_aside += aside
        below_all = new == sorted(new, reverse=True) and (
            not self.seen or max(new, default=0) < min(self.seen)
        )
        self.is_sorted = self.is_sorted and below_all
        self.seen.update(new)
        self._mark_window(page)
        if ids:
            self.books.page_acknowledged(
                request_id=page.request_id,
                endpoint=page.endpoint,
                params=dict(page.params),
                tweet_ids=ids,
                topic=self.sink.topic,
                topic_id=self.sink.topic_id,
                offsets=offsets,
                poll_newest_id=self.newest_id if self.in_window else None,
                poll_newest_at=self.newest_at,
                resume_until_id=self._resume_below(),
                poll_start_time=self.wanted_from,
                observed_at=page.observed_at,
            )
        return bool(new)

    def _mark_window(self, page: Page) -> None:
        """Note which tweets of a page belong to the window; the first ones fix its top."""
        server_now = page.server_time or self.client.server_now(page.observed_at)
        times = {tweet.id: _time_of(tweet) for tweet in page.data if tweet.id is not None}
        inside = [tweet_id for tweet_id, at in times.items() if self._is_inside(tweet_id, at, server_now)]
        if not inside:
            return
        fresh = [tweet_id for tweet_id in inside if tweet_id not in self.in_window]
        falls = fresh == sorted(fresh, reverse=True)
        below = not self.in_window or max(fresh, default=-1) < min(self.in_window)
        self.is_window_sorted = self.is_window_sorted and falls and below
        self.in_window.update(fresh)
        if self.newest_id is None:
            self.newest_id = max(inside)
            self.newest_at = times[self.newest_id]
            is_x = made_at(self.newest_id, server_now) is not None
            if is_x and self.since_id is None and self.wanted_from is None:
                self.wanted_from = self._reach(server_now)

    def _is_inside(self, tweet_id: int, at: datetime | None, server_now: datetime) -> bool:
        if self.since_id is not None and tweet_id <= self.since_id:
            return False
        if self.until_id is not None and tweet_id >= self.until_id:
            return False
        if self.newest_id is not None and tweet_id > self.newest_id:
            return False
        if at is None:
            return True
        if self.start_time is not None and at < self.start_time - CLOCK_TOLERANCE:
            return False
        return at <= server_now + CLOCK_TOLERANCE

    def _resume_below(self) -> int | None:
        """Where an interrupted poll resumes: above its top, so from the start, unless order has been observed."""
        if not self.in_window or self.newest_id is None:
            return None
        # X sorts; any other server must have proved it
        is_x = made_at(max(self.in_window), self.clock()) is not None
        if self.is_window_sorted and (is_x or len(self.in_window) >= FEWEST_TO_TRUST_ORDER):
            return min(self.in_window)
        return self.newest_id + 1

    def _reached_the_known(self, page: Page) -> bool:
        """Whether a server that sorts but ignores since_id has reached what an earlier poll already read."""
        since_id = self.since_id
        if since_id is None or not self.is_sorted or len(self.seen) < FEWEST_TO_TRUST_ORDER:
            return False
        return bool(page.data) and all(tweet.id is not None and tweet.id <= since_id for tweet in page.data)

    def _reaches_further(self, page: Page) -> bool:
        """Whether our clock kept the poll from reaching back as far as X's clock allows; if so, extend it."""
        if self.start_time is None or self.since_id is not None or page.server_time is None:
            return False
        start_time = self._reachable(page.server_time)
        if start_time is None or self.start_time - start_time <= CLOCK_TOLERANCE or not self.is_window_sorted:
            return False
        self.start_time = start_time
        return True

    def _state_in(self, page: Page) -> ResourceFact | None:
        """What X says about a timeline's account instead of returning tweets."""
        self_named = asked_for(self.target.endpoint, page.params)
        if page.data or not self_named:
            return None
        facts = facts_in(page.errors)
        return next((facts[name] for name in self_named if name in facts), None)

    def _note_username(self, page: Page) -> None:
        if (user_id := self.target.user_id) is not None:
            for user in page.includes.get("users", ()):
                name = (user.value or {}).get("username")
                if user.id == user_id and isinstance(name, str):
                    self.username = name

    def _stall(self, checkpoint: Resumable, ended: Ended) -> Ended:
        """Handle a poll that brought neither anything new nor an end: after a few in a row, give up with a gap."""
        if checkpoint.stalled_polls + 1 < MOST_STALLED_POLLS:
            self.books.poll_stalled()
            return ended
        now = self.client.server_now(self.clock())
        reason = f"X returned neither tweets nor an end in {MOST_STALLED_POLLS} polls of up to {self.max_pages} pages"
        until_at = None if self.until_id is None else made_at(self.until_id, now)
        gap = Gap(reason, self.since_id, self.until_id, self.since_at or self.wanted_from, until_at or now)
        if self.newest_id is None:
            self.books.out_of_reach(gap, now - self.overlap)
        else:
            self.books.left_out(gap)
            self.books.poll_finished(self.newest_id, self.newest_at)
        return "left_out"

    @staticmethod
    def _trusted(checkpoint: Resumable) -> int | None:
        """Where to resume; None if pages came unsorted, since then no id says what is left."""
        until_id, newest_id = checkpoint.until_id, checkpoint.newest_id
        return None if until_id is None or (newest_id is not None and until_id > newest_id) else until_id

    def _reach(self, server_now: datetime) -> datetime | None:
        """The earliest start that X accepts, by its own clock; None if time is no limit."""
        reach = self.target.endpoint.reach
        return None if reach is None else server_now - reach + REACH_MARGIN

    def _reachable(self, server_now: datetime) -> datetime | None:
        """A start that X accepts: recent search refuses one that is more than 7 days ago."""
        reach = self._reach(server_now)
        if self.wanted_from is None or reach is None:
            return self.wanted_from
        return max(self.wanted_from, reach)


class _OutOfReach(Exception):
    """X can no longer return anything that is left of this poll."""


def _count_differs(page: Page) -> bool:
    stated = stated_count(page.meta)
    return stated is not None and stated != len(page.data)


def _time_of(tweet: Item) -> datetime | None:
    """When a tweet was created: as stated, otherwise from its id if that is large enough to contain a time."""
    stated = (tweet.value or {}).get("created_at")
    if isinstance(stated, str):
        try:
            made = datetime.fromisoformat(stated)
            if made.tzinfo is not None:
                return made.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    if tweet.id is None or (milliseconds := tweet.id >> SEQUENCE_BITS) < MILLISECONDS_OF_FIRST_SNOWFLAKES:
        return None
    return EPOCH + timedelta(milliseconds=milliseconds)


EPOCH = datetime.fromtimestamp(EPOCH_MS / 1000, UTC)
MILLISECONDS_OF_FIRST_SNOWFLAKES = timedelta(days=58) // timedelta(milliseconds=1)
