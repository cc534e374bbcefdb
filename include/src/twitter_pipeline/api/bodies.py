"""Response bodies: JSON that PostgreSQL makes, sent unchanged."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from fastapi import Response

from twitter_pipeline.api.database import Database
from twitter_pipeline.api.paging import cursor_of
from twitter_pipeline.api.parameters import TweetFilters, UserFilters
from twitter_pipeline.api.problems import Problem

NOBODY_KEEPS = {"Cache-Control": "no-store"}


def json_answer(body: bytes) -> Response:
    """Finished JSON as a response."""
    return Response(body, media_type="application/json", headers=NOBODY_KEEPS)


def body(data: str, **meta: str | int | None) -> bytes:
    """{"data": …, "meta": {…}} around finished JSON."""
    return b'{"data":' + data.encode() + b',"meta":' + orjson.dumps(meta) + b"}"


def time_text(instant: datetime) -> str:
    """An instant in the form used in `meta`."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def page(
    database: Database,
    text: str,
    values: Mapping[str, Any],
    asked: TweetFilters | UserFilters,
    *,
    in_order: bool = False,
) -> bytes:
    """A page of a list, with the cursor of the next page."""
    row = await database.one(text, {**values, "limit": asked.limit}, in_order=in_order)
    next_cursor = cursor_of(row["last_id"], asked) if row["found_count"] > asked.limit else None
    return body(row["body"], count=row["shown_count"], next_cursor=next_cursor)


async def single(database: Database, text: str, values: Mapping[str, Any], what: str, wanted: int) -> bytes:
    """One object. Raises Problem 404 if it is not there."""
    row = await database.one(text, {**values, "limit": 1})
    if not row["shown_count"]:
        raise Problem(404, f"there is no {what} {wanted} here")
    return bytes(row["body"].encode()[1:-1])  # the only element of a list
