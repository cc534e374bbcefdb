"""The collector's books in PostgreSQL and MongoDB: where to resume, may I spend this, record this page.

The provider's operator takes them as a small protocol and does not know this room. Fetched means acknowledged:
`page_acknowledged` is called once Kafka has everything of a page, and only there the checkpoint moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pymongo.database import Database

from twitter_pipeline.collection import budget
from twitter_pipeline.collection.rules import Lease
from twitter_pipeline.metrics.statsd import Metrics

INSERT_PAGE = """
insert into pipeline.pages
    (request_id, rule, subject, source, endpoint, params, tweet_ids, topic, topic_id, offsets, observed_at)
values (%(request_id)s, %(rule)s, %(subject)s, %(source)s, %(endpoint)s, %(params)s, %(tweet_ids)s, %(topic)s,
    %(topic_id)s, %(offsets)s, %(observed_at)s)
on conflict (request_id) do nothing
"""
POLL_GOES_ON = """
insert into pipeline.checkpoints as known (rule, subject, poll_newest_id, poll_until_id)
values (%(rule)s, %(subject)s, %(newest)s, %(until)s)
on conflict (rule, subject) do update
set poll_newest_id = excluded.poll_newest_id, poll_until_id = excluded.poll_until_id, updated_at = now()
"""
POLL_ENDED = """
insert into pipeline.checkpoints as known (rule, subject, since_id)
values (%(rule)s, %(subject)s, %(newest)s)
on conflict (rule, subject) do update
set since_id = greatest(known.since_id, excluded.since_id), poll_newest_id = null, poll_until_id = null,
    updated_at = now()
"""


@dataclass(frozen=True)
class Checkpoint:
    """Where a poll goes on: above `since_id`; below `until_id` when the last one did not reach its end."""

    since_id: int | None = None
    until_id: int | None = None
    newest_id: int | None = None
    start_time: datetime | None = None


class RequestBooks:
    """Prices and records requests; the base of the books of a poll and of a refetch."""

    def __init__(
        self,
        connection: psycopg.Connection,
        raw: Database[Any],
        rule: str | None,
        budget_usd: Decimal | None,
        metrics: Metrics | None = None,
    ) -> None:
        self.connection, self.raw, self.rule, self._budget_usd = connection, raw, rule, budget_usd
        self._metrics = metrics or Metrics(None)

    def may_spend(self, endpoint: str, price_usd: Decimal) -> str:
        """Reserve the price of a request. Raises budget.BudgetExceeded, then it must not be sent."""
        return budget.reserve(self.connection, endpoint, price_usd, self._budget_usd, self.rule)

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
        cost_usd: Decimal,
        observed_at: datetime,
        error: str | None,
    ) -> None:
        """Record what became of a request, failed ones too; its actual cost replaces the reserved one."""
        budget.settle(self.connection, reservation, cost_usd)
        document = {
            "_id": request_id,
            "rule": self.rule,
            "endpoint": endpoint,
            "params": dict(params),
            "status": status,
            "rate_limit": dict(rate_limit) if rate_limit else None,
            "result_count": result_count,
            "cost_usd": str(cost_usd),
            "observed_at": observed_at,
            "error": error,
        }
        self.raw.api_requests.replace_one({"_id": request_id}, document, upsert=True)
        self._metrics.count("extract_requests_total", endpoint=endpoint, status=status or "none")
        self._metrics.count("extract_tweets_total", result_count, endpoint=endpoint)

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


class RefetchBooks(RequestBooks):
    """The books of a lookup that brings lost pages back: pages are noted, no checkpoint moves."""

    def page_acknowledged(self, **page: Any) -> None:
        """Record a page whose messages Kafka acknowledged (`offsets`: the last one per partition)."""
        self._note_page("lookup", "", **page)


class PollBooks(RequestBooks):
    """The books of one poll: of a search (`subject` empty) or of one account's timeline (its user id)."""

    def __init__(
        self,
        connection: psycopg.Connection,
        raw: Database[Any],
        lease: Lease,
        *,
        source: str,
        subject: str = "",
        budget_usd: Decimal | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__(connection, raw, lease.rule, budget_usd, metrics)
        self._lease, self._source, self._subject = lease, source, subject

    @property
    def _key(self) -> dict[str, Any]:
        return {"rule": self._lease.rule, "subject": self._subject}

    def resume(self) -> Checkpoint:
        """Where this poll goes on. Never writes."""
        row = self.connection.execute(
            "select since_id, poll_until_id, poll_newest_id from pipeline.checkpoints"
            " where rule = %(rule)s and subject = %(subject)s",
            self._key,
        ).fetchone()
        return Checkpoint() if row is None else Checkpoint(*row)

    def page_acknowledged(self, *, poll_newest_id: int, resume_until_id: int, **page: Any) -> None:
        """Record a page whose messages Kafka acknowledged (`offsets`: the last one per partition), and move the
        checkpoint's first phase below it. Raises rules.LeaseHeld when the rule was taken over meanwhile."""
        with self.connection.transaction():
            self._lease.extend()
            self._note_page(self._source, self._subject, **page)
            self.connection.execute(
                POLL_GOES_ON, {**self._key, "newest": poll_newest_id, "until": resume_until_id}
            )

    def searched_only_from(self, instant: datetime) -> None:
        """X no longer reached back to the checkpoint: what lies before is a gap, and says so."""
        self.connection.execute(
            "insert into pipeline.gaps (kind, rule, reason) values ('window', %s, %s)",
            (
                self.rule,
                f"X reaches back to {instant:%Y-%m-%dT%H:%M:%SZ} only; tweets before it were not asked for",
            ),
        )

    def poll_finished(self, newest_id: int | None) -> None:
        """Move since_id to the highest id of the poll, after its last page; never back."""
        with self.connection.transaction():
            self._lease.extend()
            self.connection.execute(POLL_ENDED, {**self._key, "newest": newest_id})
