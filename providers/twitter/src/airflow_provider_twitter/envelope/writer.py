"""From a page to Kafka messages: one envelope a tweet, with the included objects that this tweet needs.

A message must be readable alone, in any order, after its page is forgotten. So each envelope carries
everything reachable from its tweet (author, mentioned users, media, polls, places, referenced tweets and
their authors), and what no tweet of the page reaches travels in an envelope of its own. All objects are
copied byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec

from airflow_provider_twitter import __version__
from airflow_provider_twitter.client.fields import Requested
from airflow_provider_twitter.client.pages import Item, Page
from airflow_provider_twitter.envelope.references import Reference, keys_of_included, references_of

ENVELOPE_VERSION = 1
COLLECTOR = f"airflow-provider-twitter/{__version__}"
LEFTOVER_BYTES = 256 * 1024

Source = Literal["search", "timeline", "lookup", "import", "stream"]


class Message(NamedTuple):
    """Key and value of one Kafka message."""

    key: bytes
    value: bytes


class _Provenance(msgspec.Struct, frozen=True):
    rule: str | None
    source: Source
    endpoint: str
    request_id: str
    observed_at: str
    collector: str


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    envelope_version: int = msgspec.field()
    kind: Literal["tweet", "includes"] = msgspec.field()
    includes: dict[str, list[msgspec.Raw]] = msgspec.field()
    requested: Requested | None = msgspec.field()
    provenance: _Provenance = msgspec.field()
    tweet: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    errors: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Included(NamedTuple):
    name: str
    item: Item
    position: int


def schema() -> dict[str, Any]:
    """The JSON Schema of envelope version 1."""
    text = files(__package__).joinpath("envelope_v1.schema.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])


def messages_of(page: Page, *, rule: str | None, source: Source) -> list[Message]:
    """One message for each tweet of the page, in X's order, then what no tweet needed.

    A tweet whose bytes are no JSON or whose id cannot be read becomes a message all the same, keyed by the
    request id, so that whoever reads it can put it aside with its bytes.
    """
    provenance = _Provenance(
        rule=rule,
        source=source,
        endpoint=page.endpoint,
        request_id=page.request_id,
        observed_at=_instant(page.observed_at),
        collector=COLLECTOR,
    )
    shelf = _Shelf(page)

    def message(key: str, kind: Literal["tweet", "includes"], parts: Mapping[str, Any]) -> Message:
        envelope = _Envelope(
            envelope_version=ENVELOPE_VERSION,
            kind=kind,
            requested=page.requested,
            provenance=provenance,
            **parts,
        )
        return Message(key.encode("ascii"), msgspec.json.encode(envelope))

    messages = []
    for tweet in page.data:
        included, errors = shelf.take_for(tweet)
        key = page.request_id if tweet.id is None else str(tweet.id)
        messages.append(message(key, "tweet", _parts(included, errors) | {"tweet": tweet.raw}))
    messages += [
        message(page.request_id, "includes", _parts(included, errors))
        for included, errors in shelf.left_over()
    ]
    return messages


class _Shelf:
    """The page's included objects and errors, and which of them some tweet has taken."""

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
        """All that can be reached from this tweet, in the page's order."""
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
        """What no tweet took, in parcels of bounded size; a parcel for itself for what may not be readable."""
        errors = [error for number, error in self._errors if number not in self._errors_taken]
        left = [included for included in self._included if included.position not in self._taken]
        parcel: list[_Included] = []
        size = 0
        for included in left:
            length = len(memoryview(included.item.raw))
            if not included.item.is_portable:
                yield [included], []
                continue
            if parcel and size + length > LEFTOVER_BYTES:
                yield parcel, []
                parcel, size = [], 0
            parcel.append(included)
            size += length
        portable_errors = [error for error in errors if error.is_portable]
        if parcel or portable_errors:
            yield parcel, portable_errors
        for error in errors:
            if not error.is_portable:
                yield [], [error]


def _parts(included: list[_Included], errors: list[Item]) -> dict[str, Any]:
    includes: dict[str, list[msgspec.Raw]] = {}
    for name, item, _ in included:
        includes.setdefault(name, []).append(item.raw)
    parts: dict[str, Any] = {"includes": includes}
    if errors:
        parts["errors"] = [error.raw for error in errors]
    return parts


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
