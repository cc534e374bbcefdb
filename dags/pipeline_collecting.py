"""Where the provider's polls meet the pipeline's books: one rule, item by item, none holding up the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from airflow.sdk import Context
from pymongo.database import Database

from airflow_provider_twitter.books import Sink
from airflow_provider_twitter.client import (
    AddressRefused,
    CredentialsRefused,
    InvalidRequest,
    RateLimited,
    SpendingStopped,
    TryAgain,
    XClient,
    XError,
)
from airflow_provider_twitter.client.proof import facts_in
from airflow_provider_twitter.lookup import fetch_again
from airflow_provider_twitter.operators.collect import CollectOperator
from airflow_provider_twitter.poll import PollResult, Search, Timeline, poll
from pipeline_stores import SETTINGS, metrics, raw_store, warehouse
from tweet_envelope.sink import EnvelopeSink
from twitter_pipeline.collection import accounts, budget, pages, rules
from twitter_pipeline.collection.accounts import LookedUp
from twitter_pipeline.collection.books import PollBooks, RefetchBooks, RequestBooks
from twitter_pipeline.collection.circuits import CircuitOpen
from twitter_pipeline.collection.rule import SEARCH_DAYS, Rule
from twitter_pipeline.metrics.statsd import Metrics

MOST_FAILURES_IN_A_ROW = 5
"""So many items that X did not answer for, one after the other, and X is taken to be away."""
UNAUTHORIZED = 401


class RuleWaits(Exception):
    """Nothing may be asked for now (X's rate limit, an open circuit); the rule was given back, due when it may."""

    skip_task = True


class RuleParked(Exception):
    """X refuses what the rule asks for. It is not tried again before it is edited or unparked."""

    fail_task = True


class CollectionFailed(ExceptionGroup[Exception]):
    """Some items of a rule failed; each has its reason, and the others were read."""


class CollectRule(CollectOperator):
    """Poll one rule of pipeline.rules: its query, or the timeline of each of its accounts.

    First the tweets that the log lost before they were landed are asked for again by their ids. The rule is leased
    while it is polled; a run that finds it leased ends skipped, and so does one that meets a rate limit: it gives the
    rule back, due at the reset.
    """

    template_fields: Sequence[str] = ("topic", "rule")

    def __init__(self, *, rule: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> PollResult:
        holder = f"{context['run_id']}/{context['ti'].map_index}"
        with warehouse() as books, raw_store() as raw, rules.lease(books, self.rule, holder) as lease:
            limit = budget.limit(client.base_url, SETTINGS.x_budget_usd)
            found = rules.find(books, self.rule)
            return Collection(
                found, client, sink, books, raw, lease, limit, metrics(), SETTINGS.max_pages
            ).run()


@dataclass
class Collection:
    """One turn of one rule. A failure of one item is kept and the next one is read; all are raised at the end.

    `client`, `sink` and the stores are open; `budget_usd` is None where nothing is paid.
    """

    rule: Rule
    client: XClient
    sink: Sink
    books: psycopg.Connection[Any]
    raw: Database[Any]
    lease: rules.Lease
    budget_usd: Decimal | None
    metrics: Metrics
    max_pages: int
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    results: list[PollResult] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    failures_in_a_row: int = 0

    def run(self) -> PollResult:
        """Read what is new. Raises RuleWaits, RuleParked, CollectionFailed, and what concerns all items alike."""
        try:
            self._fetch_lost_pages()
            if self.rule.query is not None:
                self._search(self.rule.query)
            else:
                self._read_timelines()
        except RateLimited as limited:
            self._give_back(limited, limited.reset_at + timedelta(seconds=1))
        except CircuitOpen as circuit:
            self._give_back(circuit, circuit.probe_at)
        wait = max((f.retry_after for f in self.failures if isinstance(f, TryAgain)), default=timedelta(0))
        if wait:
            self.lease.give_back_at(self.clock() + wait)
        if self.failures:
            raise CollectionFailed(f"rule {self.rule.name!r}", self.failures)
        return _sum(self.results)

    def _give_back(self, reason: Exception, due: datetime) -> None:
        self.lease.give_back_at(due)
        if not self.failures:
            raise RuleWaits(f"rule {self.rule.name!r} waits: {reason}") from reason
        self.failures.append(reason)

    def _fetch_lost_pages(self) -> None:
        for page in pages.lost(self.books, self.rule.name):
            ledger = RefetchBooks(self.books, self.raw, self.rule.name, **self._shared())
            self.lease.extend()
            try:
                again = fetch_again(self.client, page.tweet_ids, ledger, self.sink, rule=self.rule.name)
            except XError as failed:
                if self._go_on_after(failed, f"lost page {page.request_id}"):
                    continue
                break
            refused = {tweet_id: fact.reason for tweet_id, fact in again.refused.items()}
            pages.refetched(self.books, page, again.found, refused, again.unanswered)
            if not again.found and not refused:
                break  # X answers for nothing now; the polls find out why

    def _search(self, query: str) -> None:
        try:
            self._poll(Search(query), "search", self.rule.asked)
        except InvalidRequest as refused:
            rules.park(self.books, self.rule, str(refused))
            raise RuleParked(
                f"rule {self.rule.name!r} is parked, X refuses its query: {refused}"
            ) from refused
        except TryAgain as failed:
            self.failures.append(failed)

    def _read_timelines(self) -> None:
        asking = self.client.charged_to(RequestBooks(self.books, self.raw, self.rule.name, **self._shared()))
        names = self.rule.accounts or []
        try:
            resolved = accounts.resolve(self.books, names, _look_up(asking), self.clock())
        except TryAgain as failed:
            self.failures.append(failed)
            resolved = accounts.resolve(self.books, names, lambda _: LookedUp({}), self.clock())
        for name in resolved.unanswered:
            self.failures.append(LookupError(f"account {name}: X did not say which user this is"))
        for account in resolved.accounts:
            self.lease.extend()
            try:
                result = self._poll(Timeline(account.user_id), "timeline", str(account.user_id))
            except XError as failed:
                accounts.note_failure(self.books, account.username, f"{type(failed).__name__}: {failed}")
                if not self._go_on_after(failed, f"account {account.username}"):
                    break
            else:
                self.failures_in_a_row = 0
                self._note_account(account, result)
            finally:
                accounts.note_served(self.books, account.username, self.clock())

    def _note_account(self, account: accounts.Account, result: PollResult) -> None:
        now = self.clock()
        if result.state is None:
            accounts.note_read(self.books, account.username, result.username, now)
        elif result.state.state == "gone":
            accounts.id_is_dead(self.books, account.username, result.state.reason, now=now)
        else:
            accounts.note_state(
                self.books, account.username, result.state.state, result.state.reason, now=now
            )

    def _poll(self, target: Search | Timeline, source: str, subject: str) -> PollResult:
        result = poll(
            self.client,
            target,
            PollBooks(
                self.books,
                self.raw,
                self.lease,
                source=source,
                subject=subject,
                first_poll_from=self._first_poll_from(source),
                **self._shared(),
            ),
            self.sink,
            rule=self.rule.name,
            page_size=self.rule.page_size,
            max_pages=self.max_pages,
            overlap=timedelta(seconds=self.rule.overlap_seconds),
            clock=self.clock,
        )
        self.results.append(result)
        if result.state is None:
            self.lease.note_read()
        return result

    def _first_poll_from(self, source: str) -> datetime | None:
        """How far back a first poll reaches; a search that reaches as far as X does leaves the start to X's clock."""
        if source == "search" and self.rule.first_poll_days >= SEARCH_DAYS:
            return None
        return self.client.server_now(self.clock()) - timedelta(days=self.rule.first_poll_days)

    def _go_on_after(self, failed: XError, item: str) -> bool:
        """Keep the failure of one item; False where the next ones would fail alike. Raises what concerns them all."""
        is_token = isinstance(failed, CredentialsRefused) and failed.status in (None, UNAUTHORIZED)
        if is_token or isinstance(failed, RateLimited | SpendingStopped | AddressRefused):
            raise failed
        failed.add_note(item)
        self.failures.append(failed)
        self.failures_in_a_row += isinstance(failed, TryAgain)
        return self.failures_in_a_row < MOST_FAILURES_IN_A_ROW

    def _shared(self) -> dict[str, Any]:
        return {
            "budget_usd": self.budget_usd,
            "rule_budget_usd": self.rule.budget_usd,
            "metrics": self.metrics,
        }


def _look_up(client: XClient) -> Callable[[list[str]], LookedUp]:
    def users(usernames: list[str]) -> LookedUp:
        try:
            page = client.users_by(usernames)
        except InvalidRequest as refused:
            # one name that X takes for none spoils the request for all of them: it is found by halves
            if len(usernames) == 1:
                return LookedUp({}, {usernames[0]: ("disallowed", str(refused))})
            one, other = users(usernames[: len(usernames) // 2]), users(usernames[len(usernames) // 2 :])
            return LookedUp({**one.found, **other.found}, {**one.refused, **other.refused})
        found = {
            str(user.value["username"]).lower(): user.id
            for user in page.data
            if user.id is not None and user.value is not None and "username" in user.value
        }
        refused = {name: (fact.state, fact.reason) for name, fact in facts_in(page.errors).items()}
        return LookedUp(found, refused)

    return users


def _sum(results: Sequence[PollResult]) -> PollResult:
    return PollResult(
        pages=sum(r.pages for r in results),
        tweets=sum(r.tweets for r in results),
        newest_id=max((r.newest_id for r in results if r.newest_id is not None), default=None),
        ended=next((r.ended for r in results if not r.is_finished), "last_page"),
        cost_usd=sum((r.cost_usd for r in results), Decimal(0)),
    )
