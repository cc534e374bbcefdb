"""Answers recorded from X, from import to rows: every tweet id in data and includes ends in PostgreSQL."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tweet_envelope.sink import EnvelopeSink
from twitter_pipeline.archives.importing import Importer, Refusal
from twitter_pipeline.archives.pages import pages_of
from twitter_pipeline.archives.reading import opened
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.landing.drain import land
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform

BRIEF = Linger(stay_seconds=20, quiet_seconds=0.3)


def answers(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every recorded answer (HTTP recordings hold theirs under body) that is an object."""
    for file in sorted(folder.rglob("*.json")):
        document = json.loads(file.read_bytes())
        yield file, document.get("body", document) if "request" in document else document


def is_tweet(value: Any) -> bool:
    return isinstance(value, dict) and {"id", "text"} <= value.keys() and "event_type" not in value


def tweets_of(answer: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The tweets in data and those in includes, by a reading of its own; none outside an answer of X."""
    data = answer["data"] if isinstance(answer.get("data"), list) else [answer.get("data")]
    includes = answer.get("includes")
    included = includes.get("tweets", []) + includes.get("posts", []) if isinstance(includes, dict) else []
    return [d for d in data if is_tweet(d)], included


def test_every_recorded_tweet_becomes_a_row(recordings: Path, kafka: Any, mongo: Any, postgres: Any) -> None:
    """Nothing of any recorded answer is lost on the way, and nothing of it ends in the dead letters."""
    config, topic = {"bootstrap.servers": kafka.bootstrap}, kafka.create_topic(partitions=3)
    collected: set[int] = set()
    everything: set[int] = set()
    refusals: list[Refusal] = []
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:
        sink = EnvelopeSink(config, topic)
        importer = Importer(sink, mongo.database, warehouse, tell=refusals.append)
        files = 0
        for file, answer in answers(recordings):
            data, included = tweets_of(answer)
            if not data and not included:
                continue
            files += 1
            with opened(str(file)) as stream:
                summary = importer.import_file(str(file), stream)
            assert summary.tweets == len(data), file
            assert summary.included_tweets == len(included), file
            collected |= {int(tweet["id"]) for tweet in data}
            everything |= {int(tweet["id"]) for tweet in (*data, *included)}
        sink.close()
        assert files >= 25
        assert len(everything) >= 150
        land(config, mongo.database, warehouse, topic=topic, linger=BRIEF)
        transform(mongo.database, warehouse, topic=topic, linger=BRIEF)
        rows = warehouse.execute("select id, text, is_collected from twitter.tweets").fetchall()
        dead = warehouse.execute("select reason, detail from pipeline.dead_letters").fetchall()
        assert all(account.balances for account in accounts(mongo.database, warehouse))
    assert {tweet_id for tweet_id, _, _ in rows} == everything
    assert {tweet_id for tweet_id, _, is_collected in rows if is_collected} == collected
    assert {tweet_id for tweet_id, text, _ in rows if text is None} == set()
    assert dead == []
    # pages of spaces or lists that bring tweets along are refused for what is no tweet, never for a tweet
    assert {refusal.why.reason for refusal in refusals} <= {"no_tweet"}


def test_recordings_know_when(recordings: Path) -> None:
    """An HTTP recording's Date is when its tweets were observed."""
    dated = 0
    for file, answer in answers(recordings):
        document = json.loads(file.read_bytes())
        if tweets_of(answer)[0] and "date" in document.get("headers", {}):
            [page] = pages_of(file.read_bytes())
            assert page.observed_at is not None
            assert page.observed_at.year in (2021, 2022, 2023)
            dated += 1
    assert dated >= 5
