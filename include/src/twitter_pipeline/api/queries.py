"""Questions to PostgreSQL as bodies of answers: JSON is made there, and goes out as it came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel

from twitter_pipeline.api.database import Database
from twitter_pipeline.api.parameters import (
    CountFilters,
    HashtagFilters,
    TweetFilters,
    UserFilters,
    below,
    cursor_of,
    patterns,
)
from twitter_pipeline.api.problems import Problem

CONDITIONS = {
    "author": "and tweet.author_id in (select id from twitter.users where lower(username) = :author)",
    "hashtag": "and exists (select from twitter.tweet_hashtags where tweet_id = tweet.id and tag = :hashtag)",
    "rule": "and exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = :rule)",
    "words": "and coalesce(tweet.note_text, tweet.text) ilike all (:patterns::text[])",
    "since": "and tweet.created_at >= :since::timestamptz",
    "until": "and tweet.created_at < :until::timestamptz",
    "below": "and tweet.id < :below::bigint",
    "id": "and tweet.id = :id::bigint",
}
USER_CONDITIONS = {
    "username": "and lower(account.username) = :username",
    "below": "and account.id < :below::bigint",
    "id": "and account.id = :id::bigint",
}


async def tweets(database: Database, asked: TweetFilters) -> bytes:
    """A page of tweets."""
    values = asked.model_dump(exclude={"cursor", "limit"}, exclude_none=True)
    values["below"] = below(asked.cursor, asked)
    if asked.words is not None:
        values["patterns"] = patterns(asked.words)
    return await _page(database, "tweets", CONDITIONS, values, asked, asked.limit)


async def tweet(database: Database, tweet_id: int) -> bytes:
    """One tweet. Raises Problem 404 when it is not there."""
    return await _single(database, "tweets", CONDITIONS, tweet_id, "tweet")


async def users(database: Database, asked: UserFilters) -> bytes:
    """A page of users."""
    values = {"username": asked.username, "below": below(asked.cursor, asked)}
    return await _page(database, "users", USER_CONDITIONS, values, asked, asked.limit)


async def user(database: Database, user_id: int) -> bytes:
    """One user. Raises Problem 404 when it is not there."""
    return await _single(database, "users", USER_CONDITIONS, user_id, "user")


async def hashtags(database: Database, asked: HashtagFilters, now: datetime) -> bytes:
    """The hashtags most used in a window."""
    since, until = asked.bounds(now)
    values = {"since": since, "until": until, "limit": asked.limit}
    row = await database.one("hashtags", _filters(CONDITIONS, values), values)
    return _body(row["body"], since=_time(since), until=_time(until))


async def counts(database: Database, asked: CountFilters, now: datetime) -> bytes:
    """Tweets by hour or day in a window."""
    since, until = asked.bounds(now)
    values = asked.model_dump(exclude={"since", "until"}, exclude_none=True) | {
        "since": since,
        "until": until,
    }
    row = await database.one("counts", _filters(CONDITIONS, values), values)
    return _body(row["body"], total=row["total"], since=_time(since), until=_time(until))


async def _page(
    database: Database,
    name: str,
    conditions: Mapping[str, str],
    values: Mapping[str, Any],
    asked: BaseModel,
    limit: int,
) -> bytes:
    row = await database.one(name, _filters(conditions, values), {**values, "limit": limit})
    next_cursor = cursor_of(row["last_id"], asked) if row["found_count"] > limit else None
    return _body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def _single(
    database: Database, name: str, conditions: Mapping[str, str], wanted: int, what: str
) -> bytes:
    values = {"id": wanted, "limit": 1}
    row = await database.one(name, _filters(conditions, values), values)
    if not row["shown_count"]:
        raise Problem(404, f"there is no {what} {wanted} here")
    return bytes(row["body"].encode()[1:-1])  # the only element of a list


def _filters(conditions: Mapping[str, str], values: Mapping[str, Any]) -> str:
    return "\n        ".join(text for name, text in conditions.items() if values.get(name) is not None)


def _body(data: str, **meta: str | int | None) -> bytes:
    """{"data": …, "meta": {…}} around JSON that is ready."""
    return b'{"data":' + data.encode() + b',"meta":' + orjson.dumps(meta) + b"}"


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
