"""Refetch tweets by id and produce them again, after their page was lost on the way to the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from airflow_provider_twitter.books import Sink, produce_or_set_aside
from airflow_provider_twitter.client import ResourceFact, TryAgain, XClient
from airflow_provider_twitter.client.endpoints import MOST_LISTED, TWEETS
from airflow_provider_twitter.client.ledger import Ledger
from airflow_provider_twitter.client.proof import facts_in
from airflow_provider_twitter.envelopes import messages_of

ROUNDS = 3


class RefetchLedger(Ledger, Protocol):
    """What a refetch needs from its owner."""

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

    def set_aside(self, *, request_id: str, endpoint: str, key: str, payload: bytes, reason: str) -> None:
        """Keep a message that Kafka does not accept; return once it is stored durably."""
        ...


@dataclass
class Refetched:
    """What happened to the tweets: found, refused with a known fact, or unanswered (no verdict)."""

    found: set[int] = field(default_factory=set)
    refused: dict[int, ResourceFact] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)


def refetch(
    client: XClient, tweet_ids: Sequence[int], books: RefetchLedger, sink: Sink, *, rule: str | None
) -> Refetched:
    """Request tweets by id (100 per request) and produce those that X returns.

    A tweet counts as answered only if X returns it or gives a known reason (not found, not authorised, suspended).
    The others are requested again, up to three times in all, and then count as `unanswered`. Raises what the books,
    the sink and the client raise, except for failures that may pass (TryAgain).
    """
    charged, result = client.charged_to(books), Refetched(unanswered=set(tweet_ids))
    for start in range(0, len(tweet_ids), MOST_LISTED):
        wanted = list(dict.fromkeys(tweet_ids[start : start + MOST_LISTED]))
        for _ in range(ROUNDS):
            try:
                page = charged.tweets(wanted)
            except TryAgain:
                break  # the client has already retried
            offsets, _ = produce_or_set_aside(
                sink, books, messages_of(page, rule=rule, source=TWEETS.tweet_source), page
            )
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
            facts = facts_in(page.errors)
            result.found.update(ids)
            result.refused |= {each: facts[str(each)] for each in wanted if str(each) in facts}
            wanted = [each for each in wanted if each not in result.found and each not in result.refused]
            if not wanted:
                break
    result.unanswered -= result.found | result.refused.keys()
    return result
