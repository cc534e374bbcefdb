"""One turn of one rule: fetch again what the log lost, then poll every target; one item never holds up the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from pymongo.database import Database

from twitter_pipeline.collection import accounts, budget, pages, rules
from twitter_pipeline.collection.accounts import Account, LookedUp
from twitter_pipeline.collection.asking import (
    InvalidRequest,
    Polled,
    RateLimited,
    Sink,
    TryAgain,
    X,
    XError,
)
from twitter_pipeline.collection.circuits import CircuitOpen
from twitter_pipeline.collection.kind import Target
from twitter_pipeline.collection.lease import Lease, RuleWaits
from twitter_pipeline.collection.ledgers import PollLedger, RefetchLedger, RequestLedger
from twitter_pipeline.collection.rule import Rule
from twitter_pipeline.metrics.statsd import Metrics

MOST_FAILURES_IN_A_ROW = 5
"""After this many items in a row without an answer, X counts as down."""


class RuleParked(Exception):
    """X refuses what the rule asks for. The rule is not polled again until it is edited or unparked."""


class CollectionFailed(ExceptionGroup[Exception]):
    """Some items of a rule failed, each with its reason; the others were read."""


def utc_now() -> datetime:
    """The current time, aware."""
    return datetime.now(UTC)


def collect_rule(
    rule: Rule,
    x: X,
    connection: psycopg.Connection[Any],
    raw: Database[Any],
    sink: Sink,
    lease: Lease,
    *,
    budget_usd: Decimal | None,
    max_pages: int,
    metrics: Metrics | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Polled:
    """Collect what is new for a leased rule; returns the sum of its polls.

    Tweets that the log lost before they landed are first requested again by id. `budget_usd` is what all rules together
    may spend in a month; with None nothing is sent to an address where it could cost money. The stores are open;
    `connection` is in autocommit mode. A failure of one item is recorded and the next item is read.

    Raises RuleWaits (given back, due when X may be asked again), RuleParked, CollectionFailed with every recorded
    failure, and errors that concern all items: an XError that says so, a spent budget, a lost lease, an unreachable sink.
    """
    limit_usd = budget.limit(x.base_url, budget_usd)
    return _Turn(
        rule, x, connection, raw, sink, lease, limit_usd, max_pages, metrics or Metrics(None), clock
    ).take()


@dataclass
class _Turn:
    rule: Rule
    x: X
    connection: psycopg.Connection[Any]
    raw: Database[Any]
    sink: Sink
    lease: Lease
    budget_usd: Decimal | None
    max_pages: int
    metrics: Metrics
    clock: Callable[[], datetime]
    polled: list[Polled] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    failures_in_a_row: int = 0

    def take(self) -> Polled:
        try:
            self._refetch_lost_pages()
            self._poll_targets()
        except RateLimited as limited:
            self._give_back(limited, limited.reset_at + timedelta(seconds=1))
        except CircuitOpen as circuit:
            self._give_back(circuit, circuit.probe_at)
        wait = max((f.retry_after for f in self.failures if isinstance(f, TryAgain)), default=timedelta(0))
        if wait:
            self.lease.give_back_at(self.clock() + wait)
        if self.failures:
            raise CollectionFailed(f"rule {self.rule.name!r}", self.failures)
        return _sum(self.polled)

    def _give_back(self, reason: Exception, due: datetime) -> None:
        self.lease.give_back_at(due)
        if not self.failures:
            raise RuleWaits(f"rule {self.rule.name!r} waits: {reason}") from reason
        self.failures.append(reason)

    def _refetch_lost_pages(self) -> None:
        for page in pages.lost(self.connection, self.rule.name):
            ledger = RefetchLedger(self.connection, self.raw, self.rule.name, **self._shared())
            self.lease.extend()
            try:
                again = self.x.refetch(page.tweet_ids, ledger, self.sink, rule=self.rule.name)
            except XError as failed:
                if self._goes_on_after(failed, f"lost page {page.request_id}"):
                    continue
                break
            pages.refetched(self.connection, page, again.found, again.refused, again.unanswered)
            if not again.found and not again.refused:
                break  # X answers for nothing right now; the polls find out why

    def _poll_targets(self) -> None:
        kind, spec = self.rule.behaviour, self.rule.spec
        for target in kind.targets(spec, self._resolved(kind.accounts(spec))):
            self.lease.extend()
            if target.account is None:
                self._poll_or_park(target)
            elif not self._poll_account(target, target.account):
                break

    def _poll_or_park(self, target: Target) -> None:
        """Poll what the rule itself asks for; a request that X refuses parks the rule."""
        try:
            self._poll(target)
        except InvalidRequest as refused:
            rules.park(self.connection, self.rule, str(refused))
            raise RuleParked(
                f"rule {self.rule.name!r} is parked, X refuses its {self.rule.behaviour.field}: {refused}"
            ) from refused
        except TryAgain as failed:
            self.failures.append(failed)

    def _poll_account(self, target: Target, account: Account) -> bool:
        """Poll one account and record what X says about it; False if the next ones would fail too."""
        try:
            polled = self._poll(target)
        except XError as failed:
            accounts.note_failure(self.connection, account.username, f"{type(failed).__name__}: {failed}")
            return self._goes_on_after(failed, f"account {account.username}")
        else:
            self.failures_in_a_row = 0
            self._note_account(account, polled)
            return True
        finally:
            accounts.note_served(self.connection, account.username, self.clock())

    def _note_account(self, account: Account, polled: Polled) -> None:
        name, state, now = account.username, polled.state, self.clock()
        if state is None:
            accounts.note_read(self.connection, name, polled.username, now)
        elif state.state == "gone":
            accounts.id_is_dead(self.connection, name, state.reason, now=now)
        else:
            accounts.note_state(self.connection, name, state.state, state.reason, now=now)

    def _poll(self, target: Target) -> Polled:
        ledger = PollLedger(
            self.connection,
            self.raw,
            self.lease,
            target,
            first_poll_from=self._first_poll_from(),
            **self._shared(),
        )
        polled = self.x.poll(
            target,
            ledger,
            self.sink,
            rule=self.rule.name,
            page_size=self.rule.page_size,
            max_pages=self.max_pages,
            overlap=timedelta(seconds=self.rule.overlap_seconds),
            clock=self.clock,
        )
        self.polled.append(polled)
        if polled.state is None:
            self.lease.note_read()
        return polled

    def _first_poll_from(self) -> datetime | None:
        """How far back a first poll reaches; None if as far as X does, which leaves the start to X's clock."""
        if self.rule.first_poll_days >= self.rule.behaviour.reach_days:
            return None
        return self.x.server_now(self.clock()) - timedelta(days=self.rule.first_poll_days)

    def _resolved(self, names: Sequence[str]) -> list[Account]:
        """The accounts to read now. Names that X did not answer for become failures."""
        if not names:
            return []
        ledger = RequestLedger(self.connection, self.raw, self.rule.name, **self._shared())
        try:
            resolved = accounts.resolve(
                self.connection, names, lambda asked: self._look_up(asked, ledger), self.clock()
            )
        except TryAgain as failed:
            self.failures.append(failed)
            resolved = accounts.resolve(self.connection, names, lambda _: LookedUp({}), self.clock())
        for name in resolved.unanswered:
            self.failures.append(LookupError(f"account {name}: X did not say which user this is"))
        return resolved.accounts

    def _look_up(self, names: list[str], ledger: RequestLedger) -> LookedUp:
        try:
            return self.x.look_up(names, ledger)
        except InvalidRequest as refused:
            # One name that X considers invalid fails the request for all names: bisect to find it.
            if len(names) == 1:
                return LookedUp({}, {names[0]: ("disallowed", str(refused))})
        half = len(names) // 2
        one, other = self._look_up(names[:half], ledger), self._look_up(names[half:], ledger)
        return LookedUp({**one.found, **other.found}, {**one.refused, **other.refused})

    def _goes_on_after(self, failed: XError, item: str) -> bool:
        """Record the failure of one item; False if the next ones would fail too. Raises a failure that concerns all."""
        if failed.concerns_all:
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


def _sum(polled: Sequence[Polled]) -> Polled:
    return Polled(
        pages=sum(each.pages for each in polled),
        tweets=sum(each.tweets for each in polled),
        newest_id=max((each.newest_id for each in polled if each.newest_id is not None), default=None),
        ended=next((each.ended for each in polled if not each.is_finished), "last_page"),
        cost_usd=sum((each.cost_usd for each in polled), Decimal(0)),
        is_finished=all(each.is_finished for each in polled),
    )
