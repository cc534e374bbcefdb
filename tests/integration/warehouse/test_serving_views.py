"""Views define once which tweets a person may read, and every reader uses them."""

import re
from importlib import resources
from typing import Any

import psycopg
import pytest

UPDATABLE = ("collected_tweets", "collected_tweet_keys")
FILLED = """
insert into twitter.tweets (id, author_id, text, is_collected, withheld_country_codes) values
    (1, 7, 'plain', true, null), (2, 7, 'withheld', true, '{DE}'), (3, 8, 'RT', true, null),
    (4, 7, 'only included', false, null), (5, 7, 'removed', true, null), (6, null, 'of nobody', true, null);
insert into twitter.tweet_references values (3, 'retweeted', 4);
insert into pipeline.tombstones (tweet_id, reason) values (5, 'deleted'), (4, 'deleted');
"""


@pytest.fixture
def filled(postgres: Any) -> Any:
    """Tweets of each kind that the views distinguish."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(FILLED)
    return postgres


def column_names(connection: psycopg.Connection[Any], relation: str) -> list[str]:
    return [
        column.name for column in connection.execute(f"select * from {relation} limit 0").description or []
    ]


def test_collected_and_not_removed_tweets_are_read(filled: Any) -> None:
    """Withheld tweets and retweets are included; tweets that are only includes, or removed, are not; both views agree."""
    with psycopg.connect(filled.reader_dsn) as reader:
        whole = reader.execute("select id, author_id, created_at from twitter.collected_tweets order by id")
        keys = reader.execute(
            "select id, author_id, created_at from twitter.collected_tweet_keys order by id"
        )
        rows = whole.fetchall()
        assert [row[0] for row in rows] == [1, 2, 3, 6]
        assert keys.fetchall() == rows
        authors = reader.execute("select * from twitter.collected_authors order by user_id").fetchall()
    assert authors == [(7, 2), (8, 1)]


def test_the_view_has_every_column_of_the_table(postgres: Any) -> None:
    """A migration that adds a column to twitter.tweets ends with `call twitter.define_views()`."""
    with psycopg.connect(postgres.reader_dsn) as reader:
        assert column_names(reader, "twitter.collected_tweets") == column_names(reader, "twitter.tweets")


def test_a_new_column_is_there_after_the_views_are_redefined(filled: Any) -> None:
    """With the privileges and comments that they had."""
    with psycopg.connect(filled.migrator_dsn, autocommit=True) as owner:
        owner.execute("alter table twitter.tweets add column added_later integer[]")
        owner.execute("call twitter.define_views()")
    with psycopg.connect(filled.reader_dsn) as reader:
        assert column_names(reader, "twitter.collected_tweets")[-1] == "added_later"
        (comment,) = reader.execute(
            "select obj_description('twitter.collected_tweets'::regclass)"
        ).fetchone() or ("",)
    assert comment.startswith("The tweets that a person may read")


@pytest.mark.parametrize("view", UPDATABLE)
def test_nobody_writes_through_a_view(filled: Any, view: str) -> None:
    """The loader writes tables, the reader nothing; PostgreSQL itself would allow updates of views as simple as these."""
    for dsn in (filled.dsn, filled.reader_dsn):
        with psycopg.connect(dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"delete from twitter.{view}")


def test_no_statement_of_the_reading_side_decides_for_itself() -> None:
    """No file in serving/sql, and no module next to it, names tombstones, is_collected or the table of tweets."""
    folder = resources.files("twitter_pipeline.serving")
    texts = {file.name: file.read_text() for file in folder.joinpath("sql").iterdir()}
    texts |= {file.name: file.read_text() for file in folder.iterdir() if file.name.endswith(".py")}
    decides = re.compile(r"tombstones|is_collected|(?:from|join) twitter\.tweets\b")
    code = {
        name: re.sub(r'""".*?"""|--.*', "", text, flags=re.DOTALL if name.endswith(".py") else 0)
        for name, text in texts.items()
    }
    assert len(code) > 12
    assert {name: found for name, text in code.items() if (found := decides.findall(text))} == {}
