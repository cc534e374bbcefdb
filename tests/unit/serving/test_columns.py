"""A column of a tweet is declared once: exports, the API's JSON, its models and Parquet's types follow."""

from typing import Any

import pytest

from twitter_pipeline.api.models import model_of
from twitter_pipeline.exports.formats import parquet
from twitter_pipeline.exports.rows import COLUMNS
from twitter_pipeline.serving import columns
from twitter_pipeline.serving.columns import (
    EXPORTED,
    TWEET,
    Column,
    Kind,
    cells,
    example,
    json_object,
    kind_of,
    own,
)

NEW = own("tweet", "display_text_range", Kind.INTEGERS, "Where the text begins and ends.")
WRITTEN = (
    "id,created_at,author_id,author_username,author_name,text,note_text,lang,source,conversation_id,in_reply_to_user_id,"
    "replied_to_tweet_id,quoted_tweet_id,retweeted_tweet_id,hashtags,mentions,urls,media_keys,possibly_sensitive,"
    "retweet_count,reply_count,like_count,quote_count,bookmark_count,impression_count,metrics_observed_at,rules,"
    "text_unescaped"
)


def test_the_columns_that_programs_rely_on_come_first_in_their_order() -> None:
    """Others follow; none is there twice."""
    assert ",".join(COLUMNS[:28]) == WRITTEN
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_new_column_comes_last_in_the_export_and_in_the_object() -> None:
    """Without a change to what was there."""
    exported = columns.in_order(columns.FIRST_EXPORTED, (*EXPORTED, NEW))
    assert exported == (*EXPORTED, NEW)
    assert cells(exported) == cells(EXPORTED) + ",\n    tweet.display_text_range as display_text_range"
    with_it = columns.in_order(columns.FIRST_IN_API, (NEW, *TWEET))
    assert (
        json_object(with_it) == json_object(TWEET)[:-1] + ", 'display_text_range', tweet.display_text_range)"
    )
    assert example(with_it) == example(TWEET) | {"display_text_range": [0, 29]}
    properties = model_of("Tweet", "", with_it).model_json_schema()["properties"]
    assert list(properties)[-1] == "display_text_range"


def test_every_kind_can_be_written_in_every_format() -> None:
    """A kind that an exported column may have has a type of Parquet; what is only in the API needs none."""
    assert {column.kind for column in EXPORTED} <= parquet.TYPES.keys() == set(Kind) - {Kind.REFERENCES}


@pytest.mark.parametrize(
    ("name", "postgres_type", "kind"),
    [
        ("id", "bigint", Kind.ID),
        ("place_id", "text", Kind.TEXT),
        ("community_id", "bigint", Kind.ID),
        ("view_count", "bigint", Kind.COUNT),
        ("edit_history_ids", "bigint[]", Kind.IDS),
        ("display_text_range", "integer[]", Kind.INTEGERS),
        ("media_keys", "text[]", Kind.TEXTS),
        ("is_sanitized", "boolean", Kind.FLAG),
        ("loaded_at", "timestamp with time zone", Kind.MILLISECONDS),
        ("text_version", "uuid", None),
        ("entities", "jsonb", None),
    ],
)
def test_the_kind_of_a_column_follows_from_its_name_and_type(
    name: str, postgres_type: str, kind: Any
) -> None:
    """So that the model of the tables can declare what is served."""
    assert kind_of(name, postgres_type) is kind


def test_counts_stand_in_the_metrics() -> None:
    """As X has them; everything else stands on its own."""
    assert own("tweet", "view_count", Kind.COUNT, "").place == ("metrics", "view_count")
    assert Column("a", Kind.TEXT, "tweet.a", "").place == ("a",)
