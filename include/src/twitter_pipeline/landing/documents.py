"""What a Kafka message becomes in MongoDB.

`_id` is the coordinate (topic id, partition, zero-padded offset): it is the order in which transform reads, it
makes a redelivery a duplicate key, and it needs no second index (which would cost two thirds of the speed). The
envelope is kept as its bytes: whatever X or an archive put in it survives, operators and odd keys included.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from bson import Binary, Int64

from twitter_pipeline.transform.values import (
    BadValue,
    NotJson,
    lenient_id,
    parse_carefully,
    read_id,
    read_observed_at,
)


class Unlandable(ValueError):
    """A message that is no envelope; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _TweetHead(msgspec.Struct):
    id: Any  # of any type, so that the reason of a dead letter is the id and not its shape
    author_id: Any = None


class _Provenance(msgspec.Struct):
    rule: str | None = None
    source: str | None = None
    request_id: str | None = None
    observed_at: str | None = None


class _Head(msgspec.Struct):
    envelope_version: int
    kind: str
    provenance: _Provenance
    tweet: _TweetHead | None = None


class _Sourced(msgspec.Struct):
    provenance: _Provenance


_decode = msgspec.json.Decoder(_Head).decode
_decode_source = msgspec.json.Decoder(_Sourced).decode
SUPPORTED_VERSION = 1


@dataclass(frozen=True)
class Coordinate:
    """Where a message lies in Kafka; `key` is the `_id` of its document."""

    topic_id: str
    partition: int
    offset: int

    @property
    def key(self) -> str:
        return f"{self.topic_id}/{self.partition:05d}/{self.offset:019d}"


def offset_of(key: str) -> int:
    """The offset inside a document's `_id`."""
    return int(key.rsplit("/", 1)[1])


def raw_document(value: bytes | None, at: Coordinate, landed_at: datetime) -> dict[str, Any]:
    """The raw_tweets document of a message.

    Raises Unlandable: null_message, empty, not_utf8, not_json, nesting, shape, version, id_range.
    """
    if value is None:
        raise Unlandable("null_message", "a message without a value (Kafka tombstone)")
    if not value.strip():
        raise Unlandable("empty", "an empty message")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise Unlandable("not_utf8", str(error)) from None
    head = _head(value)
    if head.envelope_version != SUPPORTED_VERSION:
        raise Unlandable("version", f"envelope_version {head.envelope_version} is not {SUPPORTED_VERSION}")
    if head.kind not in {"tweet", "includes"} or (head.kind == "tweet") != (head.tweet is not None):
        raise Unlandable("shape", f"kind {head.kind[:40]!r} does not go with its contents")
    document: dict[str, Any] = {
        "_id": at.key,
        "kind": head.kind,
        "rule": _without_nul(head.provenance.rule),
        "source": _without_nul(head.provenance.source),
        "request_id": _without_nul(head.provenance.request_id),
        "observed_at": read_observed_at(head.provenance.observed_at, landed_at),
        "landed_at": landed_at,
        "envelope": Binary(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    if head.tweet is not None:
        try:
            tweet_id = read_id(head.tweet.id, "tweet.id")
        except BadValue as bad:
            raise Unlandable("id_range", str(bad)) from None
        if tweet_id is None:
            raise Unlandable("shape", "tweet.id: missing")
        author_id = lenient_id(head.tweet.author_id)
        document["tweet_id"] = Int64(tweet_id)
        document["author_id"] = None if author_id is None else Int64(author_id)
    return document


def _head(value: bytes) -> _Head:
    """What landing must know of an envelope; the careful way for what the fast decoder does not take."""
    try:
        try:
            return _decode(value)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, RecursionError):
            return msgspec.convert(parse_carefully(value)[0], _Head)
    except msgspec.ValidationError as error:
        raise Unlandable("shape", str(error)) from None
    except NotJson as why:
        raise Unlandable(why.reason, str(why)) from None


def source_of(value: bytes | None) -> str | None:
    """What a message that could not be landed says of its source; None: nothing that can be read."""
    try:
        return _decode_source(value or b"").provenance.source
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def dead_letter(value: bytes | None, at: Coordinate, reason: str, detail: str) -> dict[str, Any]:
    """The dead_letters document of a message that could not be landed, with its bytes."""
    return {
        "_id": at.key,
        "stage": "landing",
        "reason": reason,
        "detail": detail[:500],
        "payload": None if value is None else Binary(value),
        "failed_at": datetime.now(UTC),
    }


def _without_nul(text: str | None) -> str | None:
    return text.replace("\x00", "") if text else text
