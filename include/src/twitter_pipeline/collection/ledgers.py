"""The collector's ledgers in PostgreSQL and MongoDB: where to resume, may I spend this, record this page.

The client takes them as a small protocol and does not know this package. Fetched means acknowledged:
`page_acknowledged` is called once Kafka has everything of a page, and only then does the checkpoint move.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from bson import Binary
from psycopg.types.json import Jsonb
from pymongo import WriteConcern
from pymongo.database import Database

from twitter_pipeline.collection import budget, gaps
from twitter_pipeline.collection.gaps import Unread, Window
from twitter_pipeline.collection.kind import Target
from twitter_pipeline.collection.lease import Lease
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.warehouse.observations import observe_letters

logger = logging.getLogger(__name__)

DURABLE = WriteConcern(w="majority", j=True)
INSERT_PAGE = """
insert into pipeline.pages
    (request_id, rule, subject, source, endpoint, params, tweet_ids, topic, topic_id, offsets, observed_at)
values (%(request_id)s, %(rule)s, %(subject)s, %(source)s, %(endpoint)s, %(params)s, %(tweet_ids)s, %(topic)s,
    %(topic_id)s, %(offsets)s, %(observed_at)s)
on conflict (request_id) do nothing
"""
RESUME = """
select since_id, poll_until_id, poll_newest_id, poll_start_at, since_at, poll_newest_at, stalled_polls
from pipeline.checkpoints where rule = %(rule)s and subject = %(subject)s
"""
POLL_GOES_ON = """
insert into pipeline.checkpoints as known
    (rule, subject, poll_newest_id, poll_newest_at, poll_until_id, poll_start_at)
values (%(rule)s, %(subject)s, %(newest)s, %(newest_at)s, %(until)s, %(start)s)
on conflict (rule, subject) do update
set poll_newest_id = excluded.poll_newest_id, poll_newest_at = excluded.poll_newest_at,
    poll_until_id = excluded.poll_until_id, poll_start_at = excluded.poll_start_at, updated_at = now(),
    stalled_polls = case when known.poll_until_id is distinct from excluded.poll_until_id then 0
        else known.stalled_polls end
"""
POLL_ENDED = """
insert into pipeline.checkpoints as known (rule, subject, since_id, since_at)
values (%(rule)s, %(subject)s, %(newest)s, %(newest_at)s)
on conflict (rule, subject) do update
set since_at = case when known.since_id >= excluded.since_id or excluded.since_id is null then known.since_at
        else excluded.since_at end,
    since_id = greatest(known.since_id, excluded.since_id),
    poll_newest_id = null, poll_newest_at = null, poll_until_id = null, stalled_polls = 0,
    poll_start_at = case when greatest(known.since_id, excluded.since_id) is null then known.poll_start_at end,
    updated_at = now()
"""
POLL_STALLED = """
insert into pipeline.checkpoints as known (rule, subject, stalled_polls) values (%(rule)s, %(subject)s, 1)
on conflict (rule, subject) do update set stalled_polls = known.stalled_polls + 1, updated_at = now()
"""
REACH_BACK_TO = """
insert into pipeline.checkpoints as known (rule, subject, poll_start_at) values (%(rule)s, %(subject)s, %(start)s)
on conflict (rule, subject) do update
set since_id = null, since_at = null, poll_start_at = excluded.poll_start_at, updated_at = now()
"""
ABANDON = """
update pipeline.checkpoints set abandoned_at = now()
where rule = %(rule)s and subject <> %(subject)s and starts_with(subject, %(succeeds)s) and abandoned_at is null
returning subject, since_id, since_at, poll_until_id, poll_newest_id
"""
TAKE_UP = """
update pipeline.checkpoints set abandoned_at = null
where rule = %(rule)s and subject = %(subject)s and abandoned_at is not null
"""
LONGEST_PAYLOAD = 12_000_000
"""MongoDB limits documents to 16 MiB; a larger message is stored in parts."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a poll resumes: above `since_id`, and below `until_id` if the previous poll did not finish."""

    since_id: int | None = None
    until_id: int | None = None
    newest_id: int | None = None
    start_time: datetime | None = None
    since_at: datetime | None = None
    newest_at: datetime | None = None
    stalled_polls: int = 0


class RequestLedger:
    """Prices and records requests; the base of the ledgers of a poll and of a refetch."""

    def __init__(
        self,
        connection: psycopg.Connection,
        raw: Database[Any],
        rule: str | None,
        budget_usd: Decimal | None,
        metrics: Metrics | None = None,
        rule_budget_usd: Decimal | None = None,
    ) -> None:
        self.connection, self.raw, self.rule, self._budget_usd = connection, raw, rule, budget_usd
        self._metrics = metrics or Metrics(None)
        self._rule_budget_usd = rule_budget_usd
        self._api: str | None = None

    def charged_by(self, api: str) -> None:
        """Set the API that requests go to, as the client identifies it: its circuit counts them."""
        self._api = api

    def left_usd(self) -> Decimal | None:
        """The most that the next request should cost: what the budgets have left; 0 for the smallest, as a probe."""
        return budget.left(
            self.connection,
            self._budget_usd,
            self.rule,
            rule_budget_usd=self._rule_budget_usd,
            api=self._api,
        )

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Reserve the price of a request. Raises what budget.reserve raises; then the request must not be sent."""
        return budget.reserve(
            self.connection,
            endpoint,
            price_usd,
            self._budget_usd,
            self.rule,
            rule_budget_usd=self._rule_budget_usd,
            api=self._api,
        )

    def record_request(
        self,
        reservation: str,
        *,
        request_id: str,
        endpoint: str,
        params: Mapping[str, str],
        status: int | None,
        rate_limit: Mapping[str, Any] | None,
        result_count: int,
        cost_usd: Decimal | None,
        observed_at: datetime,
        error: str | None,
    ) -> None:
        """Record the outcome of a request, failed or not; its actual cost replaces the reserved one.

        `cost_usd` is None if the cost is unknown; then the reservation stays.
        """
        if cost_usd is None:
            budget.keep(self.connection, reservation)
        else:
            budget.settle(
                self.connection, reservation, cost_usd, result_count=result_count, is_answer=error is None
            )
        document = {
            "_id": request_id,
            "rule": self.rule,
            "endpoint": endpoint,
            "params": dict(params),
            "status": status,
            "rate_limit": dict(rate_limit) if rate_limit else None,
            "result_count": result_count,
            "cost_usd": None if cost_usd is None else str(cost_usd),
            "observed_at": observed_at,
            "error": error,
        }
        self.raw.api_requests.replace_one({"_id": request_id}, document, upsert=True)
        self._metrics.count("extract_requests_total", endpoint=endpoint, status=status or "none")
        self._metrics.count("extract_tweets_total", result_count, endpoint=endpoint)

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message that Kafka does not take in MongoDB dead_letters; returns when a majority has it."""
        letters = self.raw.dead_letters.with_options(write_concern=DURABLE)
        observe_letters(self.connection, [(f"extract/{request_id}/{key}", payload)])
        parts = [payload[at : at + LONGEST_PAYLOAD] for at in range(0, len(payload), LONGEST_PAYLOAD)]
        for number, part in reversed(
            list(enumerate(parts))
        ):  # the first part last: when it is there, all are
            _id = f"extract/{request_id}/{key}" + (f"/{number}" if number else "")
            letter = {
                "_id": _id,
                "stage": "extract" if number == 0 else "extract (part)",
                "reason": "too_large",
                "detail": reason[:500],
                "payload": Binary(part),
                "payload_bytes": len(payload),
                "parts": len(parts),
                "rule": self.rule,
                "endpoint": endpoint,
                "failed_at": datetime.now(UTC),
            }
            letters.replace_one({"_id": _id}, letter, upsert=True)

    def _note_page(
        self,
        source: str,
        subject: str,
        *,
        request_id: str,
        endpoint: str,
        params: Mapping[str, str],
        tweet_ids: Sequence[int],
        topic: str,
        topic_id: str,
        offsets: Mapping[int, int],
        observed_at: datetime,
    ) -> None:
        if not offsets:
            return  # everything was set aside, so nothing can be lost with the log
        page = {
            "rule": self.rule,
            "subject": subject,
            "request_id": request_id,
            "source": source,
            "endpoint": endpoint,
            "params": Jsonb(dict(params)),
            "tweet_ids": list(tweet_ids),
            "topic": topic,
            "topic_id": topic_id,
            "offsets": Jsonb({str(p): offset for p, offset in offsets.items()}),
            "observed_at": observed_at,
        }
        self.connection.execute(INSERT_PAGE, page)


class RefetchLedger(RequestLedger):
    """The ledger of a refetch of lost pages: pages are recorded, no checkpoint moves."""

    def page_acknowledged(self, **page: Any) -> None:
        """Record a page whose messages Kafka acknowledged (`offsets`: the last one per partition)."""
        self._note_page("lookup", "", **page)


class PollLedger(RequestLedger):
    """The ledger of one poll of one target of a rule."""

    def __init__(
        self,
        connection: psycopg.Connection,
        raw: Database[Any],
        lease: Lease,
        target: Target,
        *,
        first_poll_from: datetime | None = None,
        budget_usd: Decimal | None = None,
        metrics: Metrics | None = None,
        rule_budget_usd: Decimal | None = None,
    ) -> None:
        super().__init__(connection, raw, lease.rule, budget_usd, metrics, rule_budget_usd)
        self._lease, self._target = lease, target
        self._first_poll_from = first_poll_from

    @property
    def _key(self) -> dict[str, Any]:
        return {"rule": self._lease.rule, "subject": self._target.subject}

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Reserve the price of a request. Also raises lease.RuleStopped and LeaseHeld; then it must not be sent."""
        self._lease.check()
        return super().may_spend(endpoint, price_usd)

    def resume(self) -> Checkpoint:
        """Where this poll resumes; at `first_poll_from` if nothing was polled before.

        A target that succeeds others of the rule does not touch their checkpoints: they belong to what was asked then.
        What their polls had not read becomes a gap.
        """
        if self._target.succeeds:
            self._succeed_others()
        row = self.connection.execute(RESUME, self._key).fetchone()
        found = Checkpoint() if row is None else Checkpoint(*row)
        if found.since_id is None and found.start_time is None:
            return replace(found, start_time=self._first_poll_from)
        return found

    def _succeed_others(self) -> None:
        with self.connection.transaction():
            self.connection.execute(TAKE_UP, self._key)
            left = self.connection.execute(
                ABANDON, self._key | {"succeeds": self._target.succeeds}
            ).fetchall()
            for subject, since_id, since_at, until_id, newest_id in left:
                logger.warning(
                    "rule edited rule=%s: %r is asked from now on, with a history of its own; before it was %r",
                    self._lease.rule,
                    self._target.subject,
                    subject,
                )
                if newest_id is not None:
                    reason = "the rule was edited before this window was read"
                    unread = Unread(reason, since_id, until_id, since_at)
                    gaps.note_window(self.connection, self._lease.rule, subject, unread)

    def page_acknowledged(
        self,
        *,
        poll_newest_id: int | None,
        resume_until_id: int | None,
        poll_newest_at: datetime | None = None,
        poll_start_time: datetime | None = None,
        **page: Any,
    ) -> None:
        """Record a page whose messages Kafka acknowledged (`offsets`: the last one per partition), and move the
        checkpoint's first phase below it. Raises lease.LeaseHeld if another run has taken the rule meanwhile."""
        with self.connection.transaction():
            self._lease.hold()
            self._note_page(self._target.source, self._target.subject, **page)
            if poll_newest_id is not None:
                moved = {"newest": poll_newest_id, "newest_at": poll_newest_at, "until": resume_until_id}
                self.connection.execute(POLL_GOES_ON, {**self._key, **moved, "start": poll_start_time})

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None = None) -> None:
        """Move since_id to the highest id of the poll, after its last page; never back."""
        with self.connection.transaction():
            self._lease.hold()
            self.connection.execute(POLL_ENDED, {**self._key, "newest": newest_id, "newest_at": newest_at})

    def poll_stalled(self) -> None:
        """Count one more consecutive poll that ended unfinished and returned nothing new."""
        with self.connection.transaction():
            self._lease.hold()
            self.connection.execute(POLL_STALLED, self._key)

    def out_of_reach(self, gap: Window, start_time: datetime) -> None:
        """Record the window as a gap and let this poll, and those that resume it, reach back only to `start_time`."""
        with self.connection.transaction():
            self._lease.hold()
            gaps.note_window(self.connection, self._lease.rule, self._target.subject, gap)
            self.connection.execute(REACH_BACK_TO, {**self._key, "start": start_time})

    def left_out(self, gap: Window) -> None:
        """Record the window as a gap."""
        with self.connection.transaction():
            self._lease.hold()
            gaps.note_window(self.connection, self._lease.rule, self._target.subject, gap)

    def count_differs(self, request_id: str, *, stated: int, given: int) -> None:
        """Note with the request that X twice stated a different number of tweets than it returned."""
        difference = {"stated_count": stated, "given_count": given}
        self.raw.api_requests.update_one({"_id": request_id}, {"$set": difference})
        self._metrics.count("extract_count_differs_total")
        logger.warning(
            "count differs rule=%s request=%s stated=%d given=%d", self.rule, request_id, stated, given
        )
