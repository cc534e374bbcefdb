"""Fetch known tweets again by their ids, and produce them: for pages that were lost on the way to the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.client.ledger import Ledger
from airflow_provider_twitter.envelope import messages_of
from airflow_provider_twitter.poll import Sink

MOST_IDS = 100


class LookupBooks(Ledger, Protocol):
    """What a lookup needs from its owner."""

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
        observed_at: datetime,
    ) -> None:
        """Kafka has acknowledged every message of this page."""
        ...


def fetch_again(
    client: XClient, tweet_ids: Sequence[int], books: LookupBooks, sink: Sink, *, rule: str | None
) -> set[int]:
    """Ask X for tweets by id (100 a request) and produce what it gives; returns the ids that came.

    The rest is deleted, protected or withheld by now. Raises what the client, the books and the sink raise.
    """
    charged, found = client.charged_to(books), set[int]()
    for start in range(0, len(tweet_ids), MOST_IDS):
        page = charged.tweets(tweet_ids[start : start + MOST_IDS])
        messages = messages_of(page, rule=rule, source="lookup")
        offsets = sink.produce(messages) if messages else {}
        ids = [tweet.id for tweet in page.data if tweet.id is not None]
        if ids:
            books.page_acknowledged(
                request_id=page.request_id,
                endpoint=page.endpoint,
                params=dict(page.params),
                tweet_ids=ids,
                topic=sink.topic,
                topic_id=sink.topic_id,
                offsets=offsets,
                observed_at=page.observed_at,
            )
        found.update(ids)
    return found
