"""The provider's schema, the provider's writer and the pipeline's reader mean the same envelope."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_provider_twitter.client.endpoints import TABLE, Endpoint
from airflow_provider_twitter.client.fields import Requested
from airflow_provider_twitter.envelopes import messages_of
from support.pages import OBSERVED_AT, page_of
from tweet_envelope.coordinates import Coordinate
from tweet_envelope.schema import ENVELOPE_VERSION, MEMBERS, PROVENANCE_MEMBERS, schema
from twitter_pipeline.landing.documents import Unlandable, raw_document
from twitter_pipeline.transform.engine import Unreadable
from twitter_pipeline.transform.engines.rows import Batch

VALIDATOR = Draft202012Validator(schema())
Envelope = dict[str, Any]

COMPLETE: Envelope = {
    "envelope_version": 1,
    "kind": "tweet",
    "tweet": {"id": "100", "text": "a", "author_id": "7", "a field of tomorrow": {"x": [1]}},
    "includes": {
        "users": [{"id": "7", "username": "ann"}],
        "media": [{"media_key": "3_1"}],
        "polls": [{"id": "5"}],
        "places": [{"id": "p"}],
        "tweets": [{"id": "90", "text": "b"}],
        "topics": [{"id": "t"}],
        "something new": [{}],
    },
    "errors": [{"resource_id": "89", "title": "Not Found Error"}],
    "requested": {
        "vocabulary": "tweet",
        "tweet_fields": ["id", "text"],
        "user_fields": [],
        "media_fields": [],
        "place_fields": [],
        "poll_fields": [],
        "expansions": ["author_id"],
    },
    "provenance": {
        "rule": "a-rule",
        "source": "search",
        "endpoint": "/2/tweets/search/recent",
        "request_id": "r1",
        "observed_at": "2026-01-02T03:04:05.678901Z",
        "collector": "somebody/1.0",
    },
}


def _without(*path: str) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        for name in path[:-1]:
            envelope = envelope[name]
        del envelope[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        for name in path[:-1]:
            envelope = envelope[name]
        envelope[path[-1]] = value

    return change


def _as_includes(envelope: Envelope) -> None:
    envelope["kind"] = "includes"
    del envelope["tweet"]


def _as_posts(envelope: Envelope) -> None:
    envelope["includes"] = {"posts": envelope["includes"]["tweets"]}
    envelope["requested"]["vocabulary"] = "post"


ALLOWED: dict[str, Callable[[Envelope], None]] = {
    "complete": lambda envelope: None,
    "only includes": _as_includes,
    "posts": _as_posts,
    "no includes": _with({}, "includes"),
    "no errors": _without("errors"),
    "unknown request": _with(None, "requested"),
    "no rule": _with(None, "provenance", "rule"),
    "unknown time": _with(None, "provenance", "observed_at"),
    "whole seconds": _with("2026-01-02T03:04:05Z", "provenance", "observed_at"),
    "bare tweet": _with({"id": "100"}, "tweet"),
    "matching rules": _with([{"id": "7", "tag": "coffee rule"}], "matching_rules"),
}
for _source in ("timeline", "lookup", "import", "stream", "quote_tweets"):
    ALLOWED[f"source {_source}"] = _with(_source, "provenance", "source")

FORBIDDEN: dict[str, Callable[[Envelope], None]] = {
    "no version": _without("envelope_version"),
    "another version": _with(2, "envelope_version"),
    "version as text": _with("1", "envelope_version"),
    "no kind": _without("kind"),
    "unknown kind": _with("page", "kind"),
    "no provenance": _without("provenance"),
    "provenance null": _with(None, "provenance"),
    "a tweet without its tweet": _without("tweet"),
    "tweet null": _with(None, "tweet"),
    "tweet as text": _with("100", "tweet"),
    "includes with a tweet": _with("includes", "kind"),
    "rule as a number": _with(7, "provenance", "rule"),
}


def _changed(change: Callable[[Envelope], None]) -> Envelope:
    envelope = copy.deepcopy(COMPLETE)
    change(envelope)
    return envelope


def _read(envelope: Envelope) -> tuple[dict[str, Any], Batch]:
    """Land and flatten, as the two stages do."""
    value = json.dumps(envelope).encode()
    document = raw_document(value, Coordinate("topic", 0, 0), OBSERVED_AT)
    batch = Batch()
    batch.add_envelope(value, Coordinate("topic", 0, 0))
    return document, batch


def test_one_version() -> None:
    """The code and the schema agree on version, members and provenance."""
    declared = schema()
    assert declared["properties"]["envelope_version"]["const"] == ENVELOPE_VERSION
    assert declared["properties"].keys() == MEMBERS
    assert declared["properties"]["provenance"]["properties"].keys() == PROVENANCE_MEMBERS


@pytest.mark.parametrize("name", ALLOWED)
def test_reader_accepts_what_the_schema_allows(name: str) -> None:
    """Every envelope that the schema allows is landed and loaded with all its tweets."""
    envelope = _changed(ALLOWED[name])
    VALIDATOR.validate(envelope)
    document, batch = _read(envelope)
    assert document["kind"] == envelope["kind"]
    assert document["rule"] == envelope["provenance"]["rule"]
    assert bytes(document["envelope"]) == json.dumps(envelope).encode()
    includes = envelope["includes"]
    expected = {int(t["id"]) for t in includes.get("tweets", []) + includes.get("posts", [])}
    if "tweet" in envelope:
        expected.add(int(envelope["tweet"]["id"]))
        assert document["tweet_id"] == int(envelope["tweet"]["id"])
    assert {tweet_id for (tweet_id,) in batch.rows["tweets"]} == expected


@pytest.mark.parametrize("endpoint", [row for row in TABLE if row.source], ids=lambda row: row.name)
def test_the_schema_allows_the_source_of_every_endpoint(endpoint: Endpoint) -> None:
    """A new endpoint needs no new version of the envelope."""
    envelope = _changed(_with(endpoint.source, "provenance", "source"))
    VALIDATOR.validate(envelope)
    assert not VALIDATOR.is_valid(_changed(_with("Recent search", "provenance", "source")))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_reader_refuses_what_the_schema_forbids(name: str) -> None:
    """An envelope that lacks or garbles what the reader needs is refused by the schema and by the reader."""
    envelope = _changed(FORBIDDEN[name])
    assert not VALIDATOR.is_valid(envelope)
    with pytest.raises((Unlandable, Unreadable)):
        _read(envelope)


@pytest.mark.parametrize("name", ["includes", "requested"])
def test_reader_forgives_what_can_only_mean_one_thing(name: str) -> None:
    """A writer must state includes and requested; a reader treats their absence as none and unknown."""
    envelope = _changed(_without(name))
    assert not VALIDATOR.is_valid(envelope)
    _, batch = _read(envelope)
    assert (100,) in batch.rows["tweets"]


def _check_messages(body: bytes, requested: Requested | None) -> int:
    messages = messages_of(page_of(body, requested), rule="a-rule", source="search")
    for message in messages:
        envelope = json.loads(message.value)
        VALIDATOR.validate(envelope)
        _read(envelope)
    return len(messages)


@pytest.mark.parametrize("vocabulary", ["tweet", "post", None])
def test_writer_keeps_to_the_schema(vocabulary: Any) -> None:
    """What the provider writes from a page is valid and can be read, in both vocabularies."""
    tweets = "posts" if vocabulary == "post" else "tweets"
    reference = "referenced_posts" if vocabulary == "post" else "referenced_tweets"
    body = {
        "data": [
            {"id": "100", "text": "a", "author_id": "7", reference: [{"type": "quoted", "id": "90"}]},
            {"id": "101", "text": "b"},
        ],
        "includes": {
            "users": [{"id": "7", "username": "ann"}, {"id": "8", "username": "bob"}],
            tweets: [{"id": "90", "text": "c"}, {"id": "91", "text": "d"}],
        },
        "errors": [{"resource_id": "89", "title": "Not Found Error"}, {"value": "101", "title": "Forbidden"}],
    }
    requested = None if vocabulary is None else Requested.everything_public(vocabulary)
    assert _check_messages(json.dumps(body).encode(), requested) == 3


def test_writer_keeps_to_the_schema_on_recordings(recordings: Path) -> None:
    """The same holds for each recorded page of tweets."""
    written = 0
    for file in sorted(recordings.rglob("*.json")):
        document = json.loads(file.read_bytes())
        value = document.get("body", document) if isinstance(document, dict) else None
        data = value.get("data") if isinstance(value, dict) else None
        items = data if isinstance(data, list) else [data]
        if all(isinstance(item, dict) and "text" in item and "event_type" not in item for item in items):
            written += _check_messages(json.dumps(value).encode(), Requested.everything_public("tweet"))
    assert written >= 100
