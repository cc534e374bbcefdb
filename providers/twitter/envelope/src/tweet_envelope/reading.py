"""Reads messages, and says what can be relied on in one from another writer.

There are two depths: the head, which is enough to file a message under its id, and the envelope, whose objects stay
bytes. Of X's own fields, only the tweet's id is relied on here.
"""

from typing import Any

import msgspec

from tweet_envelope.json_text import NotJson, parse_carefully
from tweet_envelope.schema import ENVELOPE_VERSION, KINDS


class NotAnEnvelope(ValueError):
    """Not an envelope, or one of another version; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TweetHead(msgspec.Struct):
    """The ids of a tweet, of any type, so that an error is about the id and not about the message."""

    id: Any
    author_id: Any = None


class StatedProvenance(msgspec.Struct):
    """Where an observation comes from, as far as the message states it."""

    rule: str | None = None
    source: str | None = None
    request_id: str | None = None
    observed_at: str | None = None


class Head(msgspec.Struct):
    """What a message is filed under."""

    envelope_version: int
    kind: str
    provenance: StatedProvenance
    tweet: TweetHead | None = None


class Requested(msgspec.Struct, frozen=True):
    """Which fields were requested from X; null in an envelope means unknown, so that presence is the only proof."""

    tweet_fields: frozenset[str] = frozenset()
    user_fields: frozenset[str] = frozenset()


class Includes(msgspec.Struct):
    """Included objects as bytes; tweets and posts are the same thing in X's two vocabularies.

    Media, places and polls are whole lists as they stand: nothing is loaded of them, so nothing is checked here.
    """

    users: list[msgspec.Raw] | None = None
    tweets: list[msgspec.Raw] | None = None
    posts: list[msgspec.Raw] | None = None
    media: msgspec.Raw = msgspec.Raw(b"")
    places: msgspec.Raw = msgspec.Raw(b"")
    polls: msgspec.Raw = msgspec.Raw(b"")


class Envelope(msgspec.Struct):
    """A message with its objects as bytes."""

    envelope_version: int
    kind: str
    tweet: msgspec.Raw = msgspec.Raw(b"")
    includes: Includes | None = None
    requested: Requested | None = None
    provenance: StatedProvenance = msgspec.field(default_factory=StatedProvenance)

    @property
    def has_tweet(self) -> bool:
        """Whether it contains a tweet; null does not count as one."""
        return bytes(self.tweet) not in {b"", b"null"}


class _Sourced(msgspec.Struct):
    provenance: StatedProvenance


decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_head = msgspec.json.Decoder(Head).decode
_decode_source = msgspec.json.Decoder(_Sourced).decode


def read_head(value: bytes) -> Head:
    """The head of a message. Raises NotAnEnvelope: not_json, nesting, shape, version."""
    try:
        try:
            head = _decode_head(value)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, RecursionError):
            head = msgspec.convert(parse_carefully(value)[0], Head)
    except msgspec.ValidationError as error:
        raise NotAnEnvelope("shape", str(error)) from None
    except NotJson as why:
        raise NotAnEnvelope(why.reason, str(why)) from None
    check(head.envelope_version, head.kind, has_tweet=head.tweet is not None)
    return head


def check(version: int, kind: str, *, has_tweet: bool) -> None:
    """Raise NotAnEnvelope (version, shape) for another version, or for a kind that does not fit the contents."""
    if version != ENVELOPE_VERSION:
        raise NotAnEnvelope(
            "version", f"envelope_version {version} is not {ENVELOPE_VERSION}; upgrade the reader"
        )
    if kind not in KINDS:
        raise NotAnEnvelope("shape", f"kind: {kind[:40]!r} is neither 'tweet' nor 'includes'")
    if has_tweet != (kind == "tweet"):
        what = "missing in" if kind == "tweet" else "not expected in"
        raise NotAnEnvelope("shape", f"tweet: {what} an envelope of kind {kind!r}")


def source_of(value: bytes | None) -> str | None:
    """The source that a message states even if it is not an envelope; None if it cannot be read."""
    try:
        return _decode_source(value or b"").provenance.source
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
