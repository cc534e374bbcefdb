"""Questions to PostgreSQL as bodies of answers: JSON is made there, and goes out as it came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel

from twitter_pipeline.api.database import Database, statement
from twitter_pipeline.api.parameters import (
    CountFilters,
    HashtagFilters,
    TweetFilters,
    UserFilters,
    below,
    cursor_of,
)
from twitter_pipeline.api.problems import Problem
from twitter_pipeline.warehouse import search

USER_CONDITIONS = {
    "username": "and lower(account.username) = :username",
    "below": "and account.id < :below::bigint",
}


async def tweets(database: Database, asked: TweetFilters) -> bytes:
    """A page of tweets."""
    values = _values(asked) | {"below": below(asked.cursor, asked)}
    if asked.words is None:
        return await _page(database, "tweets", search.filters(values), values, asked, asked.limit)
    page = await _found(database, search.Words.of(asked.words.split()), values, asked.limit)
    values = {"ids": page.ids, "limit": len(page.ids)}
    row = await database.one(statement("tweets"), search.filters(values), values)
    next_cursor = None if page.next_below is None else cursor_of(page.next_below, asked)
    return _body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def _found(
    database: Database, words: search.Words, values: Mapping[str, Any], limit: int
) -> search.Page:
    """The ids of a page of a search by words: exactly what the command `search` finds."""
    filters, values = search.filters(values), {**values, **words.values(limit)}
    row = await database.one(search.statement("search"), filters, values)
    unfilled = []
    if row["unfilled_below"] is not None:
        values["unfilled_below"] = row["unfilled_below"]
        unfilled = [tuple(u) for u in await database.rows(search.statement("unfilled"), filters, values)]
    return search.page(row["ids"], unfilled, words, limit)


async def tweet(database: Database, tweet_id: int) -> bytes:
    """One tweet. Raises Problem 404 when it is not there."""
    return await _single(database, "tweets", search.CONDITIONS["id"], tweet_id, "tweet")


async def users(database: Database, asked: UserFilters) -> bytes:
    """A page of users."""
    values = {"username": asked.username, "below": below(asked.cursor, asked)}
    filters = "\n        ".join(text for name, text in USER_CONDITIONS.items() if values[name] is not None)
    return await _page(database, "users", filters, values, asked, asked.limit)


async def user(database: Database, user_id: int) -> bytes:
    """One user. Raises Problem 404 when it is not there."""
    return await _single(database, "users", "and account.id = :id::bigint", user_id, "user")


async def hashtags(database: Database, asked: HashtagFilters, now: datetime) -> bytes:
    """The hashtags most used in a window."""
    since, until = asked.bounds(now)
    values = {"since": since, "until": until, "limit": asked.limit}
    row = await database.one(statement("hashtags"), search.filters(values), values)
    return _body(row["body"], since=_time(since), until=_time(until))


async def counts(database: Database, asked: CountFilters, now: datetime) -> bytes:
    """Tweets by hour or day in a window."""
    since, until = asked.bounds(now)
    values = _values(asked) | {"since": since, "until": until, "granularity": asked.granularity}
    row = await database.one(statement("counts"), search.filters(values), values)
    return _body(row["body"], total=row["total"], since=_time(since), until=_time(until))


async def _page(
    database: Database, name: str, filters: str, values: Mapping[str, Any], asked: BaseModel, limit: int
) -> bytes:
    row = await database.one(statement(name), filters, {**values, "limit": limit})
    next_cursor = cursor_of(row["last_id"], asked) if row["found_count"] > limit else None
    return _body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def _single(database: Database, name: str, condition: str, wanted: int, what: str) -> bytes:
    values = {"id": wanted, "limit": 1}
    row = await database.one(statement(name), condition, values)
    if not row["shown_count"]:
        raise Problem(404, f"there is no {what} {wanted} here")
    return bytes(row["body"].encode()[1:-1])  # the only element of a list


def _values(asked: TweetFilters | CountFilters) -> dict[str, Any]:
    """What the conditions of a request need."""
    hashtags = None if asked.hashtag is None else search.hashtag_spellings(asked.hashtag)
    return {
        "author": asked.author,
        "hashtags": hashtags,
        "rule": asked.rule,
        "since": asked.since,
        "until": asked.until,
    }


def _body(data: str, **meta: str | int | None) -> bytes:
    """{"data": …, "meta": {…}} around JSON that is ready."""
    return b'{"data":' + data.encode() + b',"meta":' + orjson.dumps(meta) + b"}"


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
