"""Make tweets and hashtags of older versions searchable, as the loader does for new ones."""

import time

import psycopg

from twitter_pipeline.text import normal_tag, searchable, trigrams

FILL_BATCH = 1_000
UNKNOWN_VERSION = "00000000-0000-0000-0000-000000000000"

NEXT_TEXTS = """
select tweet.id, coalesce(nullif(tweet.note_text, ''), tweet.text) from twitter.tweets tweet
where tweet.id < %s and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
order by tweet.id desc limit %s
"""
ADD_TEXT = """
insert into twitter.tweet_texts (tweet_id, text, trigrams, version) values (%s, %s, %s, %s) on conflict do nothing
"""
NEXT_TAGS = "select tag from twitter.hashtags where search_tag is null and tag > %s order by tag limit %s"
SET_SEARCH_TAG = "update twitter.hashtags set search_tag = %s where tag = %s"


def unfilled_below(connection: psycopg.Connection) -> int | None:
    """The id below which texts may not be searchable by index yet; None when all are. Never writes."""
    row = connection.execute("select below_id from pipeline.backfills where name = 'tweet_texts'").fetchone()
    return None if row is None else row[0]


def fill_search_columns(connection: psycopg.Connection, batch: int = FILL_BATCH) -> int | None:
    """Make the next `batch` tweets of an older version searchable, newest first; one transaction.

    Returns how many tweets were looked at, or None if none is left. Safe to interrupt, to repeat, and to run concurrently
    with the loader, whose rows are never replaced. The connection (autocommit, role pipeline_loader) must not be in a
    transaction.
    """
    with connection.transaction():
        row = connection.execute(
            "select below_id from pipeline.backfills where name = 'tweet_texts' for update"
        ).fetchone()
        if row is None or row[0] is None:
            return None
        tweets = connection.execute(NEXT_TEXTS, (row[0], batch)).fetchall()
        texts = [(tweet_id, searchable(text)) for tweet_id, text in reversed(tweets) if text is not None]
        with connection.cursor() as cursor:
            # by ascending id like the loader, which avoids deadlocks
            cursor.executemany(ADD_TEXT, [(i, text, trigrams(text), UNKNOWN_VERSION) for i, text in texts])
        below = tweets[-1][0] if len(tweets) == batch else None
        connection.execute(
            "update pipeline.backfills set below_id = %s, updated_at = now() where name = 'tweet_texts'",
            (below,),
        )
        return len(tweets)


def fill_search_tags(connection: psycopg.Connection, batch: int = FILL_BATCH) -> int:
    """Set the search form of each hashtag whose key is not in normal form; returns how many.

    Safe to interrupt, to repeat, and to run concurrently with the loader.
    """
    changed, last = 0, ""
    while tags := [tag for (tag,) in connection.execute(NEXT_TAGS, (last, batch)).fetchall()]:
        odd = [(normal, tag) for tag in tags if (normal := normal_tag(tag)) != tag]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(SET_SEARCH_TAG, odd)
        changed, last = changed + len(odd), tags[-1]
    return changed


def fill_for(dsn: str, seconds: float) -> bool:
    """Fill for about `seconds`; returns whether nothing is left. `dsn` belongs to pipeline_loader."""
    deadline = time.monotonic() + seconds
    with psycopg.connect(dsn, autocommit=True, application_name="search-index") as connection:
        if unfilled_below(connection) is None:
            return True
        fill_search_tags(connection)
        while fill_search_columns(connection) is not None:
            if time.monotonic() > deadline:
                return False
    return True
