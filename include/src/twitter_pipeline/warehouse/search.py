"""How tweets are found by words, hashtag, account, rule and time: one set of statements for the API and the commands.

A search by words never scans the tweets: it looks at some thousands of the newest, which have what is common, and then
asks the index of trigrams. Tweets that an older version loaded are in that index once `fill` has passed them; until
then some thousands of them are compared one by one, and the answer says where to go on.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import psycopg

from twitter_pipeline.text import (
    escaped,
    like_patterns,
    normal_tag,
    searchable,
    trigram_query,
    trigrams,
)

WALKED = 2_000
EXAMINED = 5_000
FILL_BATCH = 1_000
UNKNOWN_VERSION = "00000000-0000-0000-0000-000000000000"

CONDITIONS = {
    "author": "and tweet.author_id = any (array(select id from twitter.users where lower(username) = :author))",
    "hashtags": "and tweet.id in (select tweet_id from twitter.tweet_hashtags where tag = any (:hashtags::text[]"
    " || array(select tag from twitter.hashtags where search_tag = any (:hashtags::text[]))))",
    "rule": "and exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = :rule)",
    "since": "and tweet.created_at >= :since::timestamptz",
    "until": "and tweet.created_at < :until::timestamptz",
    "below": "and tweet.id < :below::bigint",
    "id": "and tweet.id = :id::bigint",
    "ids": "and tweet.id = any (:ids::bigint[])",
}
"""Conditions on `twitter.tweets tweet`, by the name of the value that each needs."""

_PLACE = re.compile(r"(?<![:\w]):([a-z_]+)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def filters(values: Mapping[str, Any]) -> str:
    """The conditions for which there are values."""
    return "\n        ".join(text for name, text in CONDITIONS.items() if values.get(name) is not None)


def places(statement: str, place: Callable[[str], str]) -> str:
    """A statement with each `:name` replaced, and without its comments, which may speak of :names too."""
    return _PLACE.sub(lambda match: place(match[1]), _COMMENT.sub("", statement))


@cache
def statement(name: str) -> str:
    """The text of search.sql or unfilled.sql."""
    return resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8")


def hashtag_spellings(tag: str) -> list[str]:
    """The keys under which a hashtag in normal form may be stored."""
    return list(dict.fromkeys((tag, escaped(tag))))


@dataclass(frozen=True)
class Words:
    """Words in searchable form, and how PostgreSQL is asked for them."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, typed: Iterable[str]) -> "Words":
        """What people typed, each word (or phrase) a text of its own; empty ones ask for nothing."""
        return cls(tuple(word for text in typed if (word := searchable(text))))

    def __bool__(self) -> bool:
        return bool(self.words)

    def values(self, limit: int) -> dict[str, Any]:
        """What search.sql and unfilled.sql need besides the values of the conditions."""
        return {
            "sought": trigram_query(self.words),
            "patterns": like_patterns(self.words),
            "walked": max(WALKED, 20 * limit),
            "examined": EXAMINED,
            "limit": limit,
        }

    def are_in(self, text: str | None) -> bool:
        """Whether a text as X gave it has all of the words."""
        if text is None:
            return False
        compared = searchable(text)
        return all(word in compared for word in self.words)


@dataclass(frozen=True)
class Page:
    """Ids, newest first, and the id below which the next page begins; None when there is no more.

    While texts are being filled a page may have fewer ids than were asked for, even none, and yet a next one.
    """

    ids: list[int]
    next_below: int | None


def page(
    indexed: Sequence[int], unfilled: Sequence[tuple[int, str | None]], words: Words, limit: int
) -> Page:
    """Put together what search.sql and unfilled.sql gave."""
    compared = [tweet_id for tweet_id, text in unfilled if words.are_in(text)]
    found = sorted({*indexed, *compared}, reverse=True)
    reached = unfilled[-1][0] if len(unfilled) == EXAMINED else None
    if reached is not None:
        found = [tweet_id for tweet_id in found if tweet_id >= reached]
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1])
    return Page(found, reached)


def for_psycopg(text: str, values: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """A statement with the conditions of `values` in their place, as psycopg takes it."""
    text = text.replace("/* filters */", filters(values)).replace("%", "%%")
    return places(text, lambda name: f"%({name})s").encode(), values


def find(connection: psycopg.Connection, words: Words, values: Mapping[str, Any], limit: int) -> Page:
    """A page of the tweets that have all of the words and pass the conditions of `values`. Never writes."""
    asked = {**values, **words.values(limit)}
    ((indexed, below),) = connection.execute(*for_psycopg(statement("search"), asked)).fetchall()
    unfilled: list[Any] = []
    if below is not None:
        asked["unfilled_below"] = below
        unfilled = connection.execute(*for_psycopg(statement("unfilled"), asked)).fetchall()
    return page(indexed, unfilled, words, limit)


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

    Returns how many tweets were looked at, None when none is left. Safe to interrupt, to run twice and beside the
    loader, whose rows are never replaced. The connection (autocommit, role pipeline_loader) must not be in a transaction.
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
            # by ascending id, as the loader: no deadlocks
            cursor.executemany(ADD_TEXT, [(i, text, trigrams(text), UNKNOWN_VERSION) for i, text in texts])
        below = tweets[-1][0] if len(tweets) == batch else None
        connection.execute(
            "update pipeline.backfills set below_id = %s, updated_at = now() where name = 'tweet_texts'",
            (below,),
        )
        return len(tweets)


def fill_search_tags(connection: psycopg.Connection, batch: int = FILL_BATCH) -> int:
    """Give each hashtag whose key is not in normal form the form it is searched by; returns how many.

    Safe to interrupt, to run twice and beside the loader.
    """
    changed, last = 0, ""
    while tags := [tag for (tag,) in connection.execute(NEXT_TAGS, (last, batch)).fetchall()]:
        odd = [(normal, tag) for tag in tags if (normal := normal_tag(tag)) != tag]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(SET_SEARCH_TAG, odd)
        changed, last = changed + len(odd), tags[-1]
    return changed
