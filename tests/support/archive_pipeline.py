"""One pipeline from an archive to its rows, over real servers."""

import io
import json
from typing import Any

import psycopg

from support import TESTS
from tweet_envelope.sink import EnvelopeSink
from twitter_pipeline.archives.importing import FileImported, Importer, Refusal
from twitter_pipeline.landing.drain import land
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform

BRIEF = Linger(stay_seconds=15, quiet_seconds=0.3)
NOT_LOADED = """
select count(*) from pipeline.pages page, jsonb_each_text(page.offsets) last
where last.value::bigint >= coalesce((
    select next_offset from pipeline.cursors
    where stage = 'transform' and topic_id = page.topic_id and partition = last.key::int), 0)
"""
CASES = TESTS / "cases" / "data"


def tweet(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(1_600_000_000_000_000_000 + number), "text": f"text {number}", "author_id": "7", **more}


def number_of(tweet_id: int) -> int:
    return tweet_id - 1_600_000_000_000_000_000


class Pipeline:
    """One topic, one raw store and one warehouse, and the steps between them."""

    def __init__(self, kafka: Any, mongo: Any, warehouse: psycopg.Connection) -> None:
        self.kafka = {"bootstrap.servers": kafka.bootstrap}
        self.topic = kafka.create_topic(partitions=3)
        self.raw, self.warehouse = mongo.database, warehouse
        self.refusals: list[Refusal] = []
        self.sink = EnvelopeSink(self.kafka, self.topic)

    def import_file(self, file: str, body: bytes, **more: Any) -> FileImported:
        importer = Importer(self.sink, self.raw, self.warehouse, tell=self.refusals.append, **more)
        return importer.import_file(file, io.BytesIO(body))

    def import_case(self, name: str, **more: Any) -> FileImported:
        """Import a file of tests/cases/data."""
        return self.import_file(name, (CASES / name).read_bytes(), **more)

    @property
    def reasons(self) -> list[str]:
        """Why something was refused, in order."""
        return [refusal.why.reason for refusal in self.refusals]

    def run(self) -> None:
        """Land and load until all that was imported is there."""
        for _ in range(20):
            land(self.kafka, self.raw, self.warehouse, topic=self.topic, linger=BRIEF)
            transform(self.raw, self.warehouse, topic=self.topic, linger=BRIEF)
            if self.column(NOT_LOADED) == [0]:
                return
        raise AssertionError("what was imported did not become rows")

    def envelopes(self) -> list[dict[str, Any]]:
        """What was landed, in any order."""
        return [json.loads(document["envelope"]) for document in self.raw.raw_tweets.find()]

    def column(self, query: str) -> list[Any]:
        return [row[0] for row in self.warehouse.execute(query.encode()).fetchall()]
