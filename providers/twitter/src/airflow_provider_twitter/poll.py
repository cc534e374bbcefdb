"""One poll of one search or timeline: from where the books say, page by page, into Kafka, and back to the books.

The order of steps is the promise. A page is priced, fetched, produced and acknowledged by Kafka; only then do
the books hear of it. Inside a poll they remember the oldest acknowledged id, so that an interrupted poll goes
on below it; the id from which the next poll starts moves once, after the last page.

Other servers that speak the X API may ignore since_id, until_id or sorting. So "new" means: not yet seen in
this poll. A page with nothing new ends it, the number of pages is bounded, and order is believed only where it
was shown: an interrupted poll of a server that may not sort starts over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Protocol

from airflow_provider_twitter.client import InvalidRequest, Page, SinceIdTooOld, XClient
from airflow_provider_twitter.client.ledger import BudgetSpent as BudgetSpent
from airflow_provider_twitter.client.ledger import InMemoryLedger, Ledger
from airflow_provider_twitter.client.x import utc_now
from airflow_provider_twitter.envelope import Message, Source, messages_of
from airflow_provider_twitter.snowflake import earlier, made_at

log = logging.getLogger(__name__)

SEARCHABLE_SPAN = timedelta(days=7) - timedelta(minutes=1)
FEWEST_TO_TRUST_ORDER = 100
MOST_EMPTY_PAGES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where to resume. With `until_id` and `newest_id` set, an unfinished poll goes on below `until_id`."""

    since_id: int | None = None
    until_id: int | None = None
    newest_id: int | None = None
    start_time: datetime | None = None


class Resumable(Protocol):
    """What a checkpoint of any books must tell."""

    @property
    def since_id(self) -> int | None:
        """Highest id of the last finished poll."""
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
    def start_time(self) -> datetime | None:
        """How far back a first poll reaches; None for as far as X does."""
        ...


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
        poll_newest_id: int,
        resume_until_id: int,
        observed_at: datetime,
    ) -> None:
        """Kafka has acknowledged every message of this page; `offsets` are the last of each partition."""
        ...

    def poll_finished(self, newest_id: int | None) -> None:
        """The poll is complete: the next one starts after the higher of this id and the known since_id."""
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
        """Write all and return, after all are acknowledged, the last offset of each partition written to."""
        ...


@dataclass(frozen=True, slots=True)
class Search:
    """A query of recent search."""

    query: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A user's own tweets; `exclude` may hold "replies" and "retweets"."""

    user_id: int
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll did. `searched_from` is set when X no longer reached back to the checkpoint: a gap before it."""

    pages: int
    tweets: int
    newest_id: int | None
    ended: Literal["last_page", "nothing_new", "max_pages"]
    cost_usd: Decimal
    searched_from: datetime | None = None


@dataclass
class InMemoryBooks(InMemoryLedger):
    """Plain books that last as long as the object, with an optional budget in USD for all their requests."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    def resume(self) -> Checkpoint:
        """The checkpoint as it stands."""
        return self.checkpoint

    def page_acknowledged(self, *, poll_newest_id: int, resume_until_id: int, **_: Any) -> None:
        """Remember how far down the unfinished poll is."""
        self.checkpoint = Checkpoint(
            since_id=self.checkpoint.since_id,
            until_id=resume_until_id,
            newest_id=poll_newest_id,
            start_time=self.checkpoint.start_time,
        )

    def poll_finished(self, newest_id: int | None) -> None:
        """Move since_id up."""
        known = [each for each in (self.checkpoint.since_id, newest_id) if each is not None]
        self.checkpoint = Checkpoint(since_id=max(known, default=None), start_time=self.checkpoint.start_time)


def poll(
    client: XClient,
    target: Search | Timeline | str,
    books: Books,
    sink: Sink,
    *,
    rule: str | None = None,
    clock: Callable[[], datetime] = utc_now,
    page_size: int = 100,
    max_pages: int = 100,
    overlap: timedelta = timedelta(seconds=60),
) -> PollResult:
    """Bring everything new to the sink and the checkpoint up to it; a plain string is a query.

    Tweets are indexed late at times, so a poll starts `overlap` before where the last one ended (only where
    ids hold a time). With `max_pages` reached the poll stays unfinished and the next one goes on below.
    Raises what the client, the books and the sink raise; whatever was acknowledged by then is in the books.
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
    target: Search | Timeline
    books: Books
    sink: Sink
    rule: str | None
    clock: Callable[[], datetime]
    page_size: int
    max_pages: int
    overlap: timedelta
    since_id: int | None = None
    start_time: datetime | None = None
    newest_id: int | None = None
    searched_from: datetime | None = None
    seen: set[int] = field(default_factory=set)
    is_sorted: bool = True

    def run(self) -> PollResult:
        checkpoint = self.books.resume()
        now = self.clock()
        self.since_id = (
            None if checkpoint.since_id is None else earlier(checkpoint.since_id, self.overlap, now)
        )
        self.start_time = self._reachable(checkpoint.start_time, now) if self.since_id is None else None
        self.newest_id = checkpoint.newest_id
        until_id, token = self._trusted(checkpoint), None
        tokens_used: set[str] = set()
        pages, tweets, barren, cost_usd = 0, 0, 0, Decimal(0)
        ended: Literal["last_page", "nothing_new", "max_pages"] = "max_pages"
        while pages < self.max_pages:
            try:
                page = self._fetch(until_id, token)
            except InvalidRequest as refused:
                if "until_id" not in refused.parameters or until_id is None:
                    raise
                # What the unfinished poll has left is out of X's reach by now: only the newer part can be had.
                self.searched_from = now - SEARCHABLE_SPAN
                ended = "last_page"
                break
            pages += 1
            tweets += len(page.data)
            cost_usd += page.cost_usd
            has_new = self._pass_on(page)
            barren = 0 if has_new else barren + 1
            if page.next_token is None:
                ended = "last_page"
                break
            if self._reached_the_known(page):
                ended = "nothing_new"
                break
            leads_nowhere = not has_new and (bool(page.data) or barren >= MOST_EMPTY_PAGES)
            if not leads_nowhere and page.next_token not in tokens_used:
                token = page.next_token
                tokens_used.add(token)
            elif token is not None and self.seen:
                # A token that brings nothing new, or that returns, is not believed: ask once below the oldest.
                until_id, token = min(self.seen), None
                tokens_used.clear()
            else:
                ended = "nothing_new"
                break
        if ended == "max_pages":
            log.warning(
                "Poll of rule %s stopped after %d pages; the next one goes on below", self.rule, pages
            )
        else:
            self.books.poll_finished(self.newest_id)
        return PollResult(
            pages=pages,
            tweets=tweets,
            newest_id=self.newest_id,
            ended=ended,
            cost_usd=cost_usd,
            searched_from=self.searched_from,
        )

    def _fetch(self, until_id: int | None, token: str | None) -> Page:
        try:
            return self._ask(until_id, token)
        except SinceIdTooOld:
            if self.since_id is None:
                raise
            self.since_id = None
            self.start_time = self.searched_from = self.clock() - SEARCHABLE_SPAN
            return self._ask(until_id, None)
        except InvalidRequest as refused:
            if token is None or not {"next_token", "pagination_token"} & set(refused.parameters):
                raise
            return self._ask(min(self.seen, default=until_id), None)

    def _ask(self, until_id: int | None, token: str | None) -> Page:
        match self.target:
            case Search(query):
                return self.client.search_recent(
                    query,
                    max_results=self.page_size,
                    since_id=self.since_id,
                    until_id=until_id,
                    start_time=self.start_time,
                    next_token=token,
                )
            case Timeline(user_id, exclude):
                return self.client.user_tweets(
                    user_id,
                    max_results=self.page_size,
                    since_id=self.since_id,
                    until_id=until_id,
                    start_time=self.start_time,
                    pagination_token=token,
                    exclude=exclude,
                )

    def _pass_on(self, page: Page) -> bool:
        """Produce the page and tell the books; whether it held a tweet not yet seen in this poll."""
        ids = [tweet.id for tweet in page.data if tweet.id is not None]
        new = [tweet_id for tweet_id in dict.fromkeys(ids) if tweet_id not in self.seen]
        if page.data and not new and len(ids) == len(page.data):
            return False
        source: Source = "search" if isinstance(self.target, Search) else "timeline"
        messages = messages_of(page, rule=self.rule, source=source)
        offsets = self.sink.produce(messages) if messages else {}
        below_all = new == sorted(new, reverse=True) and (
            not self.seen or max(new, default=0) < min(self.seen)
        )
        self.is_sorted = self.is_sorted and below_all
        self.seen.update(new)
        if ids:
            self.newest_id = newest_id = max(max(ids), self.newest_id or 0)
            self.books.page_acknowledged(
                request_id=page.request_id,
                endpoint=page.endpoint,
                params=dict(page.params),
                tweet_ids=ids,
                topic=self.sink.topic,
                topic_id=self.sink.topic_id,
                offsets=offsets,
                poll_newest_id=newest_id,
                resume_until_id=min(self.seen) if self._may_resume_below() else newest_id + 1,
                observed_at=page.observed_at,
            )
        return bool(new)

    def _may_resume_below(self) -> bool:
        """Whether the oldest id says how far this poll is: X sorts; another server must have shown that it does."""
        is_x = made_at(max(self.seen), self.clock()) is not None
        return self.is_sorted and (is_x or len(self.seen) >= FEWEST_TO_TRUST_ORDER)

    def _reached_the_known(self, page: Page) -> bool:
        """Whether a server that sorts, but ignores since_id, has come to what an earlier poll has had."""
        since_id = self.since_id
        if since_id is None or not self.is_sorted or len(self.seen) < FEWEST_TO_TRUST_ORDER:
            return False
        return bool(page.data) and all(tweet.id is not None and tweet.id <= since_id for tweet in page.data)

    @staticmethod
    def _trusted(checkpoint: Resumable) -> int | None:
        """Where to go on: nowhere below the top where pages came unsorted, since no id says what is left."""
        until_id, newest_id = checkpoint.until_id, checkpoint.newest_id
        return None if until_id is None or (newest_id is not None and until_id > newest_id) else until_id

    def _reachable(self, start_time: datetime | None, now: datetime) -> datetime | None:
        """A start that recent search accepts: it refuses one that is more than 7 days ago."""
        if start_time is None or isinstance(self.target, Timeline):
            return start_time
        return max(start_time, now - SEARCHABLE_SPAN)
