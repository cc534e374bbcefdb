"""X's answers as frozen data, with every object kept as the bytes that X sent.

Bytes are kept verbatim because they are the record: a field that we do not know today must still be there tomorrow.
Each object is decoded separately, so a lone surrogate, a NaN or a nesting bomb in one tweet makes only that tweet
unreadable, not its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_twitter.client.fields import Requested
from airflow_provider_twitter.client.rate_limit import RateLimit
from tweet_envelope.pages import Item, read_leniently


@dataclass(frozen=True, slots=True)
class Page:
    """One answer from X and the request that led to it.

    `data` are the tweets (or users, buckets, usage) in X's order; `includes` maps X's own names (users,
    media, polls, places, tweets or posts, topics) to objects; `errors` are X's partial errors. `params` are
    the query parameters as sent, with the path's id as `id`. `cost_usd` is what the answer cost according to the
    price list. `server_time` is the answer's own Date, or None.
    """

    endpoint: str
    params: Mapping[str, str]
    requested: Requested | None
    status: int
    request_id: str
    observed_at: datetime
    rate_limit: RateLimit | None
    cost_usd: Decimal
    data: tuple[Item, ...]
    includes: Mapping[str, tuple[Item, ...]]
    errors: tuple[Item, ...]
    meta: Mapping[str, Any]
    server_time: datetime | None = None

    @property
    def next_token(self) -> str | None:
        """X's token for the page after this one; None on the last page."""
        token = self.meta.get("next_token")
        return token if isinstance(token, str) and token else None


@dataclass(frozen=True, slots=True)
class Body:
    """The four parts of an answer's body, each of which may be empty.

    `meta` is None if the answer has no such object. `odd_data` describes `data` if it holds neither objects nor
    nothing; `problem` is the title and detail of a problem object.
    """

    data: tuple[Item, ...]
    includes: Mapping[str, tuple[Item, ...]]
    errors: tuple[Item, ...]
    meta: Mapping[str, Any] | None
    odd_data: str | None = None
    problem: str = ""


def parse_body(body: bytes) -> Body:
    """Split an answer without changing a byte of its objects. Raises ValueError if it is not a JSON object."""
    members = _members(body.removeprefix(b"\xef\xbb\xbf").strip())
    includes, data, odd_data = members.get("includes", b"{}"), members.get("data", b"[]"), None
    if data in (b"null", b"{}", b'""'):
        data = b"[]"
    elif not data.startswith((b"[", b"{")):
        data, odd_data = b"[]", f"{bytes(data[:20]).decode('ascii', 'replace')!r} instead of objects"
    words = (read_leniently(members.get(name, b"null"))[0] for name in ("title", "detail"))
    return Body(
        data=tuple(map(Item.of, _objects(data))),
        includes={
            name: tuple(map(Item.of, _objects(objects)))
            for name, objects in (_members(includes) if includes.startswith(b"{") else {}).items()
        },
        errors=tuple(map(Item.of, _objects(members.get("errors", b"[]")))),
        meta=Item.of(members.get("meta", b"null")).value,
        odd_data=odd_data,
        problem=": ".join(word for word in words if isinstance(word, str)),
    )


_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_elements = msgspec.json.Decoder(list[msgspec.Raw])


def _members(document: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(raw) for name, raw in _raw_members.decode(document).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {str(read_leniently(name)[0]): value for name, value in _split(document, b"{")}


def _objects(document: bytes) -> list[bytes]:
    """The elements of an array; a single object counts as an array of one (single lookups, usage)."""
    if document == b"null":
        return []
    if not document.startswith(b"["):
        return [document]
    try:
        return [bytes(raw) for raw in _raw_elements.decode(document)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [element for _, element in _split(document, b"[")]


_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]', re.DOTALL)


def _split(document: bytes, opening: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split an array or object into (name, value) by its brackets and strings only, whatever is inside.

    The strict parser rejects the whole document for one odd value; this one looks only at the outermost level.
    """
    if not document.startswith(opening):
        raise ValueError(f"expected a JSON {'object' if opening == b'{' else 'array'}")
    depth, start, name = 0, 0, b""
    for token in _TOKEN.finditer(document):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
            if depth == 1:
                start = token.end()
        elif mark in (b"}", b"]", b",") and depth == 1:
            if value := document[start : token.start()].strip():
                yield name, value
            start, name = token.end(), b""
            if mark != b",":
                if document[token.end() :].strip():
                    raise ValueError("extra text after the JSON document")
                return
        elif mark == b":" and depth == 1 and opening == b"{":
            name, start = document[start : token.start()].strip(), token.end()
        elif mark in (b"}", b"]"):
            depth -= 1
    raise ValueError("the JSON document ends too early")
