"""An envelope is readable on its own: the tweet verbatim, and what it needs from its page."""

import json
from typing import Any

import jsonschema
import pytest

from airflow_provider_twitter.client import Requested
from airflow_provider_twitter.envelopes import messages_of
from support.pages import page_of
from tweet_envelope.schema import schema


def envelopes_of(body: bytes | dict[str, Any]) -> list[dict[str, Any]]:
    envelopes = []
    for message in messages_of(page_of(body), rule="coffee", source="search"):
        envelope = json.loads(message.value)
        jsonschema.validate(envelope, schema())
        envelopes.append(envelope)
    return envelopes


def test_an_envelope_says_where_its_tweet_comes_from() -> None:
    """Provenance, requested fields and the tweet's own bytes are in the envelope; the key is its id."""
    tweet = b'{ "id":"20",\t"text":"caf\\u00e9" }'
    requested = Requested(vocabulary="post", tweet_fields=("id", "text"))
    [message] = messages_of(page_of(b'{"data":[' + tweet + b"]}", requested), rule="coffee", source="search")
    envelope = json.loads(message.value)
    jsonschema.validate(envelope, schema())
    assert message.key == b"20"
    assert tweet in message.value
    assert envelope["requested"]["tweet_fields"] == ["id", "text"]
    assert envelope["provenance"] == {
        "rule": "coffee",
        "source": "search",
        "endpoint": "/2/tweets/search/recent",
        "request_id": "r1",
        "observed_at": "2026-01-02T03:04:05.678901Z",
        "collector": "airflow-provider-twitter/0.1.0",
    }


def test_each_tweet_takes_what_it_needs_and_only_that() -> None:
    """Author, mentions, media, polls, places, referenced tweets and their authors travel with the tweet."""
    [envelope, other, _] = envelopes_of(
        {
            "data": [
                {
                    "id": "1",
                    "author_id": "7",
                    "attachments": {"media_keys": ["3_1"], "poll_ids": ["50"]},
                    "geo": {"place_id": "p1"},
                    "entities": {"mentions": [{"username": "Ann"}]},
                    "referenced_tweets": [{"type": "quoted", "id": "2"}],
                    "in_reply_to_user_id": "11",
                },
                {"id": "3", "author_id": "7"},
            ],
            "includes": {
                "users": [
                    {"id": each, "username": name}
                    for each, name in [("7", "bo"), ("8", "ann"), ("9", "cy"), ("10", "di"), ("11", "ed")]
                ],
                "media": [{"media_key": "3_1"}, {"media_key": "3_2"}, {"media_key": "3_3"}],
                "polls": [{"id": "50"}],
                "places": [{"id": "p1"}, {"id": "p2"}],
                "tweets": [
                    {"id": "2", "author_id": "9", "attachments": {"media_keys": ["3_2"]}},
                    {"id": "4"},
                ],
            },
        }
    )
    taken = {
        name: [each.get("id", each.get("media_key")) for each in items]
        for name, items in envelope["includes"].items()
    }
    assert taken == {
        "users": ["7", "8", "9", "11"],
        "media": ["3_1", "3_2"],
        "polls": ["50"],
        "places": ["p1"],
        "tweets": ["2"],
    }
    assert other["includes"] == {"users": [{"id": "7", "username": "bo"}]}


def test_what_no_tweet_needs_travels_once() -> None:
    """Leftover includes and errors form one envelope of the page, keyed by the request."""
    messages = messages_of(
        page_of(
            {
                "data": [{"id": "1"}],
                "includes": {"users": [{"id": "8"}], "topics": [{"id": "t"}]},
                "errors": [{"value": "99"}],
            }
        ),
        rule=None,
        source="timeline",
    )
    assert [message.key for message in messages] == [b"1", b"r1"]
    leftover = json.loads(messages[1].value)
    jsonschema.validate(leftover, schema())
    assert leftover["kind"] == "includes"
    assert leftover["includes"] == {"users": [{"id": "8"}], "topics": [{"id": "t"}]}
    assert leftover["errors"] == [{"value": "99"}]


def test_partial_errors_go_with_the_tweets_that_they_concern() -> None:
    """An error about a referenced tweet or the author is in that tweet's envelope, and in no other."""
    deleted = {"resource_id": "2", "title": "Not Found Error"}
    [first, second] = envelopes_of(
        {
            "data": [{"id": "1", "referenced_tweets": [{"type": "quoted", "id": "2"}]}, {"id": "3"}],
            "errors": [deleted],
        }
    )
    assert first["errors"] == [deleted]
    assert "errors" not in second


def test_the_post_vocabulary_is_understood() -> None:
    """referenced_posts, note_post, username and includes.posts lead to the same envelope."""
    [envelope] = envelopes_of(
        {
            "data": [
                {
                    "id": "1",
                    "username": "Ann",
                    "referenced_posts": [{"type": "replied_to", "id": "2"}],
                    "note_post": {"entities": {"mentions": [{"id": "9"}]}},
                }
            ],
            "includes": {"users": [{"id": "8", "username": "ann"}, {"id": "9"}], "posts": [{"id": "2"}]},
        }
    )
    assert [user["id"] for user in envelope["includes"]["users"]] == ["8", "9"]
    assert envelope["includes"]["posts"] == [{"id": "2"}]


def test_tweets_that_refer_to_each_other_in_a_circle_end() -> None:
    """A cycle of references is followed only once."""
    [envelope] = envelopes_of(
        {
            "data": [{"id": "1", "referenced_tweets": [{"id": "2"}]}],
            "includes": {
                "tweets": [
                    {"id": "2", "referenced_tweets": [{"id": "3"}]},
                    {"id": "3", "referenced_tweets": [{"id": "2"}, {"id": "1"}]},
                ]
            },
        }
    )
    assert [tweet["id"] for tweet in envelope["includes"]["tweets"]] == ["2", "3"]


@pytest.mark.parametrize(
    "tweet",
    [
        {"id": "1", "entities": None, "attachments": [], "geo": "x", "referenced_tweets": {"id": "2"}},
        {"id": "1", "entities": {"mentions": [None, 5, {"username": ["a"]}]}, "author_id": {"id": "7"}},
        {"id": "1", "attachments": {"media_keys": "3_1", "poll_ids": [None]}, "note_tweet": 7},
    ],
)
def test_fields_of_another_shape_refer_to_nothing(tweet: dict[str, Any]) -> None:
    """A tweet with malformed fields is passed on anyway."""
    assert envelopes_of({"data": [tweet]})[0]["tweet"] == tweet


def test_an_unreadable_tweet_becomes_a_message_of_its_own() -> None:
    """A tweet without a usable id or JSON is keyed by the request, so that a reader can put it aside."""
    page = page_of(b'{"data":[{"id":"-1"},{"id":"2","x":NaN},{"id":"3"}]}')
    messages = messages_of(page, rule=None, source="search")
    assert [message.key for message in messages] == [b"r1", b"2", b"3"]
    assert b'"tweet":{"id":"2","x":NaN}' in messages[1].value


def test_an_unreadable_author_spoils_no_tweet() -> None:
    """An included object that is not JSON travels alone; the tweets that need it stay readable."""
    page = page_of(
        b'{"data":[{"id":"1","author_id":"7"}],"includes":{"users":[{"id":"7","name":"\xff"},{"id":"8"}]}}'
    )
    tweet, odd, rest = messages_of(page, rule=None, source="search")
    assert json.loads(tweet.value)["includes"] == {}
    assert b'{"id":"7","name":"\xff"}' in odd.value
    assert json.loads(rest.value)["includes"] == {"users": [{"id": "8"}]}


def test_a_large_leftover_is_split() -> None:
    """Leftovers of a page never make a message that a broker refuses."""
    users = [{"id": str(each), "description": "x" * 10_000} for each in range(1, 101)]
    messages = messages_of(page_of({"includes": {"users": users}}), rule=None, source="search")
    assert max(len(message.value) for message in messages) < 300_000
    sent = [user["id"] for message in messages for user in json.loads(message.value)["includes"]["users"]]
    assert sent == [user["id"] for user in users]
