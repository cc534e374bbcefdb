"""Turns a page into Kafka messages: one envelope per tweet, with the included objects that the tweet needs.

A message must be readable on its own, in any order, after its page is forgotten. So each envelope carries everything
reachable from its tweet (author, mentioned users, media, polls, places, referenced tweets and their authors).
Whatever no tweet of the page reaches travels in a separate envelope. All objects are copied byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from tweet_envelope.pages import Item, Page
from tweet_envelope.references import Reference, keys_of_included, references_of
from tweet_envelope.schema import ENVELOPE_VERSION, Kind, Provenance

LEFTOVER_BYTES = 256 * 1024


class Message(NamedTuple):
    """Key and value of one Kafka message."""

    key: bytes
    value: bytes


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    envelope_version: int = msgspec.field()
    kind: Kind = msgspec.field()
    includes: dict[str, list[msgspec.Raw]] = msgspec.field()
    requested: Any = msgspec.field()
    provenance: Provenance = msgspec.field()
    tweet: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    errors: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    matching_rules: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Included(NamedTuple):
    name: str
    item: Item
    position: int


def envelopes_of(
    page: Page, provenance: Provenance, *, requested: Any = None, matching_rules: Sequence[Item] = ()
) -> Iterator[tuple[Message, Item | None]]:
    """One message for each tweet of the page, together with that tweet, in X's order; then what no tweet needed (None).

    `requested`: which fields were requested, in the schema's form; None if unknown. A tweet whose bytes are not JSON or
    whose id cannot be read still becomes a message, keyed by the request id, so that its reader can set it aside with
    its bytes.
    """
    request_key = provenance.request_id.encode("ascii")
    index = _IncludesIndex(page)

    def value(tweet: Item | None, included: Iterable[_Included], errors: list[Item]) -> bytes:
        includes: dict[str, list[msgspec.Raw]] = {}
        for name, item, _ in included:
            includes.setdefault(name, []).append(msgspec.Raw(item.raw))
        envelope = _Envelope(
            envelope_version=ENVELOPE_VERSION,
            kind="includes" if tweet is None else "tweet",
            includes=includes,
            requested=requested,
            provenance=provenance,
            tweet=msgspec.UNSET if tweet is None else msgspec.Raw(tweet.raw),
            errors=_raw(errors),
            matching_rules=msgspec.UNSET if tweet is None else _raw(matching_rules),
        )
        return msgspec.json.encode(envelope)

    for tweet in page.data:
        included, errors = index.take_for(tweet)
        key = request_key if tweet.id is None else str(tweet.id).encode("ascii")
        yield Message(key, value(tweet, included, errors)), tweet
    for included, errors in index.left_over():
        yield Message(request_key, value(None, included, errors)), None


def instant(moment: datetime) -> str:
    """A time in the form that envelopes use."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _raw(items: Sequence[Item]) -> list[msgspec.Raw] | msgspec.UnsetType:
    return [msgspec.Raw(item.raw) for item in items] if items else msgspec.UNSET


class _IncludesIndex:
    """A page's included objects and errors, indexed by the references to them, and which of them a tweet has taken."""

    def __init__(self, page: Page) -> None:
        self._included = [
            _Included(name, item, position)
            for position, (name, item) in enumerate(
                (name, item) for name, items in page.includes.items() for item in items
            )
        ]
        self._errors = list(enumerate(page.errors))
        self._by_reference: dict[Reference, list[_Included]] = {}
        for included in self._included:
            if included.item.value is not None and included.item.is_portable:
                for reference in keys_of_included(included.name, included.item.value):
                    self._by_reference.setdefault(reference, []).append(included)
        self._errors_by_key: dict[str, list[int]] = {}
        for number, error in self._errors:
            if error.is_portable:
                for field in ("resource_id", "value"):
                    if isinstance(key := (error.value or {}).get(field), str | int):
                        self._errors_by_key.setdefault(str(key).lower(), []).append(number)
        self._taken: set[int] = set()
        self._errors_taken: set[int] = set()

    def take_for(self, tweet: Item) -> tuple[list[_Included], list[Item]]:
        """Everything reachable from this tweet, in the page's order."""
        if tweet.value is None:
            return [], []
        found: dict[int, _Included] = {}
        named = references_of(tweet.value)
        pending = set(named)
        while pending:
            for included in self._by_reference.get(pending.pop(), ()):
                if included.position in found:
                    continue
                found[included.position] = included
                if included.name in ("tweets", "posts"):
                    further = references_of(included.item.value or {}) - named
                    named |= further
                    pending |= further
        keys = {key.lower() for _, key in named} | {str(tweet.id)}
        errors = sorted({number for key in keys for number in self._errors_by_key.get(key, ())})
        self._taken |= found.keys()
        self._errors_taken |= set(errors)
        return [found[position] for position in sorted(found)], [self._errors[n][1] for n in errors]

    def left_over(self) -> Iterator[tuple[list[_Included], list[Item]]]:
        """What no tweet took, in parcels of bounded size; anything that may be unreadable gets its own parcel."""
        errors = [error for number, error in self._errors if number not in self._errors_taken]
        left = [included for included in self._included if included.position not in self._taken]
        parcel: list[_Included] = []
        size = 0
        for included in left:
            if not included.item.is_portable:
                yield [included], []
                continue
            if parcel and size + len(included.item.raw) > LEFTOVER_BYTES:
                yield parcel, []
                parcel, size = [], 0
            parcel.append(included)
            size += len(included.item.raw)
        portable_errors = [error for error in errors if error.is_portable]
        if parcel or portable_errors:
            yield parcel, portable_errors
        for error in errors:
            if not error.is_portable:
                yield [], [error]
