"""Drains to interrupt, what is sent through them, and the expected contents of their stores."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.stack import apache_kafka
from twitter_pipeline.warehouse import model

from ..path.conftest import Way, envelope

ON_APACHE_KAFKA = pytest.mark.parametrize(
    "kafka",
    [
        pytest.param(
            "apache-kafka",
            marks=[
                pytest.mark.apache_kafka,
                pytest.mark.skipif(
                    apache_kafka.missing() is not None,
                    reason=f"Apache Kafka cannot run: {apache_kafka.missing()}",
                ),
            ],
        )
    ],
    indirect=True,
)
ON_TANSU = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)
TWEETS = range(101, 117)
BAD = b"<html>503</html>"
UNREADABLE = envelope({"id": "999", "text": "fine"}, requested="everything")


def observation(number: int) -> bytes:
    """An envelope with something for every table; the other envelopes touch the same users and hashtags."""
    tweet = {
        "id": str(number),
        "text": f"tweet {number} #a",
        "author_id": str(number % 3 + 1),
        "created_at": "2026-01-01T00:00:00Z",
        "public_metrics": {"like_count": number},
        "entities": {
            "hashtags": [
                {"tag": "a", "start": 10, "end": 12},
                {"tag": f"b{number % 4}", "start": 0, "end": 1},
            ],
            "mentions": [{"username": "someone", "start": 0, "end": 1}],
            "urls": [{"url": "https://t.co/x", "expanded_url": "https://example.org", "start": 0, "end": 1}],
        },
        "referenced_tweets": [{"type": "quoted", "id": "50"}],
        "surprise": True,
    }
    users = [{"id": str(i), "username": f"u{i}", "description": f"of {number}"} for i in (1, 2, 3)]
    return envelope(tweet, includes={"users": users}, observed_at=f"2026-01-02T03:04:{number % 60:02d}Z")


def a_load() -> list[bytes]:
    """Valid tweets, one message that cannot land, and one that lands but cannot be loaded."""
    values = [observation(number) for number in TWEETS]
    return [*values[:5], BAD, *values[5:9], UNREADABLE, *values[9:]]


@contextmanager
def anew(way: Way) -> Iterator[Way]:
    """The same path over its own connection, like each run of a drain: a successor terminates it."""
    with psycopg.connect(way.dsn, autocommit=True) as warehouse:
        yield replace(way, warehouse=warehouse)


def drain_anew(way: Way) -> None:
    """Land and load everything, as the next run does."""
    with anew(way) as next_run:
        next_run.drain()


class Oracle:
    """What an undisturbed run leaves in the stores, and what they hold now."""

    def __init__(self, way: Way, superuser_dsn: str) -> None:
        self._way, self._superuser_dsn = way, superuser_dsn
        way.produce(*a_load())
        drain_anew(way)
        self.expected = self.contents()
        assert self.expected["twitter.tweets"], "a load that leaves nothing proves nothing"

    def reset(self, *, landing: bool) -> None:
        """Empty the tables and the records of transform, with `landing` also what was landed; the topic stays."""
        gone = [f"twitter.{table.name}" for table in model.IN_LOADING_ORDER]
        gone += [f"twitter.{name}" for name in (table.name for table in model.DERIVED)]
        gone += [f"pipeline.{name}" for name in ("observations", "dead_letters", "schema_drift", "gaps")]
        with psycopg.connect(self._superuser_dsn, autocommit=True) as superuser:
            superuser.execute(f"truncate {', '.join(gone)}".encode())
            superuser.execute("delete from pipeline.cursors where stage = 'transform' or %s", (landing,))
        if landing:
            self._way.raw.raw_tweets.delete_many({})
            self._way.raw.dead_letters.delete_many({})

    def contents(self) -> dict[str, Any]:
        """Everything in both stores, except storage times and cursor owners."""
        found: dict[str, Any] = {}
        for table in model.IN_LOADING_ORDER:
            columns = ", ".join(table.columns)
            found[f"twitter.{table.name}"] = self._rows(
                f"select {columns} from twitter.{table.name} order by {columns}"
            )
        for name in (table.name for table in model.DERIVED):
            found[f"twitter.{name}"] = self._rows(f"select * from twitter.{name} order by 1, 2")
        found["observations"] = self._rows("select * from pipeline.observed order by 1, 2, 3, 4, 5")
        found["dead letters"] = self._rows(
            'select topic_id, partition, "offset", reason, payload from pipeline.dead_letters order by 1, 2, 3'
        )
        found["drift"] = self._rows(
            "select object, field, seen_count from pipeline.schema_drift order by 1, 2"
        )
        found["gaps"] = self._rows("select topic_id, partition, from_offset, to_offset from pipeline.gaps")
        found["cursors"] = self._rows(
            "select stage, topic_id, partition, next_offset from pipeline.cursors order by 1, 2, 3"
        )
        raw = self._way.raw
        found["raw"] = [(d["_id"], d["sha256"]) for d in raw.raw_tweets.find().sort("_id", 1)]
        found["dead"] = [
            (d["_id"], d["reason"], d["payload"]) for d in raw.dead_letters.find().sort("_id", 1)
        ]
        return found

    def has_moved_all(self, stage: str) -> bool:
        """Whether the cursors of a stage are where an undisturbed run leaves them."""
        now = {tuple(row) for row in self.contents()["cursors"]}
        return {row for row in self.expected["cursors"] if row[0] == stage} <= now

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._superuser_dsn, autocommit=True) as superuser:
            return superuser.execute(query.encode()).fetchall()

    def holds(self, when: str) -> None:
        """Assert that both stores hold what an undisturbed run leaves, and that every offset is accounted for."""
        now = self.contents()
        for name, expected in self.expected.items():
            assert now[name] == expected, f"{name}, {when}"
        assert [i for (i, *_) in now["twitter.tweets"]] == [*TWEETS], when
        with psycopg.connect(self._superuser_dsn, autocommit=True) as superuser:
            assert all(account.balances for account in accounts(self._way.raw, superuser)), when


class StrikableDrains:
    """Runs drains in separate processes, one at a time; see strikable_drains.py."""

    def __init__(self, log: Path) -> None:
        program = [sys.executable, str(Path(__file__).with_name("strikable_drains.py"))]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def run(self, way: Way, stage: str, first: int, signal: str, kind: str = "") -> dict[str, Any]:
        """Start a drain that is interrupted at the first step of a kind (default: any) from number `first` on.

        Returns when it is stopped, was killed, or ended.
        """
        job = {"stage": stage, "first": first, "kind": kind, "signal": signal, "batch_size": 500}
        stores = {
            "kafka": way.kafka,
            "topic": way.topic,
            "dsn": way.dsn,
            "mongo_uri": way.mongo_uri,
            "mongo_name": way.raw.name,
        }
        return self._ask(job | stores)

    def go_on(self) -> dict[str, Any]:
        """Let a stopped drain continue; returns when it has ended."""
        return self._ask({})

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the program, which ends a drain that is still stopped."""
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def strikable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrikableDrains]:
    drains = StrikableDrains(tmp_path_factory.mktemp("drains") / "log")
    yield drains
    drains.close()


@pytest.fixture
def make_way(mongo: Any, postgres: Any) -> Iterator[Callable[..., Way]]:
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:

        def make(bootstrap: str, topic: str) -> Way:
            kafka = {"bootstrap.servers": bootstrap}
            return Way(kafka, topic, mongo.database, warehouse, postgres.dsn, mongo.uri)

        yield make


@pytest.fixture
def way(kafka: Any, make_way: Callable[..., Way]) -> Way:
    """The path over a topic of this test's own, on each broker."""
    return make_way(kafka.bootstrap, kafka.create_topic(partitions=2))


@pytest.fixture
def oracle(way: Way, postgres: Any) -> Oracle:
    """What a load of this test's own leaves when nothing disturbs it."""
    return Oracle(way, postgres.superuser_dsn)
