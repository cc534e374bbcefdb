"""Searches the newest tweets by words, account, hashtag or rule."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from twitter_pipeline.serving import search
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.selection import Selection
from twitter_pipeline.serving.statements import statement

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Tweet:
    """One tweet as shown; None means unknown."""

    id: int
    created_at: datetime | None
    author_id: int | None
    username: str | None
    text: str | None
    retweet_count: int | None
    reply_count: int | None
    like_count: int | None
    quote_count: int | None

    def as_json(self) -> dict[str, object]:
        """Ids as strings, the time in RFC 3339 (UTC)."""
        created_at = self.created_at and f"{self.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        return {
            "id": str(self.id),
            "created_at": created_at,
            "author_id": None if self.author_id is None else str(self.author_id),
            "author_username": self.username,
            "text": self.text,
            "retweet_count": self.retweet_count,
            "reply_count": self.reply_count,
            "like_count": self.like_count,
            "quote_count": self.quote_count,
        }


@dataclass(frozen=True)
class Found:
    """Tweets, newest first. `next_before` continues where this ended; None if there are no more."""

    tweets: list[Tweet]
    next_before: int | None


def search_tweets(connection: psycopg.Connection, selection: Selection, limit: int) -> Found:
    """Search the collected tweets. Never writes; a page costs the same wherever it begins."""
    conditions = search.resolved(connection, selection)
    words = search.Words.of(selection.words)
    if not words:
        rows = _tweets(connection, conditions, limit + 1)
        tweets = rows[:limit]
        return Found(tweets, tweets[-1].id if len(rows) > limit else None)
    found: list[int] = []
    while True:
        page = search.find(connection, words, conditions, limit - len(found))
        found += page.ids
        if page.next_below is None or len(found) == limit:
            return Found(_tweets(connection, Conditions(ids=found), limit), page.next_below)
        # the index is being filled: the page was shorter than requested
        conditions = conditions.going_on_below(page.next_below)


def _tweets(connection: psycopg.Connection, conditions: Conditions, limit: int) -> list[Tweet]:
    return [
        Tweet(*row) for row in search.listed(connection, statement("found"), conditions, {"limit": limit})
    ]


def table(tweets: Sequence[Tweet], width: int | None) -> Iterator[str]:
    """Lines of time (UTC), account, id and text, cut to `width` columns (None: not cut).

    Texts are untrusted: characters that would move a terminal's cursor or change the writing direction are left out.
    """
    if not tweets:
        return
    names = [f"@{tweet.username}" if tweet.username else f"user {tweet.author_id or '?'}" for tweet in tweets]
    most = max(map(len, ("account", *names)))
    yield f"{'created (UTC)':<19}  {'account':<{most}}  {'id':<19}  text"
    for tweet, name in zip(tweets, names, strict=True):
        created = f"{tweet.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if tweet.created_at else "?"
        line = f"{created:<19}  {printable(name):<{most}}  {tweet.id:<19}  {printable(tweet.text or '')}"
        yield line if width is None else _cut(line, width)


def printable(text: str) -> str:
    """The text on one line, without control characters and direction changes."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text if c not in BIDI)
    return " ".join(kept.split())


def _cut(line: str, width: int) -> str:
    used = 0
    for position, character in enumerate(line):
        if not unicodedata.combining(character):
            used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width - 1:
            return line[:position] + "…"
    return line
