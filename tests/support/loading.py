"""Tweets that are brought into the tables without Kafka and MongoDB, for tests of what reads the tables."""

from typing import Any

import psycopg

from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.load import Loader


def tweet_id(number: int) -> int:
    """Beyond what a double holds exactly, and growing."""
    return 2_000_000_000_000_000_000 + number


def load(dsn: str, *envelopes: bytes) -> None:
    """Bring envelopes into the tables, as the processing drain does."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursors.declare(connection, "transform", "raw-tweets", "t", {0: 0})
        cursor = cursors.take(connection, "transform", "t", 0)
        batch = Batch()
        for number, payload in enumerate(envelopes, cursor.next_offset):
            batch.add_envelope(payload, Coordinate("t", 0, number))
        Loader(connection).load(batch, cursor, cursor.next_offset + len(envelopes))


def observation(number: int, **more: Any) -> bytes:
    """Tweet `number`: of one of three authors, one an hour, every second one with #Coffee, rule by its tens."""
    tweet: dict[str, Any] = {
        "id": str(tweet_id(number)),
        "text": f"text {number} with 100% crema" if number % 2 else f"text {number}",
        "author_id": str(number % 3 + 1),
        "created_at": f"2026-03-{1 + number // 24:02d}T{number % 24:02d}:30:00Z",
        "public_metrics": {"like_count": number},
        **more,
    }
    if number % 2:
        tweet["entities"] = {"hashtags": [{"tag": "Coffee", "start": 0, "end": 1}]}
    users = [{"id": str(i), "username": f"Author_{i}", "name": f"Author {i}"} for i in (1, 2, 3)]
    provenance = {"rule": f"tens-{number // 10}", "source": "search", "endpoint": "/", "request_id": "r"}
    return envelope(
        tweet, includes={"users": users}, provenance=provenance | {"observed_at": "2026-03-09T00:00:00Z"}
    )
