"""An answer counts only if it proves itself; each endpoint defines what proves it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.client import UnprovenAnswer, XClient
from airflow_provider_twitter.client.pages import parse_body
from airflow_provider_twitter.client.proof import facts_in

TYPES = "https://api.x.com/2/problems/"
NOTHING = {
    "an empty object": b"{}",
    "an empty meta": b'{"meta":{}}',
    "data that is null": b'{"data":null}',
    "data that is empty, without meta": b'{"data":[]}',
    "tweets without meta": b'{"data":[{"id":"1"}]}',
    "meta as a list": b'{"data":[{"id":"1"}],"meta":[]}',
    "meta as text": b'{"data":[{"id":"1"}],"meta":"ok"}',
    "meta that is null": b'{"data":[{"id":"1"}],"meta":null}',
    "data as text": b'{"data":"1","meta":{"result_count":1}}',
    "data as a number": b'{"data":7,"meta":{"result_count":0}}',
    "data as true": b'{"data":true,"meta":{"result_count":0}}',
    "a v1 error": b'{"errors":[{"message":"Over capacity","code":130}]}',
    "a problem object": b'{"title":"Service Unavailable","detail":"x","type":"about:blank","status":503}',
    "an empty next_token": b'{"data":[{"id":"1"}],"meta":{"result_count":1,"next_token":""}}',
    "a next_token that is a number": b'{"data":[{"id":"1"}],"meta":{"result_count":1,"next_token":7}}',
    "a next_token with a line break": b'{"data":[{"id":"1"}],"meta":{"result_count":1,"next_token":"a\\nb"}}',
    "a next_token with a NUL": b'{"data":[{"id":"1"}],"meta":{"result_count":1,"next_token":"a\\u0000"}}',
    "a next_token that is a list": b'{"data":[{"id":"1"}],"meta":{"next_token":["a"]}}',
    "no data and a count that is none": b'{"meta":{"result_count":null}}',
    "no data and a count that is true": b'{"meta":{"result_count":true}}',
    "no data and a negative count": b'{"meta":{"result_count":-1}}',
    "an answer in an answer": b'{"result":{"data":[{"id":"1"}],"meta":{"result_count":1}}}',
}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING.keys())
def test_a_page_that_proves_nothing_has_failed(x: Any, client: XClient, body: bytes) -> None:
    """An unproven answer is retried and then raised; nothing of it is used."""
    x.answers(body)
    with pytest.raises(UnprovenAnswer, match="does not count"):
        client.search_recent("coffee")
    assert len(x.asked) == 3


PAGES = {
    "the end": b'{"meta":{"result_count":0}}',
    "the end as text": b'{"meta":{"result_count":"0"}}',
    "an empty page with a token": b'{"meta":{"result_count":0,"next_token":"b26v"}}',
    "a token that is null is none": b'{"data":[{"id":"1"}],"meta":{"result_count":1,"next_token":null}}',
    "an empty list": b'{"data":[],"meta":{"result_count":0}}',
    "an empty object for no tweets": b'{"data":{},"meta":{"result_count":0}}',
    "tweets without a count": b'{"data":[{"id":"1"}],"meta":{}}',
    "tweets beside errors": b'{"data":[{"id":"1"}],"errors":[{"code":131}],"meta":{"result_count":1}}',
    "a count that differs": b'{"data":[{"id":"1"}],"meta":{"result_count":500}}',
}


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES.keys())
def test_a_page_that_says_what_it_is_counts(x: Any, client: XClient, body: bytes) -> None:
    """Ordinary answers from X and similar servers."""
    x.answers(body)
    client.search_recent("coffee")
    assert len(x.asked) == 1


LOOKUPS: dict[str, Callable[[XClient], Any]] = {
    "tweets": lambda client: client.tweets([7, 8]),
    "users": lambda client: client.users([7, 8]),
    "names": lambda client: client.users_by(["7", "8"]),
}


@pytest.mark.parametrize("ask", LOOKUPS.values(), ids=LOOKUPS.keys())
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data":[]}',
        b'{"meta":{"result_count":0}}',
        b'{"errors":[{"code":131}]}',
        b'{"errors":[{"value":"9","type":"' + TYPES.encode() + b'resource-not-found"}]}',
        b'{"errors":[{"value":"7","type":"' + TYPES.encode() + b'resource-unavailable"}]}',
        b'{"errors":[{"value":"7","type":7}]}',
    ],
)
def test_a_lookup_that_answers_for_nothing_has_failed(
    x: Any, client: XClient, ask: Callable[[XClient], Any], body: bytes
) -> None:
    """Such an answer has neither an object nor a known fact about anything requested."""
    x.answers(body)
    with pytest.raises(UnprovenAnswer):
        ask(client)


def test_a_lookup_with_one_known_fact_counts(x: Any, client: XClient) -> None:
    """Ids that it does not answer are left to the caller."""
    x.answers({"errors": [{"value": "7", "type": TYPES + "resource-not-found", "title": "Not Found Error"}]})
    assert client.users_by(["7", "8"]).data == ()


@pytest.mark.parametrize("body", [b"{}", b'{"data":[]}', b'{"meta":{"total_tweet_count":"many"}}'])
def test_counts_without_a_total_have_failed(x: Any, client: XClient, body: bytes) -> None:
    """A counts answer must contain the total."""
    x.answers(body)
    with pytest.raises(UnprovenAnswer):
        client.counts_recent("coffee")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ({"type": TYPES + "resource-not-found", "title": "Not Found Error"}, "gone"),
        ({"type": TYPES + "resource-not-found", "title": "Forbidden"}, "suspended"),
        ({"type": "x/resource-not-found", "detail": "User has been suspended: [a]."}, "suspended"),
        ({"type": "https://api.twitter.com/2/problems/not-authorized-for-resource"}, "protected"),
    ],
)
def test_known_facts_have_a_state(error: dict[str, str], state: str) -> None:
    """The host of a type changes with X's name; only its last part counts, and X's words for suspension."""
    body = parse_body(msgspec.json.encode({"errors": [{"resource_id": 7, **error}]}))
    assert {key: fact.state for key, fact in facts_in(body.errors).items()} == {"7": state}
