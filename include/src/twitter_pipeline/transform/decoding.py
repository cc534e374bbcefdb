"""Decode the bytes of an envelope into X's objects: a fast path for well-formed bytes, a careful one for the rest."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from tweet_envelope.json_text import NotJson, parse_carefully
from tweet_envelope.reading import Envelope, Includes, NotAnEnvelope, check, decode_envelope
from twitter_pipeline.transform import objects as x
from twitter_pipeline.transform.careful import Misfits, is_absent, read_struct
from twitter_pipeline.transform.engine import Drift, Unreadable
from twitter_pipeline.warehouse.model import KNOWN_FIELDS
from twitter_pipeline.warehouse.observations import Kind


class Decoded(NamedTuple):
    """One object of X: its struct, the bytes that its rank is derived from, and the fields that could not be read."""

    object: Any
    raw: bytes
    unread: set[str]


@dataclass(slots=True)
class Opened:
    """An envelope with decoded objects; `others` are the media, places and polls in it, by kind and id."""

    envelope: Envelope
    tweet: Decoded | None
    includes: list[Decoded]
    users: list[Decoded]
    others: list[tuple[Kind, str | int]]
    is_sanitized: bool = False


class _Other(msgspec.Struct):
    id: Any = None
    media_key: Any = None


_decode_other = msgspec.json.Decoder(_Other).decode
_decode_others = msgspec.json.Decoder(list[msgspec.Raw]).decode
_OTHERS: tuple[tuple[Literal["media", "places", "polls"], Kind], ...] = (
    ("media", "media"),
    ("places", "place"),
    ("polls", "poll"),
)


def open_envelope(payload: bytes, drift: Drift) -> Opened:
    """Decode an envelope and its objects; slowly only if the fast path cannot take the bytes. Raises Unreadable."""
    if b"\\u0000" in payload:
        return _open_carefully(payload, drift)
    try:
        envelope = decode_envelope(payload)
        inc = envelope.includes or Includes()
        opened = Opened(
            envelope,
            Decoded(x.decode_tweet(envelope.tweet), bytes(envelope.tweet), set())
            if envelope.has_tweet
            else None,
            [Decoded(x.decode_tweet(raw), bytes(raw), set()) for raw in inc.tweets or inc.posts or ()],
            [Decoded(x.decode_user(raw), bytes(raw), set()) for raw in inc.users or ()],
            _others(inc),
        )
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _open_carefully(payload, drift)
    _count_drift(envelope, drift)
    _check(envelope)
    return opened


def _others(includes: Includes) -> list[tuple[Kind, str | int]]:
    found = []
    for name, kind in _OTHERS:
        if not (objects := getattr(includes, name)):
            continue
        with suppress(
            msgspec.DecodeError, UnicodeDecodeError, RecursionError
        ):  # a list that cannot be read costs itself
            for raw in _decode_others(objects):
                if bytes(raw).lstrip().startswith(b"{"):
                    other = _decode_other(raw)
                    found.append((kind, other.media_key if kind == "media" else other.id))
    return _identified(found)


def _identified(found: Iterable[tuple[Kind, Any]]) -> list[tuple[Kind, str | int]]:
    """Those with a valid id."""
    return [
        (kind, x_id)
        for kind, x_id in found
        if isinstance(x_id, str | int) and not isinstance(x_id, bool) and x_id != ""
    ]


def _check(envelope: Envelope) -> None:
    try:
        check(envelope.envelope_version, envelope.kind, has_tweet=envelope.has_tweet)
    except NotAnEnvelope as why:
        raise Unreadable(why.reason, str(why)) from None


def _count_drift(envelope: Envelope, drift: Drift) -> None:
    if envelope.has_tweet:
        _count_unknown("tweet", x.decode_keys(envelope.tweet), drift)
    for raw in (envelope.includes.users if envelope.includes else None) or ():
        _count_unknown("user", x.decode_keys(raw), drift)


def _count_unknown(name: str, fields: Iterable[str], drift: Drift) -> None:
    known = KNOWN_FIELDS[name]
    if not known.issuperset(fields):
        drift.update((name, field[:100]) for field in set(fields) - known)


def _open_carefully(payload: bytes, drift: Drift) -> Opened:
    """Read bytes with NULs, lone surrogates or fields of the wrong type: clean them, and take what fits."""
    try:
        document, is_sanitized = parse_carefully(payload)
    except NotJson as why:
        raise Unreadable(why.reason, str(why)) from None
    if not isinstance(document, dict):
        raise Unreadable("shape", "an envelope is a JSON object")
    includes = document.pop("includes", None)
    tweet = document.pop("tweet", None)
    if is_absent(document.get("requested")):
        document.pop("requested", None)
    try:
        envelope = msgspec.convert(document, Envelope)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unreadable("shape", str(error)[:200]) from None
    if isinstance(tweet, dict):
        envelope.tweet = msgspec.Raw(b"{}")
    elif tweet is not None:
        raise Unreadable("shape", "tweet: not a JSON object")
    _check(envelope)
    if not isinstance(includes, dict):
        if not (is_absent(includes) or includes == ""):
            drift["envelope", "(unreadable includes)"] += 1
        includes = {}
    others = [
        (kind, value.get("media_key" if kind == "media" else "id"))
        for name, kind in _OTHERS
        for value in _listed(includes.get(name))
        if isinstance(value, dict)
    ]
    return Opened(
        envelope,
        None if tweet is None else _decoded(tweet, x.Tweet, "tweet", drift),
        _side_objects(includes.get("tweets") or includes.get("posts"), x.Tweet, "tweet", drift),
        _side_objects(includes.get("users"), x.User, "user", drift),
        _identified(others),
        is_sanitized,
    )


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else []


def _side_objects(values: Any, kind: Any, name: str, drift: Drift) -> list[Decoded]:
    if is_absent(values) or values == "":
        return []
    if not isinstance(values, list):
        drift["envelope", f"(unreadable {name}s)"] += 1
        return []
    objects = [value for value in values if isinstance(value, dict)]
    if dropped := len(values) - len(objects):
        drift[name, "(unreadable include)"] += dropped
    return [_decoded(value, kind, name, drift) for value in objects]


def _decoded(value: dict[str, Any], kind: Any, name: str, drift: Drift) -> Decoded:
    """Decode one object as a whole, or field by field if it does not fit."""
    misfits = Misfits()
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        found = read_struct(value, kind, misfits)
        found.id = value.get("id")  # unchanged: the reader of the id reports what is wrong with it
    drift.update(
        {(name, f"(unreadable {field})"): times for field, times in misfits.counted.items() if field != "id"}
    )
    _count_unknown(name, value, drift)
    return Decoded(found, json.dumps(value, sort_keys=True).encode(), misfits.unread)
