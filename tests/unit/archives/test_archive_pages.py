"""What the records of an archive hold, and what is refused for which reason."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from twitter_pipeline.archives.pages import ArchivedPage, pages_of
from twitter_pipeline.archives.reading import Unimportable

TWEET = {"id": "1445880548472328192", "text": "hello", "author_id": "7"}
USER = {"id": "7", "username": "ann", "name": "Ann"}


def page(value: Any) -> ArchivedPage:
    [found] = pages_of(json.dumps(value).encode())
    return found


def ids(found: ArchivedPage) -> list[str]:
    return [str(item.value["id"]) for item in found.data]


@pytest.mark.parametrize(
    "value",
    [
        {"data": [TWEET], "includes": {"users": [USER]}, "meta": {"result_count": 1}},
        {"data": TWEET, "includes": {"users": [USER]}},
        {"data": TWEET, "includes": {"users": [USER]}, "matching_rules": [{"id": 1, "tag": None}]},
        {
            "request": {},
            "status": 200,
            "headers": {},
            "body": {"data": [TWEET], "includes": {"users": [USER]}},
        },
        [{"data": [TWEET], "includes": {"users": [USER]}}],
        {**TWEET, "author": USER},
    ],
    ids=["page", "lookup", "stream", "recorded exchange", "array", "flattened"],
)
def test_forms(value: Any) -> None:
    """An answer in each of its forms gives its tweet and its author."""
    found = page(value)
    assert ids(found) == [TWEET["id"]]
    assert [item.value for item in found.includes["users"]] == [USER]
    assert json.loads(found.data[0].raw) == TWEET
    assert found.refused == []


def test_bytes_are_kept() -> None:
    """A tweet stays byte for byte as it came, odd spacing and escapes included."""
    raw = b'{ "text":"caf\\u00e9" , "id" : "5","unknown":{"a.b":1.10} }'
    [found] = pages_of(b'{"data": [ ' + raw + b" ]}")
    assert found.data[0].raw == raw
    assert pages_of(raw)[0].data[0].raw == raw


def test_lone_surrogate_survives() -> None:
    """A text with half an emoji is imported; transform mends it."""
    [found] = pages_of(b'{"data":[{"id":"5","text":"half \\ud83d"},{"id":"6","text":"whole"}]}')
    assert ids(found) == ["5", "6"]
    assert json.loads(found.data[0].raw)["text"] == "half \ud83d"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"id": "1', "not_json"),
        (b"<html>503</html>", "not_json"),
        (b'{"data":[{"id":"5","text":"a","x":NaN}]}', "not_json"),
        (b'{"id":"5","text":"a",}', "not_json"),
        (b'{"id":"5"} {"id":"6"}', "not_json"),
        (b'{"id":"5","text":"\xff"}', "not_utf8"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nesting"),
        (b'{"id":5,"id_str":"5","text":"a","user":{}}', "version"),
        (b'{"id":5,"full_text":"a"}', "version"),
        (b'{"statuses":[],"search_metadata":{}}', "version"),
        (
            b'{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}',
            "error_answer",
        ),
        (b'{"data":[{"id":"84839422","name":"a list"}]}', "no_tweet"),
        (
            b'{"data":[{"start":"2021-01-01T00:00:00Z","end":"2021-01-02T00:00:00Z","tweet_count":3}]}',
            "no_tweet",
        ),
        (b'{"data":{"event_uuid":"1","event_type":"post.delete"}}', "no_tweet"),
        (b'{"greeting":"hello"}', "shape"),
        (b"17", "shape"),
        (b'"text"', "shape"),
    ],
)
def test_refused(body: bytes, reason: str) -> None:
    """What is no archive of version 2 is refused by a stable code."""
    with pytest.raises(Unimportable) as refused:
        pages_of(body)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"text": "no id"}, "shape"),
        ({"id": "007", "text": "a"}, "id_range"),
        ({"id": "9223372036854775808", "text": "a"}, "id_range"),
        ({"id": "-5", "text": "a"}, "id_range"),
        ({"id": 5, "id_str": "5", "text": "a", "full_text": "a"}, "version"),
        ("a string", "shape"),
        (None, "shape"),
    ],
)
def test_one_bad_object_costs_itself(bad: Any, reason: str) -> None:
    """A tweet that cannot be used is set aside with its bytes; the rest of its page goes."""
    found = page({"data": [TWEET, bad], "includes": {"users": [USER]}})
    assert ids(found) == [TWEET["id"]]
    [(why, body)] = found.refused
    assert why.reason == reason
    assert json.loads(body) == bad


def test_bad_element_of_an_array() -> None:
    """In an array of tweets a bad one costs itself."""
    good, refused = pages_of(json.dumps([TWEET, {"id": 5, "full_text": "old"}]).encode())
    assert ids(good) == [TWEET["id"]]
    assert [why.reason for why, _ in refused.refused] == ["version"]


def test_nothing_found_is_fine() -> None:
    """X's page without hits has only meta; it is no error and holds nothing."""
    found = page({"meta": {"result_count": 0}})
    assert not found.data
    assert not found.includes
    assert not found.refused


def test_users_travel_as_includes() -> None:
    """A page of users (followers) gives its users and their pinned tweets, not tweets."""
    found = page({"data": [USER], "includes": {"tweets": [TWEET]}})
    assert found.data == []
    assert [item.value["id"] for item in found.includes["users"]] == ["7"]
    assert [item.value["id"] for item in found.includes["tweets"]] == [TWEET["id"]]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"__twarc": {"retrieved_at": "2021-04-14T12:00:00+02:00"}}, datetime(2021, 4, 14, 10, tzinfo=UTC)),
        ({"__twarc": {"retrieved_at": "2021-04-14T12:00:00"}}, None),
        ({"__twarc": {"retrieved_at": "2999-01-01T00:00:00Z"}}, None),
        ({"__twarc": {"retrieved_at": "soon"}}, None),
        ({"__twarc": {}}, None),
        ({}, None),
    ],
)
def test_retrieval_time(metadata: dict[str, Any], expected: datetime | None) -> None:
    """The retrieval time is what twarc wrote down; a doubtful one is unknown, never now."""
    assert page({"data": [TWEET], **metadata}).observed_at == expected
    assert page({**TWEET, **metadata}).observed_at == expected
    assert page({**TWEET, **metadata}).data[0].value == TWEET


def test_date_of_a_recorded_exchange() -> None:
    """An HTTP recording was retrieved at its Date."""
    headers = {"date": ["Fri, 07 Oct 2022 22:43:17 UTC"]}
    found = page({"request": {}, "status": {"code": 200}, "headers": headers, "body": {"data": TWEET}})
    assert found.observed_at == datetime(2022, 10, 7, 22, 43, 17, tzinfo=UTC)


def test_flattened_gives_back_the_page() -> None:
    """What twarc wrote into a tweet comes out again: the tweet as X gave it, and each included object once."""
    bob = {"id": "8", "username": "bob", "name": "Bob"}
    media, poll = {"media_key": "3_1", "type": "photo"}, {"id": "99", "options": []}
    place = {"id": "abc", "full_name": "Here", "geo": {"type": "Feature"}}
    quoted = {"id": "10", "text": "quoted", "author_id": "8", "attachments": {"media_keys": ["3_1"]}}
    tweet = {
        "id": "11",
        "text": "@bob look",
        "author_id": "7",
        "in_reply_to_user_id": "8",
        "attachments": {"media_keys": ["3_1"], "poll_ids": ["99"]},
        "geo": {"place_id": "abc", "coordinates": {"type": "Point", "coordinates": [1, 2]}},
        "entities": {
            "mentions": [{"start": 0, "end": 4, "username": "bob", "id": "8"}],
            "hashtags": [{"tag": "x"}],
        },
        "note_tweet": {
            "text": "@bob look",
            "entities": {"mentions": [{"start": 0, "end": 4, "username": "bob", "id": "8"}]},
        },
        "referenced_tweets": [{"type": "quoted", "id": "10"}, {"type": "replied_to", "id": "9"}],
    }
    mention = {"start": 0, "end": 4, **bob}
    flattened = {
        **tweet,
        "author": USER,
        "in_reply_to_user": bob,
        "attachments": {**tweet["attachments"], "media": [media], "poll": poll},
        "geo": {**tweet["geo"], **{k: v for k, v in place.items() if k != "geo"}, "geo": place["geo"]},
        "entities": {"mentions": [mention], "hashtags": [{"tag": "x"}]},
        "note_tweet": {"text": "@bob look", "entities": {"mentions": [mention]}},
        "referenced_tweets": [
            {
                "type": "quoted",
                **quoted,
                "author": bob,
                "attachments": {"media_keys": ["3_1"], "media": [media]},
            },
            {"type": "replied_to", "id": "9"},
        ],
        "__twarc": {"retrieved_at": "2021-04-14T12:00:00+00:00"},
    }
    found = page(flattened)
    assert found.data[0].value == tweet
    assert json.loads(found.data[0].raw) == tweet
    assert {name: [item.value for item in items] for name, items in found.includes.items()} == {
        "users": [USER, bob],
        "media": [media],
        "polls": [poll],
        "places": [place],
        "tweets": [quoted],
    }
