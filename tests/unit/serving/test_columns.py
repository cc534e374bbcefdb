"""A column of a tweet is declared once: exports, the API's JSON, its models and Parquet's types follow."""

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
    own,
)
from twitter_pipeline.warehouse import model

NEW = own("tweet", model.Column("new_range", model.INTEGERS, "Where something begins and ends."))
WRITTEN = (
    "id,created_at,author_id,author_username,author_name,text,note_text,lang,source,conversation_id,in_reply_to_user_id,"
    "replied_to_tweet_id,quoted_tweet_id,retweeted_tweet_id,hashtags,mentions,urls,media_keys,possibly_sensitive,"
    "retweet_count,reply_count,like_count,quote_count,bookmark_count,impression_count,metrics_observed_at,rules,"
    "text_unescaped"
)


def test_the_columns_that_programs_rely_on_come_first_in_their_order() -> None:
    """Others follow, and none appears twice."""
    assert ",".join(COLUMNS[:28]) == WRITTEN
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_new_column_comes_last_in_the_export_and_in_the_object() -> None:
    """New columns do not change the existing ones."""
    exported = columns.in_order(columns.FIRST_EXPORTED, (*EXPORTED, NEW))
    assert exported == (*EXPORTED, NEW)
    assert cells(exported) == cells(EXPORTED) + ",\n    tweet.new_range as new_range"
    with_it = columns.in_order(columns.FIRST_IN_API, (*TWEET, NEW))
    assert json_object(with_it) == json_object(TWEET)[:-1] + ", 'new_range', tweet.new_range)"
    assert example(with_it) == example(TWEET) | {"new_range": [0, 29]}
    properties = model_of("Tweet", "", with_it).model_json_schema()["properties"]
    assert list(properties)[-1] == "new_range"


def test_every_kind_can_be_written_in_every_format() -> None:
    """Each kind of an exported column has a Parquet type; kinds used only in the API need none."""
    assert {column.kind for column in EXPORTED} <= parquet.TYPES.keys() == set(Kind) - {Kind.REFERENCES}


def test_every_column_that_the_model_serves_is_shown() -> None:
    """Columns are in the exports or the API, most in both; versions and documents in neither."""
    shown = {column.name for column in (*EXPORTED, *TWEET)}
    served = {column.name for column in model.TWEETS.described if column.is_served}
    assert served - shown == {
        column.name for column in model.TWEETS.described if column.type.name in {"uuid", "json"}
    }
    assert {column.name for column in model.USERS.described if column.type.name == "flag"} <= {
        column.name for column in columns.USER
    }


def test_counts_stand_in_the_metrics() -> None:
    """As X has them; everything else stands on its own."""
    assert own("tweet", model.Column("view_count", model.COUNT, "")).place == ("metrics", "view_count")
    assert Column("a", Kind.TEXT, "tweet.a", "").place == ("a",)
