"""A page of tweets and one object of it, from any origin: X's answer, a line of its stream, an archive.

Bytes are kept verbatim because they are the record: a field that we do not know today must still be there tomorrow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import msgspec

from tweet_envelope.ids import lenient_id


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a page: its bytes as received, and what could be read from them.

    `value` is None if no reading makes the bytes a JSON object. `is_portable` says that they are JSON and so can be
    embedded in another document without breaking it.
    """

    raw: bytes
    value: Mapping[str, Any] | None = field(repr=False)
    is_portable: bool = True

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Read one object: strictly if possible, otherwise leniently (surrogates, NaN, bad UTF-8)."""
        value, is_portable = read_leniently(raw)
        return cls(raw, value if isinstance(value, dict) else None, is_portable)

    @property
    def id(self) -> int | None:
        """The object's id as a 63-bit number; None if it is missing or not an id."""
        return None if self.value is None else lenient_id(self.value.get("id"))


class Page(Protocol):
    """What envelopes are made from; `includes` has X's own names (users, media, polls, places, tweets or posts, ...)."""

    @property
    def data(self) -> Sequence[Item]: ...

    @property
    def includes(self) -> Mapping[str, Sequence[Item]]: ...

    @property
    def errors(self) -> Sequence[Item]: ...


def read_leniently(document: bytes) -> tuple[Any, bool]:
    """The value of these bytes by the most forgiving reading, and whether they are JSON at all."""
    try:
        return msgspec.json.decode(document), True
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(document.decode(), parse_constant=_refuse_constant), True
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(document.decode("utf-8", "replace"), strict=False), False
    except (ValueError, RecursionError):
        return None, False


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
