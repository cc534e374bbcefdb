"""The shown part of a text goes the whole way: from X's field to a column, to exports and to the API."""

import io
import json
from typing import Any

import psycopg
import pytest

from support.envelopes import envelope
from support.way import Way
from twitter_pipeline.exports.tweets import export_tweets
from twitter_pipeline.serving.columns import TWEET, example
from twitter_pipeline.serving.selection import Selection

RANGES = "select id, display_text_range from twitter.tweets order by id"


def test_the_shown_part_of_a_text_is_a_column(way: Way) -> None:
    """What is no pair of 32-bit numbers is null, costs nothing but itself and is counted."""
    way.produce(
        envelope({"id": "1", "text": "@ann hello", "display_text_range": [5, 10]}),
        envelope({"id": "2", "text": "hello"}),
        envelope({"id": "3", "text": "hello", "display_text_range": [0, 2**40]}),
        envelope({"id": "4", "text": "hello", "display_text_range": "0-5"}),
    )
    way.drain()
    assert way.rows(RANGES) == [(1, [5, 10]), (2, None), (3, None), (4, None)]
    drift = "select sum(seen_count)::int from pipeline.schema_drift where field = '(unreadable display_text_range)'"
    assert way.rows(drift) == [(2,)]
    assert way.rows("select count(*) from pipeline.dead_letters") == [(0,)]


def test_it_belongs_to_the_text_that_it_came_with(way: Way) -> None:
    """A newer text without it has none: positions of another text would be wrong."""
    tweet = {"id": "1", "text": "@ann hello", "display_text_range": [5, 10]}
    way.produce(envelope(tweet, observed_at="2026-01-01T00:00:00Z"))
    way.drain()
    way.produce(envelope({"id": "1", "text": "hello"}, observed_at="2026-01-02T00:00:00Z"))
    way.drain()
    assert way.rows("select text, display_text_range from twitter.tweets") == [("hello", None)]


@pytest.mark.parametrize(("file_format", "expected"), [("csv", b",0 5\r\n"), ("jsonl", b"[0, 5]")])
def test_it_is_exported_at_the_end_of_a_row(
    way: Way, postgres: Any, file_format: Any, expected: bytes
) -> None:
    """Programs that read the columns of before find them where they were."""
    way.produce(envelope({"id": "1", "text": "hello", "display_text_range": [0, 5]}))
    way.drain()
    written = io.BytesIO()
    with psycopg.connect(postgres.reader_dsn, autocommit=True) as reader:
        export_tweets(reader, written, file_format, Selection())
    last = written.getvalue().splitlines(keepends=True)[-1]
    if file_format == "jsonl":
        assert list(json.loads(last).items())[-1] == ("display_text_range", [0, 5])
    else:
        assert last.endswith(expected)


def test_the_api_serves_it() -> None:
    """As a list, behind the members that were there before."""
    assert list(example(TWEET).items())[-1] == ("display_text_range", [0, 29])
