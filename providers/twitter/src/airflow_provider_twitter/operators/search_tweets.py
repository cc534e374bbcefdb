"""Collect what is new in one search or timeline and write it to Kafka as envelopes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook
from airflow_provider_twitter.hooks.twitter import TwitterHook
from airflow_provider_twitter.operators.collect import CollectOperator
from airflow_provider_twitter.poll import (
    Books,
    Checkpoint,
    InMemoryBooks,
    PollResult,
    Search,
    Target,
    Timeline,
    poll,
)
from tweet_envelope.sink import EnvelopeSink


class SearchTweetsOperator(CollectOperator):
    """Poll X once for one query or one user and produce each tweet as an envelope to a Kafka topic.

    When a rate limit is used up, the task waits in the triggerer, without a worker slot. Refused credentials, requests
    and budgets fail the task at once, since a retry cannot help. Outages of X and Kafka fail it so that Airflow retries.

    The books hold where to resume, what may be spent and what was fetched. By default they last for one task
    instance: they start from `start_time`, and on the real X they spend nothing without `budget_usd`. Override
    `open_books` to keep them in a database.

    :param query: a recent search query, up to 512 characters
    :param user_id: instead of a query, the user whose own tweets are read
    :param username: instead of an id, the user's name; costs one user read each time
    :param exclude: for a user, what to leave out: "replies", "retweets" or both
    :param topic: Kafka topic; it must exist
    :param rule: name written to each envelope
    :param start_time: how far back to reach, as a datetime or ISO text; if empty, as far as X does
    :param budget_usd: the most that one task instance may spend, by the price list
    :param page_size: tweets per page, 10 to 100
    :param max_pages: pages per run; persistent books leave the rest to the next run
    :param overlap_seconds: how far before its checkpoint a poll starts, for tweets that X indexed late
    """

    template_fields: Sequence[str] = (
        "query",
        "user_id",
        "username",
        "topic",
        "rule",
        "start_time",
        "budget_usd",
    )

    def __init__(
        self,
        *,
        topic: str,
        query: str | None = None,
        user_id: int | str | None = None,
        username: str | None = None,
        exclude: Sequence[str] = (),
        rule: str | None = None,
        start_time: datetime | str | None = None,
        budget_usd: float | str | None = None,
        page_size: int = 100,
        max_pages: int = 100,
        overlap_seconds: float = 60,
        twitter_conn_id: str = TwitterHook.default_conn_name,
        kafka_conn_id: str = KafkaConfigurationHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(topic=topic, twitter_conn_id=twitter_conn_id, kafka_conn_id=kafka_conn_id, **kwargs)
        if sum(given is not None for given in (query, user_id, username)) != 1:
            raise ValueError("give exactly one of query, user_id and username")
        self.query = query
        self.user_id = user_id
        self.username = username
        self.exclude = exclude
        self.rule = rule
        self.start_time = start_time
        self.budget_usd = budget_usd
        self.page_size = page_size
        self.max_pages = max_pages
        self.overlap_seconds = overlap_seconds
        self._own_books: InMemoryBooks | None = None

    @contextmanager
    def open_books(self, context: Context) -> Iterator[Books]:
        """The books of this poll, open while it runs. Also closed before a wait for the rate limit."""
        if self._own_books is None:
            self._own_books = InMemoryBooks(
                checkpoint=Checkpoint(start_time=_instant(self.start_time)), budget_usd=self._budget_usd()
            )
        yield self._own_books

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> PollResult:
        """Run one poll from the checkpoint in the books."""
        with self.open_books(context) as books:
            result = poll(
                client,
                self._target(client.charged_to(books)),
                books,
                sink,
                rule=self.rule,
                page_size=self.page_size,
                max_pages=self.max_pages,
                overlap=timedelta(seconds=self.overlap_seconds),
            )
            if isinstance(books, InMemoryBooks) and books.too_large:
                raise AirflowFailException(
                    f"everything was read and produced, except for tweets that are too large for Kafka: "
                    f"{', '.join(books.too_large)}; raise message.max.bytes of connection {self.kafka_conn_id!r} and "
                    "of the topic, or store them elsewhere by implementing set_aside in your own books"
                )
            return result

    def keep(self) -> dict[str, Any]:
        """The books, so that they survive a wait for the rate limit."""
        return {"books": msgspec.to_builtins(self._own_books)}

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore the books after the wait."""
        books = kept.get("books")
        self._own_books = None if books is None else msgspec.convert(books, InMemoryBooks)

    def _target(self, client: XClient) -> Target:
        if self.query is not None:
            return Search(self.query)
        user_id = self.user_id
        if self.username is not None:
            found = client.users_by([self.username]).data
            if not found or found[0].id is None:
                raise AirflowFailException(f"X knows no user {self.username!r}: correct the username")
            user_id = found[0].id
        return Timeline(int(str(user_id)), tuple(self.exclude))

    def _budget_usd(self) -> Decimal | None:
        if self.budget_usd not in (None, ""):
            return Decimal(str(self.budget_usd))
        is_local = TwitterHook(self.twitter_conn_id).read_connection().allow_local
        return None if is_local else Decimal(0)


def _instant(stated: datetime | str | None) -> datetime | None:
    if not stated or stated == "None":
        return None
    moment = stated if isinstance(stated, datetime) else datetime.fromisoformat(stated)
    if moment.tzinfo is None:
        raise ValueError(f"start_time {stated} has no time zone: write it with an offset or Z")
    return moment
