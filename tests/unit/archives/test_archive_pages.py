"""What the records of an archive hold, and what is refused for which reason."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from twitter_pipeline.archives.envelopes import envelopes_of
from twitter_pipeline.archives.page import ArchivedPage
from twitter_pipeline.archives.pages import pages_of
from twitter_pipeline.archives.refusals import Unimportable

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
        {**TWEET, "author_user": USER},
        {**TWEET, "includes": {"users": [USER]}},
        {"tweet": TWEET, "includes": {"users": [USER]}},
        {**TWEET, "includes": {"users": [USER]}, "errors": [], "matching_rules": [{"id": "7"}]},
        {"data": [TWEET], "includes": {"users": USER}, "errors": {}},
        [{**TWEET, "includes": {"users": [USER]}}],
    ],
    ids=[
        "page",
        "lookup",
        "stream",
        "recorded exchange",
        "array",
        "flattened by twarc",
        "flattened by 4CAT",
        "includes inside",
        "tweet and includes",
        "includes and rules inside",
        "one user, no list",
        "includes inside in an array",
    ],
)
def test_forms(value: Any) -> None:
    """An answer in each of its forms gives its tweet and its author."""
    found = page(value)
    assert ids(found) == [TWEET["id"]]
    assert [item.value for item in found.includes["users"]] == [USER]
    assert json.loads(found.data[0].raw) == TWEET
    assert found.refused == []
    assert found.homeless == {}


def test_bytes_are_kept() -> None:
    """A tweet stays byte for byte as it came, odd spacing and escapes included."""
    raw = b'{ "text":"caf\\u00e9" , "id" : "5","unknown":{"a.b":1.10} }'
    [found] = pages_of(b'{"data": [ ' + raw + b" ]}")
    assert found.data[0].raw == raw
    assert pages_of(raw)[0].data[0].raw == raw


def test_lone_surrogate_survives() -> None:
    """A text with half an emoji is imported; transform repairs it."""
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
        (b"{}", "shape"),
        (b'{"statuses":[{"id":"5","text":"a"}],"meta":{}}', "shape"),
        (b'{"results":[{"id":"5","text":"a"}],"errors":[]}', "shape"),
        (b'{"statuses":[{"id":5,"id_str":"5"}]}', "version"),
        (b'{"created_at":"Wed Jun 01 00:11:52 +0000 2022","id":5,"text":"a"}', "version"),
        (b'{"id":5,"text":"a","user":{"id":5,"screen_name":"x"}}', "version"),
        (b'{"id":5,"text":"a","in_reply_to_status_id":null}', "version"),
        (b'{"delete":{"status":{"id":1,"id_str":"1"}}}', "version"),
        (b'{"users":[{"id":5,"id_str":"5","screen_name":"x"}],"next_cursor":0}', "version"),
        (b'{"tweet":{"id_str":"5","full_text":"a"}}', "vocabulary"),
        (b'{"id":"5","text":"a","author.username":"x","public_metrics.like_count":9}', "vocabulary"),
        (b'{"_type":"snscrape.modules.twitter.Tweet","id":5,"content":"a"}', "vocabulary"),
        (b'{"id":5,"id_str":"5","rawContent":"a","user":{"id_str":"5"}}', "vocabulary"),
        (b'{"id":5,"tweet":"a","username":"x","link":"https://...","likes_count":1}', "vocabulary"),
        (b'{"__typename":"Tweet","rest_id":"5","legacy":{"full_text":"a","id_str":"5"}}', "vocabulary"),
        (b'{"item_id":"5","source_platform":"twitter.com","data":{"rest_id":"5"}}', "vocabulary"),
        (b'{"id":"tag:search.twitter.com,2005:5","objectType":"activity","verb":"post"}', "vocabulary"),
        (b'{"user_id":"1","status_id":"5","created_at":"2020","screen_name":"x","text":"a"}', "vocabulary"),
        (b'{"id":"5","text":"a","from_user_name":"x","created_at":"2015-01-01 00:00:00"}', "vocabulary"),
        (b'{"id":"5","fullText":"a","createdAt":"2020","author":{}}', "vocabulary"),
        (b'{"id":"5","uri":"https://...","account":{"id":"1"},"content":"a"}', "vocabulary"),
        (
            b'{"tweets":[{"id":"5","author_username":"x","text":"a","like_count":1}],"next_before":null}',
            "own_export",
        ),
        (b'{"id":"5","author_username":null,"text":"a","replied_to_tweet_id":null}', "own_export"),
        (b'{"id":"84839422","name":"a list"}', "shape"),
        (b'"1445880548472328192"', "shape"),
        (b"17", "shape"),
        (b'"text"', "shape"),
    ],
)
def test_refused(body: bytes, reason: str) -> None:
    """What is not a version 2 archive is refused with a stable code."""
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
    """A tweet that cannot be used is set aside with its bytes; the rest of its page is imported."""
    found = page({"data": [TWEET, bad], "includes": {"users": [USER]}})
    assert ids(found) == [TWEET["id"]]
    [(why, body)] = found.refused
    assert why.reason == reason
    assert json.loads(body) == bad


def test_bad_element_of_an_array() -> None:
    """In an array of tweets, a bad one affects only itself."""
    good, refused = pages_of(json.dumps([TWEET, {"id": 5, "full_text": "old"}]).encode())
    assert ids(good) == [TWEET["id"]]
    assert [why.reason for why, _ in refused.refused] == ["version"]


def test_nothing_found_is_fine() -> None:
    """X's page without hits has only meta; it is not an error and holds nothing."""
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
    """The retrieval time is the one recorded by twarc; a doubtful one is unknown, never now."""
    assert page({"data": [TWEET], **metadata}).observed_at == expected
    assert page({**TWEET, **metadata}).observed_at == expected
    assert page({**TWEET, **metadata}).data[0].value == TWEET


def test_date_of_a_recorded_exchange() -> None:
    """The retrieval time of an HTTP recording is its Date header."""
    headers = {"date": ["Fri, 07 Oct 2022 22:43:17 UTC"]}
    found = page({"request": {}, "status": {"code": 200}, "headers": headers, "body": {"data": TWEET}})
    assert found.observed_at == datetime(2022, 10, 7, 22, 43, 17, tzinfo=UTC)


def test_flattened_gives_back_the_page() -> None:
    """What twarc wrote into a tweet is taken out again: the tweet as X returned it, and each included object once."""
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


def test_refusals_say_what_it_is() -> None:
    """Another vocabulary is named, with the reason why it cannot be imported."""
    for body, says in (
        (b'{"id":5,"full_text":"a"}', "version 1.1"),
        (b'{"tweet":{"id_str":"5"}}', "account's owner"),
        (b'{"rawContent":"a"}', "snscrape or twscrape"),
        (b'{"rest_id":"5"}', "GraphQL"),
        (b'{"actor":{},"postedTime":"x"}', "Gnip"),
        (b'{"a.b":1}', "'a.b'"),
        (b'{"statuses":[],"meta":{}}', "'statuses', 'meta'"),
        (b"1445880548472328192", "look it up"),
        (b'{"id":"5","author_username":null,"replied_to_tweet_id":null}', "export of this pipeline"),
    ):
        with pytest.raises(Unimportable, match=says):
            pages_of(body)


def test_another_vocabulary_inside_a_page_costs_itself() -> None:
    """One tweet in another vocabulary among others is set aside by name."""
    found = page({"data": [TWEET, {"id": "5", "text": "a", "user": {"screen_name": "x"}}, {"rest_id": "6"}]})
    assert ids(found) == [TWEET["id"]]
    assert [why.reason for why, _ in found.refused] == ["version", "vocabulary"]


@pytest.mark.parametrize("nothing", [None, {}, [], ""])
def test_what_r_and_php_write_for_nothing(nothing: Any) -> None:
    """`{}`, `[]`, "" and null are no objects, wherever a list or an object of X belongs."""
    found = page(
        {"data": TWEET, "includes": nothing, "errors": nothing, "matching_rules": nothing, "__twarc": nothing}
    )
    assert (ids(found), found.refused, found.errors) == ([TWEET["id"]], [], [])
    found = page({"data": nothing, "includes": {"users": [USER], "tweets": nothing, "media": nothing}})
    assert (found.data, list(found.includes), found.refused) == ([], ["users"], [])


@pytest.mark.parametrize(
    ("value", "homeless"),
    [
        ({"data": [TWEET], "note": "mine", "scraped": 1}, {"note": 1, "scraped": 1}),
        ({"tweet": TWEET, "topic": "x"}, {"topic": 1}),
        ({"users": [USER], "next_cursor": 5}, {"next_cursor": 1}),
        ({"data": [TWEET], "meta": {"result_count": 1}, "errors": [], "__twarc": {}}, {}),
    ],
)
def test_members_without_a_home_are_counted(value: Any, homeless: dict[str, int]) -> None:
    """Members next to an answer from X are not imported, but named."""
    assert page(value).homeless == homeless


def test_tweets_of_few_fields() -> None:
    """A tweet is recognised by any member that only tweets have; Spaces and lists have others."""
    for value in ({"id": "5", "conversation_id": "5"}, {"id": "5", "public_metrics": {}, "lang": "en"}):
        assert ids(page({"data": [value]})) == ["5"]
        assert ids(page(value)) == ["5"]
    with pytest.raises(Unimportable, match="neither"):
        page({"data": [{"id": "1", "state": "live", "lang": "en"}]})


def test_users_alone() -> None:
    """A user on its own line, with or without its pinned tweet, goes into the includes."""
    for value in (USER, {"data": USER}, [USER]):
        assert [item.value for item in page(value).includes["users"]] == [USER]
    found = page({**USER, "pinned_tweet_id": TWEET["id"], "includes": {"tweets": [TWEET]}})
    assert found.data == []
    assert [item.value["id"] for item in found.includes["users"]] == ["7"]
    assert [item.value for item in found.includes["tweets"]] == [TWEET]


def test_files_of_academictwitter() -> None:
    """Its users file holds the includes and errors of a page, without tweets of its own."""
    error = {"resource_id": "8", "resource_type": "user", "title": "Not Found Error"}
    found = page({"users": [USER], "tweets": [TWEET], "media": {}, "errors": [error]})
    assert {name: [item.value for item in items] for name, items in found.includes.items()} == {
        "users": [USER],
        "tweets": [TWEET],
    }
    assert [item.value for item in found.errors] == [error]
    [(message, _)] = envelopes_of(found, request_id="r", rule=None, observed_at=None)
    assert json.loads(message.value)["kind"] == "includes"


def test_items_of_4cat() -> None:
    """What 4CAT wrote into a tweet is taken out again, as are X's errors in place of missing objects."""
    bob = {"id": "8", "username": "bob", "name": "Bob"}
    media, poll = {"media_key": "3_1", "type": "photo"}, {"id": "99", "options": []}
    place = {"id": "abc", "full_name": "Here"}
    missing = [{"resource_id": key, "title": "Not Found Error"} for key in ("3_2", "98", "carl", "12", "9")]
    no_media, no_poll, no_user, no_tweet, no_reply = missing
    quoted = {"id": "10", "text": "quoted", "author_id": "8"}
    tweet = {
        "id": "11",
        "text": "@bob look",
        "author_id": "7",
        "in_reply_to_user_id": "9",
        "attachments": {"media_keys": ["3_1", "3_2"], "poll_ids": ["99", "98"]},
        "geo": {"place_id": "abc"},
        "entities": {
            "mentions": [
                {"start": 0, "end": 4, "username": "bob", "id": "8"},
                {"start": 5, "end": 9, "username": "carl", "id": "6"},
            ]
        },
        "referenced_tweets": [{"type": "quoted", "id": "10"}, {"type": "replied_to", "id": "12"}],
    }
    mentions = tweet["entities"]["mentions"]  # type: ignore[index]
    found = page(
        {
            **tweet,
            "author_user": USER,
            "in_reply_to_user": {"in_reply_to_user_id": "9", "error": no_reply},
            "attachments": {
                "media_keys": [media, {"media_key": "3_2", "error": no_media}],
                "poll_ids": [poll, {"poll_id": "98", "error": no_poll}],
            },
            "geo": {"place_id": "abc", "place": place},
            "entities": {"mentions": [{**mentions[0], **bob}, {**mentions[1], "error": no_user}]},
            "referenced_tweets": [
                {"type": "quoted", **quoted, "author_user": bob},
                {"type": "replied_to", "id": "12", "error": no_tweet},
            ],
            "__import_meta": {"timestamp_collected": 1_600_000_000_000},
        }
    )
    assert found.data[0].value == tweet
    assert {name: [item.value for item in items] for name, items in found.includes.items()} == {
        "users": [USER, bob],
        "media": [media],
        "polls": [poll],
        "places": [place],
        "tweets": [quoted],
    }
    assert sorted(error.value["resource_id"] for error in found.errors) == sorted(
        error["resource_id"] for error in missing
    )
    assert found.observed_at == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_tweets_that_4cat_made_up() -> None:
    """If 4CAT looked up a tweet and found none, what it wrote instead is X's error and not a tweet."""
    error = {"resource_id": "5", "resource_type": "tweet", "title": "Not Found Error", "detail": "none"}
    unknown = {"name": "UNKNOWN", "username": "UNKNOWN"}
    found = page(
        {
            **error,
            "id": "5",
            "created_at": "2022-01-01T00:00:00.000Z",
            "text": "",
            "author_user": unknown,
            "author_id": "UNKNOWN",
            "public_metrics": {},
            "subject": "none",
        }
    )
    assert found.data == []
    assert [item.value for item in found.errors] == [error]


MESSAGE: dict[str, Any] = {
    "envelope_version": 1,
    "kind": "tweet",
    "tweet": TWEET,
    "includes": {"users": [USER]},
    "requested": {"vocabulary": "tweet", "tweet_fields": ["id", "text"], "user_fields": []},
    "provenance": {
        "rule": "coffee",
        "source": "search",
        "endpoint": "/2/tweets/search/recent",
        "request_id": "r1",
        "observed_at": "2023-01-01T00:00:00.000000Z",
        "collector": "somebody/1.0",
    },
}


def again(value: Any, rule: str | None = None) -> dict[str, Any]:
    [(message, _)] = envelopes_of(page(value), request_id="i", rule=rule, observed_at=None)
    return dict(json.loads(message.value))


@pytest.mark.parametrize("form", ["message", "mongoexport", "old mongoexport"])
def test_own_messages(form: str) -> None:
    """A message of this pipeline, from Kafka or MongoDB, is sent again with its provenance, as imported."""
    value: Any = MESSAGE
    if form != "message":
        text = base64.b64encode(json.dumps(MESSAGE).encode()).decode()
        new, old = {"base64": text, "subType": "00"}, text
        value = {
            "_id": "topic/0/0",
            "kind": "tweet",
            "envelope": {"$binary": new if form == "mongoexport" else old},
        }
    assert again(value, rule="another") == {
        **MESSAGE,
        "provenance": {**MESSAGE["provenance"], "source": "import"},
    }
    assert page(value).observed_at == datetime(2023, 1, 1, tzinfo=UTC)
    assert page(value).homeless == {}


def test_own_messages_that_are_odd() -> None:
    """--rule fills in a missing rule, a future time is unknown, and members of another version are named."""
    odd = {
        **MESSAGE,
        "surprise": 1,
        "provenance": {**MESSAGE["provenance"], "rule": None, "observed_at": "2999-01-01T00:00:00Z", "x": 1},
    }
    provenance = again(odd, rule="mine")["provenance"]
    assert (provenance["rule"], provenance["observed_at"]) == ("mine", None)
    assert page(odd).homeless == {"surprise": 1, "provenance.x": 1}
    [(parcel, tweet)] = envelopes_of(
        page({name: value for name, value in MESSAGE.items() if name != "tweet"} | {"kind": "includes"}),
        request_id="i",
        rule=None,
        observed_at=None,
    )
    assert (parcel.key, tweet) == (b"r1", None)
    for broken in ({**MESSAGE, "tweet": "text"}, {**MESSAGE, "tweet": {"text": "no id"}}):
        with pytest.raises(Unimportable) as refused:
            page(broken)
        assert refused.value.reason == "shape"


def test_matching_rules_reach_the_envelope() -> None:
    """The rules of a stream go into the message of the tweet that matched them, as X sent them."""
    rules = [{"id": "7", "tag": "coffee rule"}, {"id": 8, "tag": None}]
    for value in ({"data": TWEET, "matching_rules": rules}, {**TWEET, "matching_rules": rules}):
        assert again(value)["matching_rules"] == rules
    assert "matching_rules" not in again({"data": TWEET, "matching_rules": []})
