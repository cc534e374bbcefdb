"""An answer from X and the same answer from an archive become the same messages, though each has its own reader."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_twitter.envelopes import messages_of
from support.pages import OBSERVED_AT, page_of
from tweet_envelope.schema import schema
from tweet_envelope.writing import Message
from twitter_pipeline.archives.envelopes import envelopes_of
from twitter_pipeline.archives.pages import pages_of

USER = {"id": "7", "username": "Ann", "name": "Ann"}
PAGE: dict[str, Any] = {
    "data": [
        {
            "id": "100",
            "text": "a",
            "author_id": "7",
            "referenced_tweets": [{"type": "quoted", "id": "90"}],
            "entities": {"mentions": [{"start": 0, "end": 1, "username": "BOB"}]},
            "geo": {"place_id": "p"},
        },
        {
            "id": "101",
            "text": "b",
            "author_id": "8",
            "attachments": {"media_keys": ["3_1"], "poll_ids": ["5"]},
        },
    ],
    "includes": {
        "users": [USER, {"id": "8", "username": "bob"}, {"id": "9", "username": "carl"}],
        "tweets": [{"id": "90", "text": "c", "author_id": "9"}, {"id": "91", "text": "d"}],
        "media": [{"media_key": "3_1"}, {"media_key": "3_2"}],
        "polls": [{"id": "5"}],
        "places": [{"id": "p"}],
    },
    "errors": [
        {"resource_id": "89", "title": "Not Found Error"},
        {"value": "101", "title": "Forbidden"},
        {"resource_id": "90", "title": "Not Found Error"},
    ],
    "meta": {"result_count": 2},
}
POSTS: dict[str, Any] = {
    "data": [
        {"id": "100", "text": "a", "username": "ann", "referenced_posts": [{"type": "quoted", "id": "90"}]},
        {"id": "101", "text": "b", "note_post": {"entities": {"mentions": [{"username": "Ann", "id": "7"}]}}},
    ],
    "includes": {"users": [USER], "posts": [{"id": "90", "text": "c", "username": "ann"}]},
}


def imported(body: bytes) -> list[Message]:
    [page] = pages_of(body)
    found = envelopes_of(page, request_id="r1", rule="a-rule", observed_at=OBSERVED_AT)
    return [message for message, _ in found]


def by_provider(body: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    page = page_of(body, endpoint="import")
    return [(m.key, _neutral(m.value)) for m in messages_of(page, rule="a-rule", source="import")]


def _neutral(value: bytes) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(value)
    del envelope["provenance"]["collector"]
    return envelope


@pytest.mark.parametrize(
    "value", [PAGE, POSTS, {"meta": {"result_count": 0}}], ids=["tweets", "posts", "nothing"]
)
def test_same_envelopes(value: dict[str, Any]) -> None:
    """Keys, order, includes, errors and provenance are the same, and valid by the schema."""
    body = json.dumps(value).encode()
    envelopes = imported(body)
    assert [(e.key, _neutral(e.value)) for e in envelopes] == by_provider(body)
    for envelope in envelopes:
        jsonschema.validate(json.loads(envelope.value), schema())


def test_unknown_time_is_valid() -> None:
    """An archive without a retrieval time writes null, which the schema allows."""
    [page] = pages_of(json.dumps(PAGE).encode())
    for message, _ in envelopes_of(page, request_id="r1", rule=None, observed_at=None):
        value = json.loads(message.value)
        jsonschema.validate(value, schema())
        assert value["provenance"]["observed_at"] is None
        assert value["requested"] is None


def test_same_envelopes_of_recordings(recordings: Path) -> None:
    """The same holds for each recorded page of tweets."""
    compared = 0
    for file in sorted(recordings.rglob("*.json")):
        document = json.loads(file.read_bytes())
        value = document.get("body", document)
        data = value.get("data") if isinstance(value, dict) else None
        data = data if isinstance(data, list) else [data]
        if not all(isinstance(d, dict) and "text" in d and "event_type" not in d for d in data):
            continue
        body = json.dumps(value).encode()
        assert [(e.key, _neutral(e.value)) for e in imported(body)] == by_provider(body), file.name
        compared += 1
    assert compared >= 15
