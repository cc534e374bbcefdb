"""The way of a tweet from one topic on, over real servers, walked by drains that do not stay."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import Producer

from twitter_pipeline.landing.drain import Landed, land
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import Transformed, transform

BRIEF = Linger(stay_seconds=20, quiet_seconds=0.2)
NEVER_TRIPS = 1.0


@dataclass
class Way:
    """The path of a tweet from one topic on, over real servers."""

    kafka: dict[str, Any]
    topic: str
    raw: Any
    warehouse: psycopg.Connection[Any]
    dsn: str
    mongo_uri: str
    ends: dict[int, int] = field(default_factory=dict)

    def produce(self, *values: bytes | None) -> list[tuple[int, int]]:
        """Send messages and wait until all are acknowledged; returns their (partition, offset)."""
        places: dict[int, tuple[int, int]] = {}

        def on_delivery(error: Any, message: Any, number: int) -> None:
            assert error is None
            places[number] = (message.partition(), message.offset())
            self.ends[message.partition()] = max(self.ends.get(message.partition(), 0), message.offset() + 1)

        producer = Producer({**self.kafka, "acks": "all"})
        for number, value in enumerate(values):
            producer.produce(
                self.topic, value=value, partition=number % 2, on_delivery=partial(on_delivery, number=number)
            )
            producer.poll(0)
        assert producer.flush(20) == 0
        return [places[number] for number in sorted(places)]

    def land(self, **options: Any) -> Landed:
        """Land until everything that was produced is landed; returns the sum of what the drains did."""
        options.setdefault("breaker", BadRecordBreaker("land", ratio=NEVER_TRIPS))
        total = Landed()
        for _ in range(20):
            done = land(self.kafka, self.raw, self.warehouse, topic=self.topic, linger=BRIEF, **options)
            total.read += done.read
            total.duplicates += done.duplicates
            positions = cursors.positions(self.warehouse, "land")
            if all(positions[done.topic_id, p] >= end for p, end in self.ends.items()):
                return total
        raise AssertionError(f"landing did not reach {self.ends}: {positions}")

    def transform(self, **options: Any) -> Transformed:
        options = {"breaker": BadRecordBreaker("transform", ratio=NEVER_TRIPS), "linger": BRIEF, **options}
        return transform(self.raw, self.warehouse, self.kafka, topic=self.topic, **options)

    def drain(self) -> None:
        self.land()
        self.transform()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.warehouse.execute(query.encode(), parameters).fetchall()

    def tweet_ids(self) -> list[int]:
        return [i for (i,) in self.rows("select id from twitter.tweets order by id")]


@contextmanager
def anew(way: Way) -> Iterator[Way]:
    """The same way over a connection of its own, as each run of a drain has: whoever takes over ends it."""
    with psycopg.connect(way.dsn, autocommit=True) as warehouse:
        yield replace(way, warehouse=warehouse)


def drain_anew(way: Way) -> None:
    """Land and load all there is, as a next run does."""
    with anew(way) as next_run:
        next_run.drain()
