"""How tweets are found by their words: one set of statements for the API and the commands.

A word search never scans all tweets: it looks at a few thousand of the newest, which contain common words, and then
queries the trigram index. Tweets loaded by an older version are in that index once `search-index fill` has reached
them; until then a few thousand of them are compared one by one, and the answer says where to continue.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from twitter_pipeline.serving.conditions import RESOLVE, Conditions
from twitter_pipeline.serving.selection import Selection
from twitter_pipeline.serving.statements import IN_ORDER, for_psycopg, statement
from twitter_pipeline.text import like_patterns, searchable, trigram_query

WALKED = 2_000
EXAMINED = 5_000


@dataclass(frozen=True)
class Words:
    """Words in searchable form, and the values with which PostgreSQL is queried for them."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, typed: Iterable[str]) -> "Words":
        """From what people typed, one text per word (or phrase); empty texts are ignored."""
        return cls(tuple(word for text in typed if (word := searchable(text))))

    def __bool__(self) -> bool:
        return bool(self.words)

    def values(self, limit: int) -> dict[str, Any]:
        """What search.sql and unfilled.sql need in addition to the values of the conditions."""
        return {
            "sought": trigram_query(self.words),
            "patterns": like_patterns(self.words),
            "walked": max(WALKED, 20 * limit),
            "examined": EXAMINED,
            "limit": limit,
        }

    def are_in(self, text: str | None) -> bool:
        """Whether a text, in the form X returned it, has all of the words."""
        if text is None:
            return False
        compared = searchable(text)
        return all(word in compared for word in self.words)


@dataclass(frozen=True)
class Page:
    """Ids, newest first, and the id below which the next page begins; None if there is no next page.

    While texts are being filled, a page may have fewer ids than requested, or none, and still have a next page.
    """

    ids: list[int]
    next_below: int | None


def page(
    indexed: Sequence[int], unfilled: Sequence[tuple[int, str | None]], words: Words, limit: int
) -> Page:
    """Combine the results of search.sql and unfilled.sql."""
    compared = [tweet_id for tweet_id, text in unfilled if words.are_in(text)]
    found = sorted({*indexed, *compared}, reverse=True)
    reached = unfilled[-1][0] if len(unfilled) == EXAMINED else None
    if reached is not None:
        found = [tweet_id for tweet_id in found if tweet_id >= reached]
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1])
    return Page(found, reached)


def resolved(connection: psycopg.Connection, selection: Selection) -> Conditions:
    """The conditions of a selection, with its names resolved. Never writes."""
    if selection.author is None and selection.hashtag is None:
        return Conditions.of(selection)
    names = {"author": selection.author, "hashtag": selection.hashtag}
    ((author_ids, other_tags),) = connection.execute(for_psycopg(RESOLVE), names).fetchall()
    return Conditions.of(selection, author_ids, other_tags)


def listed(
    connection: psycopg.Connection, text: str, conditions: Conditions, more: Mapping[str, Any]
) -> list[Any]:
    """The rows of a statement that lists tweets, by descending id. Never writes."""
    with connection.transaction():
        if conditions.are_in_order:
            connection.execute(IN_ORDER)
        query = for_psycopg(conditions.newest_first(text))
        return connection.execute(query, {**conditions.values(), **more}).fetchall()


def find(connection: psycopg.Connection, words: Words, conditions: Conditions, limit: int) -> Page:
    """A page of the tweets that have all of the words and meet the conditions. Never writes."""
    asked = words.values(limit)
    ((indexed, below),) = listed(connection, statement("search"), conditions, asked)
    unfilled: list[Any] = []
    if below is not None:
        unfilled = listed(connection, statement("unfilled"), conditions, asked | {"unfilled_below": below})
    return page(indexed, unfilled, words, limit)
