"""Questions to PostgreSQL as bodies of answers: JSON is made there, and goes out as it came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

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
    conditions = await _conditions(database, asked, below=below(asked.cursor, asked))
    if asked.words is None:
        text, values = conditions.newest_first(statement("tweets")), conditions.values()
        return await _page(database, text, values, asked, in_order=conditions.are_in_order)
    page = await _found(database, search.Words.of(asked.words.split()), conditions, asked.limit)
    chosen = search.Conditions(ids=page.ids)
    row = await database.one(
        chosen.newest_first(statement("tweets")), chosen.values() | {"limit": len(page.ids)}
    )
    next_cursor = None if page.next_below is None else cursor_of(page.next_below, asked)
    return _body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def _found(
    database: Database, words: search.Words, conditions: search.Conditions, limit: int
) -> search.Page:
    """The ids of a page of a search by words: exactly what the command `search` finds."""
    values = conditions.values() | words.values(limit)
    in_order = conditions.are_in_order
    text = conditions.newest_first(search.statement("search"))
    row = await database.one(text, values, in_order=in_order)
    unfilled = []
    if row["unfilled_below"] is not None:
        values["unfilled_below"] = row["unfilled_below"]
        rest = conditions.newest_first(search.statement("unfilled"))
        unfilled = [tuple(row) for row in await database.rows(rest, values, in_order=in_order)]
    return search.page(row["ids"], unfilled, words, limit)


async def _conditions(
    database: Database, asked: TweetFilters | CountFilters, **window: Any
) -> search.Conditions:
    """What a request asks for, with its names resolved; `window` goes before the request's own."""
    author_ids = tags = None
    if asked.author is not None or asked.hashtag is not None:
        row = await database.one(search.RESOLVE, {"author": asked.author, "hashtag": asked.hashtag})
        author_ids = None if asked.author is None else row["author_ids"]
        tags = None if asked.hashtag is None else search.tag_spellings(asked.hashtag, row["other_tags"])
    given = {"rule": asked.rule, "since": asked.since, "until": asked.until} | window
    return search.Conditions(author_ids, tags, **given)


async def tweet(database: Database, tweet_id: int) -> bytes:
    """One tweet. Raises Problem 404 when it is not there."""
    conditions = search.Conditions(ids=[tweet_id])
    return await _single(
        database, conditions.newest_first(statement("tweets")), conditions.values(), "tweet", tweet_id
    )


async def users(database: Database, asked: UserFilters) -> bytes:
    """A page of users."""
    values = {"username": asked.username, "below": below(asked.cursor, asked)}
    filters = "\n        ".join(text for name, text in USER_CONDITIONS.items() if values[name] is not None)
    return await _page(database, _filtered("users", filters), values, asked)


async def user(database: Database, user_id: int) -> bytes:
    """One user. Raises Problem 404 when it is not there."""
    text = _filtered("users", "and account.id = :id::bigint")
    return await _single(database, text, {"id": user_id}, "user", user_id)


async def hashtags(database: Database, asked: HashtagFilters, now: datetime) -> bytes:
    """The hashtags most used in a window."""
    since, until = asked.bounds(now)
    conditions = search.Conditions(since=since, until=until)
    text = conditions.over_a_window(statement("hashtags"))
    row = await database.one(text, conditions.values() | {"limit": asked.limit})
    return _body(row["body"], since=_time(since), until=_time(until))


async def counts(database: Database, asked: CountFilters, now: datetime) -> bytes:
    """Tweets by hour or day in a window."""
    since, until = asked.bounds(now)
    conditions = await _conditions(database, asked, since=since, until=until)
    text = conditions.over_a_window(statement("counts"))
    row = await database.one(text, conditions.values() | {"granularity": asked.granularity})
    return _body(row["body"], total=row["total"], since=_time(since), until=_time(until))


async def _page(
    database: Database,
    text: str,
    values: Mapping[str, Any],
    asked: TweetFilters | UserFilters,
    *,
    in_order: bool = False,
) -> bytes:
    row = await database.one(text, {**values, "limit": asked.limit}, in_order=in_order)
    next_cursor = cursor_of(row["last_id"], asked) if row["found_count"] > asked.limit else None
    return _body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def _single(database: Database, text: str, values: Mapping[str, Any], what: str, wanted: int) -> bytes:
    row = await database.one(text, {**values, "limit": 1})
    if not row["shown_count"]:
        raise Problem(404, f"there is no {what} {wanted} here")
    return bytes(row["body"].encode()[1:-1])  # the only element of a list


def _filtered(name: str, filters: str) -> str:
    return statement(name).replace("/* filters */", filters)


def _body(data: str, **meta: str | int | None) -> bytes:
    """{"data": …, "meta": {…}} around JSON that is ready."""
    return b'{"data":' + data.encode() + b',"meta":' + orjson.dumps(meta) + b"}"


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
