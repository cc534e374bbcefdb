"""What a tweet costs in transform with a small and with a large raw store, on the embedded servers."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest
from bson import Binary

from support.oracle import observation
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.landing.documents import raw_document
from twitter_pipeline.landing.raw_store import RawStore
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform

STORED = {"small": 10_000, "large": 500_000}
ROUNDS, TWEETS_A_ROUND = 5, 1_000
FILLER_BYTES = 300
AT_MOST = 1.3
STORE_ID = "the-store-of-this-benchmark"


@dataclass
class Spent:
    """Seconds for tweets: of a clock, of this process, and of the raw store's processor."""

    tweets: int = 0
    wall: float = 0.0
    client: float = 0.0
    server: float = 0.0

    @property
    def processor_microseconds(self) -> float:
        return (self.client + self.server) / self.tweets * 1e6


def fill(raw: Any, topic_id: str, count: int) -> None:
    """Documents that were landed and loaded long ago."""
    for first in range(0, count, 5_000):
        raw.raw_tweets.insert_many(
            [
                {
                    "_id": Coordinate(topic_id, 0, offset).key,
                    "kind": "tweet",
                    "envelope": Binary(random.randbytes(FILLER_BYTES)),
                    "sha256": "0" * 64,
                }
                for offset in range(first, min(first + 5_000, count))
            ],
            ordered=False,
        )


def land(raw: Any, warehouse: psycopg.Connection[Any], topic_id: str, first: int, number: int) -> int:
    """As landing leaves it: documents, mark, cursor; returns where the cursor is."""
    now = datetime.now(UTC)
    to = first + TWEETS_A_ROUND
    raw.raw_tweets.insert_many(
        [
            raw_document(observation(number + offset), Coordinate(topic_id, 0, offset), now)
            for offset in range(first, to)
        ],
        ordered=False,
    )
    RawStore(raw).raise_mark(topic_id, 0, STORE_ID, 0, to)
    warehouse.execute(
        "update pipeline.cursors set next_offset = %s where stage = 'land' and topic_id = %s",
        (to, topic_id),
    )
    return to


@pytest.mark.timeout(3600)
def test_a_tweet_costs_the_same_whatever_is_stored(
    mongo: Any, mongo_server: Any, postgres: Any, report: dict[str, list[str]]
) -> None:
    """10,000 and 500,000 documents in raw, in turns so that a busy machine is busy for both: the ratio is near 1."""
    (server,) = (each for each in psutil.process_iter() if _listens(each, mongo_server.port))
    spent = {name: Spent() for name in STORED}
    # not dropped: the server deletes half a million documents one by one, and ends with the session
    stores = {name: mongo.client[f"{mongo.name}_{name}"] for name in STORED}
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:
        warehouse.execute(
            "insert into pipeline.raw_stores (store_id, adopted_by, reason) values (%s, 'benchmark', 'benchmark')",
            (STORE_ID,),
        )
        ends = dict(STORED)
        for topic_id, count in STORED.items():
            fill(stores[topic_id], topic_id, count)
            RawStore(stores[topic_id]).name(STORE_ID)
            RawStore(stores[topic_id]).begin_mark(topic_id, 0, STORE_ID, count)
            for stage in ("land", "transform"):
                warehouse.execute(
                    "insert into pipeline.cursors (stage, topic, topic_id, partition, next_offset)"
                    " values (%s, 'raw-tweets', %s, 0, %s)",
                    (stage, topic_id, count),
                )
        for turn in range(ROUNDS):
            for topic_id, raw in stores.items():
                # the same tweets in both would be a replay in the second: each turn has its own
                number = 10_000_000 * (turn * 2 + (topic_id == "large") + 1)
                ends[topic_id] = land(raw, warehouse, topic_id, ends[topic_id], number)
                before, clock = server.cpu_times(), datetime.now(UTC)
                own = psutil.Process().cpu_times()
                done = transform(
                    raw, warehouse, partitions=[(topic_id, 0)], linger=Linger(60, 0), batch_size=500,
                )  # fmt: skip
                assert done.loaded == TWEETS_A_ROUND
                if turn:  # the first turn warms caches
                    after, own_after = server.cpu_times(), psutil.Process().cpu_times()
                    each = spent[topic_id]
                    each.tweets += TWEETS_A_ROUND
                    each.wall += (datetime.now(UTC) - clock).total_seconds()
                    each.client += own_after.user + own_after.system - own.user - own.system
                    each.server += after.user + after.system - before.user - before.system
    ratio = spent["large"].processor_microseconds / spent["small"].processor_microseconds
    rows = [
        "| documents in raw | processor, us a tweet | of it raw store | wall, us a tweet |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {STORED[name]:,} | {each.processor_microseconds:.0f} | {each.server / each.tweets * 1e6:.0f}"
        f" | {each.wall / each.tweets * 1e6:.0f} |"
        for name, each in spent.items()
    ]
    report["Transform by what is stored"] = [*rows, "", f"Ratio of processor time: {ratio:.2f}."]
    assert ratio < AT_MOST


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(c.status == "LISTEN" and c.laddr.port == port for c in process.net_connections("tcp"))
    except psutil.Error:
        return False
