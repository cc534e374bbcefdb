"""How tweets are found by words, hashtag, account, rule and time: one set of statements for the API and the commands.

A search by words never scans the tweets: it looks at some thousands of the newest, which have what is common, and then
asks the index of trigrams. Tweets that an older version loaded are in that index once `fill` has passed them; until
then some thousands of them are compared one by one, and the answer says where to go on.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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

RESOLVE = """
select array(select id from twitter.users where lower(username) = :author::text) as author_ids,
    array(select tag from twitter.hashtags where search_tag = :hashtag::text) as other_tags
"""
TWEETS, KEY = "twitter.tweets tweet /* tweets */", "tweet.id /* key */"
# `offset 0` here and in the .sql files keeps a look-up for each row one: as a join it would be done over all rows first
LISTED = """(select {} order by tweet_id desc) listed
    cross join lateral (select * from twitter.tweets where id = listed.tweet_id offset 0) tweet"""

IN_ORDER = """
set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off;
set local enable_hashjoin = off; set local enable_mergejoin = off
"""
"""For a statement whose index gives its order: it is walked from its end on, whatever the statistics say.

A planner that expects fewer rows than the limit reads and sorts them all, and before the first `analyze`, or with
stale statistics, all may be millions.
"""

_PLACE = re.compile(r"(?<![:\w]):([a-z_]+)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def places(statement: str, place: Callable[[str], str]) -> str:
    """A statement with each `:name` replaced, and without its comments, which may speak of :names too."""
    return _PLACE.sub(lambda match: place(match[1]), _COMMENT.sub("", statement))


@dataclass(frozen=True)
class Conditions:
    """What tweets must fulfil, names resolved into keys; None asks for nothing, and `below` is the cursor of a list."""

    author_ids: Sequence[int] | None = None
    tags: Sequence[str] | None = None
    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None
    ids: Sequence[int] | None = None

    @property
    def are_in_order(self) -> bool:
        """Whether one index gives the tweets by descending id, so that IN_ORDER is right."""
        is_open = self.since is None and self.until is None and self.ids is None
        one_author = self.author_ids is None or len(self.author_ids) == 1
        return is_open and one_author and (self.tags is None or len(self.tags) == 1)

    def values(self) -> dict[str, Any]:
        """What the conditions are asked with."""
        return {
            "author_ids": self.author_ids,
            "author_id": self.author_ids[0] if self.author_ids else None,
            "tags": self.tags,
            "tag": self.tags[0] if self.tags else None,
            "rule": self.rule,
            "since": self.since,
            "until": self.until,
            "below": self.below,
            "ids": self.ids,
        }

    def over_a_window(self, text: str) -> str:
        """A statement that reads all tweets of a window, with these conditions in place of its comment `filters`."""
        conditions = [
            (
                self.tags,
                "tweet.id in (select tweet_id from twitter.tweet_hashtags where tag = any (:tags::text[]))",
            ),
            (self.rule, "tweet.id in (select tweet_id from twitter.tweet_rules where rule = :rule)"),
        ]
        return text.replace("/* filters */", self._filters(conditions))

    def newest_first(self, text: str) -> str:
        """A statement that lists tweets by descending id, made to walk the index of its rarest condition.

        Which index that is is not left to the planner: its guess for a rare value is to walk all ids.
        """
        of_rule = (
            "exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = :rule offset 0)"
        )
        tagged = "exists (select from twitter.tweet_hashtags where tweet_id = tweet.id and tag = any (:tags::text[]) offset 0)"
        source, key, rule = TWEETS, KEY, (self.rule, of_rule)
        if self.tags:
            one_tag = len(self.tags) == 1
            chosen = "tag = :tag::text" if one_tag else "tag = any (:tags::text[])"
            distinct = "" if one_tag else "distinct "
            source = LISTED.format(f"{distinct}tweet_id from twitter.tweet_hashtags where {chosen}")
            key = "listed.tweet_id"
        elif self.rule is not None:
            source = LISTED.format("tweet_id from twitter.tweet_rules where rule = :rule")
            key, rule = "listed.tweet_id", (None, of_rule)
        filters = self._filters([rule, (self.below, f"{key} < :below::bigint")])
        of_candidates = self._filters([(self.tags, tagged), (self.rule, of_rule)])
        text = text.replace(TWEETS, source).replace(KEY, key)
        return text.replace("/* filters */", filters).replace("/* candidate filters */", of_candidates)

    def _filters(self, conditions: Iterable[tuple[object, str]]) -> str:
        one_author = self.author_ids is not None and len(self.author_ids) == 1
        author = "= :author_id::bigint" if one_author else "= any (:author_ids::bigint[])"
        every = [
            *conditions,
            (self.author_ids, f"tweet.author_id {author}"),
            (self.since, "tweet.created_at >= :since::timestamptz"),
            (self.until, "tweet.created_at < :until::timestamptz"),
            (self.ids, "tweet.id = any (:ids::bigint[])"),
        ]
        return "\n        ".join(f"and {condition}" for value, condition in every if value is not None)


def tag_spellings(tag: str, others: Sequence[str] = ()) -> list[str]:
    """The keys under which a hashtag in normal form may be stored."""
    return list(dict.fromkeys((tag, escaped(tag), *others)))


@cache
def statement(name: str) -> str:
    """The text of search.sql or unfilled.sql."""
    return resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8")


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


def for_psycopg(text: str) -> bytes:
    """A statement with `:names` as psycopg takes it."""
    return places(text.replace("%", "%%"), lambda name: f"%({name})s").encode()


def resolve(connection: psycopg.Connection, author: str | None, hashtag: str | None) -> tuple[Any, Any]:
    """The ids of the accounts of a name and the spellings of a hashtag, both in normal form; None for None."""
    if author is None and hashtag is None:
        return None, None
    ((ids, others),) = connection.execute(
        for_psycopg(RESOLVE), {"author": author, "hashtag": hashtag}
    ).fetchall()
    return (
        None if author is None else ids,
        None if hashtag is None else tag_spellings(hashtag, others),
    )


def listed(
    connection: psycopg.Connection, text: str, conditions: Conditions, more: Mapping[str, Any]
) -> list[Any]:
    """The rows of a statement that lists tweets, by descending id. Never writes."""
    with connection.transaction():
        if conditions.are_in_order:
            connection.execute(IN_ORDER)
        statement = for_psycopg(conditions.newest_first(text))
        return connection.execute(statement, {**conditions.values(), **more}).fetchall()


def find(connection: psycopg.Connection, words: Words, conditions: Conditions, limit: int) -> Page:
    """A page of the tweets that have all of the words and fulfil the conditions. Never writes."""
    asked = words.values(limit)
    ((indexed, below),) = listed(connection, statement("search"), conditions, asked)
    unfilled: list[Any] = []
    if below is not None:
        unfilled = listed(connection, statement("unfilled"), conditions, asked | {"unfilled_below": below})
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


def fill_for(dsn: str, seconds: float) -> bool:
    """Fill what can be filled in about that time; whether nothing is left. `dsn` is of pipeline_loader."""
    deadline = time.monotonic() + seconds
    with psycopg.connect(dsn, autocommit=True, application_name="search-index") as connection:
        if unfilled_below(connection) is None:
            return True
        fill_search_tags(connection)
        while fill_search_columns(connection) is not None:
            if time.monotonic() > deadline:
                return False
    return True
