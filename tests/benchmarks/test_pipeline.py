"""How fast a tweet comes from X, and from Kafka, to its row, and how fast a backlog is drained by the Dags."""

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.envelopes import messages_of
from tweet_envelope.sink import EnvelopeSink
from tweet_envelope.writing import Message
from twitter_pipeline.settings import TOPIC

from ..system.conftest import wait_until

BACKLOG = 50_000
SAMPLES = int(os.environ.get("BENCH_SAMPLES", "50"))
FIRST_MADE_ID = 1_700_000_000_000_000_000

pytestmark = pytest.mark.timeout(3600)


def envelopes(stack: Any) -> Iterator[bytes]:
    """Envelopes of simulated tweets, over and over, each with an id of its own."""
    given = stack.settings
    pages: list[dict[str, Any]] = []
    with XClient(given.x_bearer_token, base_url=given.x_api_url, allow_local=True) as client:
        token = None
        while len(pages) < 1000:
            page = client.search_recent(
                "coffee OR climate OR football OR the", max_results=100, next_token=token
            )
            pages += [msgspec.json.decode(m.value) for m in messages_of(page, rule=None, source="search")]
            if (token := page.next_token) is None:
                break
    for number, envelope in enumerate(cycle([p for p in pages if p["kind"] == "tweet"])):
        envelope["tweet"]["id"] = str(FIRST_MADE_ID + number)
        yield msgspec.json.encode(envelope)


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered):.2f} | {ordered[int(len(ordered) * 0.95)]:.2f} | {ordered[-1]:.2f}"


@pytest.mark.parametrize("broker", ["tansu", "apache-kafka"])
def test_backlog(make_stack: Callable[..., Any], report: dict[str, list[str]], broker: str) -> None:
    """50,000 envelopes in Kafka, drained to PostgreSQL by the Dags."""
    rules = 'rules:\n  - {name: nothing, query: "xyzzynothing", interval_seconds: 86400}\n'
    with make_stack(rules=rules, PIPELINE_BROKER=broker, PIPELINE_EXTRACTION_SECONDS="3600") as stack:
        wait_until(
            lambda: bool(stack.rows("select 1 from pipeline.rules where last_polled_at is not null")),
            180,
            str,
        )
        made = envelopes(stack)
        producer = Producer({**stack.settings.kafka(), "compression.type": "lz4", "linger.ms": 20})
        sizes = 0
        for value in islice(made, BACKLOG):
            sizes += len(value)
            producer.produce(TOPIC, value=value, key=str(sizes))
            producer.poll(0)
        assert producer.flush(60) == 0
        progress: dict[str, list[tuple[float, int]]] = {"land": [], "transform": []}
        done = {"land": 0, "transform": 0}
        deadline = time.monotonic() + 600
        while min(done.values()) < BACKLOG and time.monotonic() < deadline:
            for stage, count in stack.rows(
                "select stage, sum(next_offset) from pipeline.cursors group by stage"
            ):
                done[stage] = int(count)
                progress[stage].append((time.monotonic(), done[stage]))
            time.sleep(0.25)
        ((loaded,),) = stack.rows(
            "select count(*) from twitter.tweets where id between %s and %s",
            FIRST_MADE_ID,
            FIRST_MADE_ID + BACKLOG - 1,
        )
        assert loaded == BACKLOG
        table = report.setdefault(
            f"Backlog of {BACKLOG:,} envelopes, drained by the Dags (tweets/s between 10 % and 90 %)",
            ["| broker | kB each | landing | processing |", "|---|---|---|---|"],
        )
        rates = []
        for stage in ("land", "transform"):
            inside = [(t, n) for t, n in progress[stage] if 0.1 * BACKLOG <= n <= 0.9 * BACKLOG] or progress[
                stage
            ]
            (start, low), (end, high) = inside[0], inside[-1]
            rates.append(f"{(high - low) / max(end - start, 0.25):,.0f}")
        table.append(f"| {broker} | {sizes / BACKLOG / 1000:.1f} | {rates[0]} | {rates[1]} |")


def test_latency(make_stack: Callable[..., Any], report: dict[str, list[str]]) -> None:
    """An idle stack: one tweet at a time, from X and from Kafka, to its row."""
    rules = 'rules:\n  - {name: probe, query: "latencyprobe", interval_seconds: 5}\n'
    chance = random.Random(7)
    with make_stack(rules=rules, PIPELINE_BROKER="apache-kafka", PIPELINE_EXTRACTION_SECONDS="5") as stack:
        wait_until(
            lambda: bool(stack.rows("select 1 from pipeline.rules where last_polled_at is not null")),
            180,
            str,
        )
        made, given = envelopes(stack), stack.settings
        time.sleep(10)
        appended: dict[int, float] = {}
        with EnvelopeSink(given.kafka(), TOPIC) as sink:
            for number in range(SAMPLES):
                value = next(made)
                appended[FIRST_MADE_ID + number] = time.time()
                sink.produce([Message(key=str(FIRST_MADE_ID + number).encode(), value=value)])
                time.sleep(chance.uniform(6.5, 8))  # the drains of the last one are gone by then
        rows = dict(
            stack.rows(
                "select id, extract(epoch from loaded_at)::float from twitter.tweets where id between %s and %s",
                FIRST_MADE_ID,
                FIRST_MADE_ID + SAMPLES,
            )
        )
        from_kafka = [rows[tweet_id] - at for tweet_id, at in appended.items()]
        for _ in range(SAMPLES):
            stack.simulator("tweets", [{"text": "a latencyprobe"}])
            time.sleep(chance.uniform(2, 3))
        query = "select extract(epoch from loaded_at - created_at)::float from twitter.tweets where text like '%%latencyprobe%%'"
        wait_until(lambda: len(stack.rows(query)) == SAMPLES, 120, lambda: str(len(stack.rows(query))))
        from_x = [seconds for (seconds,) in stack.rows(query)]
        report["Latency of one tweet on an idle stack (Apache Kafka), seconds"] = [
            f"| over {SAMPLES} tweets | p50 | p95 | max |",
            "|---|---|---|---|",
            f"| Kafka append to row | {percentiles(from_kafka)} |",
            f"| created_at to row, extraction every 5 s (X shows a tweet after 30 s) | {percentiles(from_x)} |",
        ]
