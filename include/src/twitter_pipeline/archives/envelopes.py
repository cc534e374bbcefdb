"""From an archived page to Kafka messages: one self-contained envelope a tweet, version 1.

What the provider's writer makes of the same page, but for the provenance: what was requested is unknown, and the
time of the observation may be. The provider is not imported here; tests/agreement holds the two together. An
envelope of our own goes again as it was, except that it says that it was imported.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal, NamedTuple

import msgspec

from twitter_pipeline.archives.pages import ArchivedPage, Item
from twitter_pipeline.archives.references import Reference, keys_of_included, references_of
from twitter_pipeline.streaming.flood import IMPORT

COLLECTOR = f"twitter-pipeline/{version('twitter-pipeline')}"
ENDPOINT = "import"
LEFTOVER_BYTES = 256 * 1024


class Envelope(NamedTuple):
    """Key and value of one Kafka message, and the tweet in it (None: what no tweet of the page needed)."""

    key: bytes
    value: bytes
    tweet: Item | None


class _Provenance(msgspec.Struct, frozen=True):
    rule: str | None
    source: Literal["import"]
    endpoint: str
    request_id: str
    observed_at: str | None
    collector: str


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    envelope_version: Literal[1] = msgspec.field()
    kind: Literal["tweet", "includes"] = msgspec.field()
    includes: dict[str, list[msgspec.Raw]] = msgspec.field()
    requested: None = msgspec.field()
    provenance: _Provenance = msgspec.field()
    tweet: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    errors: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    matching_rules: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Included(NamedTuple):
    position: int
    name: str
    item: Item


def envelopes_of(
    page: ArchivedPage, *, request_id: str, rule: str | None, observed_at: datetime | None
) -> Iterator[Envelope]:
    """One envelope for each tweet of the page, in its order, then what no tweet needed, in bounded parcels."""
    if page.message is not None:
        yield _again(page, page.message, rule)
        return
    provenance = _Provenance(
        rule=rule,
        source=IMPORT,
        endpoint=ENDPOINT,
        request_id=request_id,
        observed_at=None if observed_at is None else f"{observed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        collector=COLLECTOR,
    )
    shelf = _Shelf(page)
    for tweet in page.data:
        included, errors = shelf.take_for(tweet)
        value = _encode(provenance, included, errors, tweet, page.matching_rules)
        yield Envelope(str(tweet.value["id"]).encode("ascii"), value, tweet)
    for included, errors in shelf.left_over():
        yield Envelope(request_id.encode("ascii"), _encode(provenance, included, errors, None, []), None)


def _again(page: ArchivedPage, message: Mapping[str, bytes], rule: str | None) -> Envelope:
    """An envelope with the provenance that it has. Its source is the import, so that no live stage counts it as X's."""
    members = {name: msgspec.Raw(raw) for name, raw in message.items()}
    if page.provenance:
        provenance = {
            **page.provenance,
            "rule": page.provenance.get("rule") or rule,
            "source": IMPORT,
            "observed_at": page.provenance.get("observed_at") if page.observed_at else None,
        }
        members["provenance"] = msgspec.Raw(json.dumps(provenance).encode())
    tweet = page.data[0] if page.data else None
    key = page.provenance.get("request_id") if tweet is None else tweet.value["id"]
    return Envelope(str(key).encode("ascii", "replace"), msgspec.json.encode(members), tweet)


def _encode(
    provenance: _Provenance,
    included: Iterable[_Included],
    errors: list[Item],
    tweet: Item | None,
    matching_rules: list[Item],
) -> bytes:
    includes: dict[str, list[msgspec.Raw]] = {}
    for _, name, item in included:
        includes.setdefault(name, []).append(msgspec.Raw(item.raw))
    message = _Message(
        envelope_version=1,
        kind="includes" if tweet is None else "tweet",
        includes=includes,
        requested=None,
        provenance=provenance,
        tweet=msgspec.UNSET if tweet is None else msgspec.Raw(tweet.raw),
        errors=[msgspec.Raw(error.raw) for error in errors] if errors else msgspec.UNSET,
        matching_rules=[msgspec.Raw(rule.raw) for rule in matching_rules]
        if matching_rules
        else msgspec.UNSET,
    )
    return msgspec.json.encode(message)


class _Shelf:
    """The page's included objects and errors, and which of them some tweet has taken."""

    def __init__(self, page: ArchivedPage) -> None:
        named = [(name, item) for name, items in page.includes.items() for item in items]
        self._included = [_Included(position, name, item) for position, (name, item) in enumerate(named)]
        self._by_reference: dict[Reference, list[_Included]] = {}
        for included in self._included:
            for reference in keys_of_included(included.name, included.item.value):
                self._by_reference.setdefault(reference, []).append(included)
        self._errors = page.errors
        self._errors_by_key: dict[str, list[int]] = {}
        for number, error in enumerate(page.errors):
            for name in ("resource_id", "value"):
                if isinstance(key := error.value.get(name), str | int):
                    self._errors_by_key.setdefault(str(key).lower(), []).append(number)
        self._taken: set[int] = set()
        self._errors_taken: set[int] = set()

    def take_for(self, tweet: Item) -> tuple[list[_Included], list[Item]]:
        """All that can be reached from this tweet, in the page's order."""
        named = references_of(tweet.value)
        pending, found = set(named), dict[int, _Included]()
        while pending:
            for included in self._by_reference.get(pending.pop(), ()):
                if included.position not in found:
                    found[included.position] = included
                    if included.name in ("tweets", "posts"):
                        further = references_of(included.item.value) - named
                        named |= further
                        pending |= further
        keys = {key.lower() for _, key in named} | {str(tweet.value["id"])}
        errors = sorted({number for key in keys for number in self._errors_by_key.get(key, ())})
        self._taken |= found.keys()
        self._errors_taken.update(errors)
        return [found[position] for position in sorted(found)], [self._errors[n] for n in errors]

    def left_over(self) -> Iterator[tuple[list[_Included], list[Item]]]:
        """What no tweet took, in parcels of about LEFTOVER_BYTES; the last one has the errors."""
        parcel: list[_Included] = []
        size = 0
        for included in self._included:
            if included.position in self._taken:
                continue
            if parcel and size + len(included.item.raw) > LEFTOVER_BYTES:
                yield parcel, []
                parcel, size = [], 0
            parcel.append(included)
            size += len(included.item.raw)
        errors = [error for number, error in enumerate(self._errors) if number not in self._errors_taken]
        if parcel or errors:
            yield parcel, errors
