"""What a Kafka message becomes in MongoDB.

`_id` is the coordinate (topic id, partition, zero-padded offset): it is the order in which transform reads, it makes a
redelivery a duplicate key, and it needs no second index (which would cost two thirds of the speed). The envelope is
stored as bytes, so whatever X or an archive put in it survives, including keys that look like operators and odd keys.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

from bson import Binary, Int64

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.ids import BadId, lenient_id, read_id
from tweet_envelope.instants import read_observed_at
from tweet_envelope.reading import NotAnEnvelope, read_head
from twitter_pipeline.stages import LAND


class Unlandable(ValueError):
    """A message that is not an envelope; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def raw_document(value: bytes | None, at: Coordinate, landed_at: datetime) -> dict[str, Any]:
    """The raw_tweets document for a message.

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
    try:
        head = read_head(value)
    except NotAnEnvelope as why:
        raise Unlandable(why.reason, str(why)) from None
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
        except BadId as bad:
            raise Unlandable("id_range", str(bad)) from None
        if tweet_id is None:
            raise Unlandable("shape", "tweet.id: missing")
        author_id = lenient_id(head.tweet.author_id)
        document["tweet_id"] = Int64(tweet_id)
        document["author_id"] = None if author_id is None else Int64(author_id)
    return document


def dead_letter(value: bytes | None, at: Coordinate, reason: str, detail: str) -> dict[str, Any]:
    """The dead_letters document for a message that could not be landed, with its bytes."""
    return {
        "_id": at.key,
        "stage": LAND.name,
        "reason": reason,
        "detail": detail[:500],
        "payload": None if value is None else Binary(value),
        "failed_at": datetime.now(UTC),
    }


def _without_nul(text: str | None) -> str | None:
    return text.replace("\x00", "") if text else text
