"""Where a list continues: a cursor is the last id of a page, bound to the filters of the list."""

import hashlib
import re

from pydantic import BaseModel

from tweet_envelope.ids import LARGEST_ID
from twitter_pipeline.api.problems import Problem

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,18})\.([0-9a-f]{8})", re.ASCII)


def cursor_of(last_id: int, filters: BaseModel) -> str:
    """The cursor for the next page with these filters, which begins below `last_id`."""
    return f"{last_id}.{_digest(filters)}"


def decode_cursor(cursor: str | None, filters: BaseModel) -> int | None:
    """The id in a cursor. Raises Problem 400 if the cursor is invalid or belongs to other filters."""
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[1]) > LARGEST_ID:
        raise Problem(400, "cursor: not a cursor returned by this API")
    if match[2] != _digest(filters):
        raise Problem(400, "cursor: it belongs to other filters; start without a cursor")
    return int(match[1])


def _digest(filters: BaseModel) -> str:
    asked = filters.model_dump_json(exclude={"cursor", "limit"})
    return hashlib.blake2s(asked.encode(), digest_size=4).hexdigest()
