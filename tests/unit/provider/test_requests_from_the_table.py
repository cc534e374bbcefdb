"""A request is built from the row of its endpoint, and a new endpoint needs only a new row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.client import Backoff, InvalidRequest, Requested, Unreachable, XClient
from airflow_provider_twitter.client.endpoints import (
    COUNTS_RECENT,
    SEARCH_RECENT,
    TWEETS,
    USAGE,
    USER_TWEETS,
    USERS,
    Endpoint,
)
from airflow_provider_twitter.client.price_list import FREE
from airflow_provider_twitter.client.request import Request, Value
from airflow_provider_twitter.poll import Target, poll

NOTHING = Requested("tweet")
ZONE = timezone(timedelta(hours=2))
MENTIONS = replace(
    USER_TWEETS, name="a_row_of_this_test", path="/2/users/:id/named_in", others=(), reach=timedelta(days=30)
)
RULES = Endpoint(
    name="rules_of_this_test",
    method="POST",
    path="/2/tweets/search/stream/rules",
    answer="usage",
    price=FREE,
    auth=frozenset({"app"}),
    others=("dry_run",),
)


def sent(endpoint: Endpoint, **params: Value) -> dict[str, str]:
    return Request.of(endpoint, params, requested=NOTHING).params


def test_values_are_written_as_x_wants_them() -> None:
    """Times are in whole UTC seconds, lists comma-separated, flags in lower case; missing values are left out."""
    when = datetime(2026, 2, 1, 13, 4, 5, 678_901, tzinfo=ZONE)
    assert sent(SEARCH_RECENT, query="a", start_time=when, since_id=0, end_time=None) == {
        "query": "a",
        "start_time": "2026-02-01T11:04:05Z",
        "since_id": "0",
    }
    assert sent(TWEETS, ids=[1, 2]) == {"ids": "1,2"}
    assert sent(USER_TWEETS, id=12, exclude=()) == {"id": "12"}
    assert sent(RULES, dry_run=True) == {"dry_run": "true"}


@pytest.mark.parametrize(
    ("endpoint", "params", "complaint"),
    [
        (SEARCH_RECENT, {"query": "a", "colour": "red"}, "takes no parameter 'colour'; it takes .*until_id"),
        (SEARCH_RECENT, {"query": "a", "tweet.fields": "id"}, "takes no parameter 'tweet.fields'"),
        (SEARCH_RECENT, {"query": "a", "pagination_token": "t"}, "takes no parameter 'pagination_token'"),
        (TWEETS, {"ids": [1], "since_id": 1}, "takes no parameter 'since_id'"),
        (USAGE, {"max_results": 10}, "takes no parameter 'max_results'"),
        (TWEETS, {}, "GET /2/tweets needs the parameter 'ids'"),
        (USERS, {"ids": []}, "needs the parameter 'ids'"),
        (USER_TWEETS, {"max_results": 5}, "GET /2/users/:id/tweets needs the parameter 'id'"),
        (USER_TWEETS, {"id": "12/../by"}, "no id of X"),
        (USER_TWEETS, {"id": "٢"}, "no id of X"),
    ],
)
def test_what_an_endpoint_does_not_take_is_not_sent(
    x: Any, client: XClient, books: Any, endpoint: Endpoint, params: dict[str, Value], complaint: str
) -> None:
    """The error names the parameter; nothing is priced and nothing is sent."""
    with pytest.raises(ValueError, match=complaint):
        client.charged_to(books).request(endpoint, **params)
    assert (x.asked, books.notes) == ([], [])


def test_users_are_asked_for_without_their_tweets(x: Any, client: XClient) -> None:
    """X would return a user's pinned tweet, which is billed as a read."""
    x.answers({"data": [{"id": "1"}]})
    page = client.request(USERS, ids=[1])
    assert x.asked[0].params.keys() == {"ids", "user.fields"}
    assert page.requested is None


def test_fields_of_counts_are_chosen_by_whoever_asks(x: Any, client: XClient) -> None:
    """They are not part of a selection for tweets."""
    x.answers({"meta": {"total_tweet_count": 1}})
    client.request(COUNTS_RECENT, **{"query": "a", "search_count.fields": ["start", "end"]})
    assert x.asked[0].params == {"query": "a", "search_count.fields": "start,end"}


def test_a_new_row_is_polled_priced_and_proven_without_further_code(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """Path, token, smallest page, source and the account's parameter all come from the row."""
    data = [{"id": str(number), "text": "x"} for number in (7, 6)]
    users = [{"id": "12", "username": "jack"}, {"id": "13", "username": "noah"}]
    first = {"data": data, "includes": {"users": users}, "meta": {"result_count": 2, "next_token": "t"}}
    x.answers(first).answers({"data": [{"id": "5", "text": "x"}], "meta": {"result_count": 1}})
    result = poll(client, Target(MENTIONS, {"id": 12}), books, sink, page_size=10)
    assert [asked.path for asked in x.asked] == ["/2/users/12/named_in"] * 2
    assert [asked.params.get("pagination_token") for asked in x.asked] == [None, "t"]
    assert (result.tweets, result.username, result.ended, sink.ids) == (3, "jack", "last_page", [7, 6, 5])
    [envelope, *_] = [msgspec.json.decode(message.value) for message in sink.messages]
    assert envelope["provenance"]["source"] == "timeline"
    assert envelope["provenance"]["endpoint"] == "/2/users/:id/named_in"
    assert [note["price_usd"] for note in books.noted("may_spend")] == [10 * 3 * MENTIONS.price.usd] * 2


def test_the_state_of_an_account_is_told_by_any_endpoint_that_names_it(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """A protected account ends a poll of the new row just as it ends that of a timeline."""
    x.answers(
        {
            "errors": [
                {"resource_id": "12", "type": "https://api.x.com/2/problems/not-authorized-for-resource"}
            ]
        }
    )
    result = poll(client, Target(MENTIONS, {"id": 12}), books, sink)
    assert (result.ended, result.state and result.state.state) == ("account_state", "protected")


def test_the_reach_of_a_row_bounds_its_first_poll(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """X refuses a start before its reach, so a poll that wants more starts there."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    books.checkpoint = replace(books.checkpoint, start_time=now - timedelta(days=99))
    x.answers({"meta": {"result_count": 0}})
    poll(client, Target(MENTIONS, {"id": 12}), books, sink, clock=lambda: now)
    assert x.asked[0].params["start_time"] == "2026-01-30T12:01:00Z"


def test_bounds_that_a_row_does_not_take_are_left_out(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """The poll keeps to its window by looking at the tweets instead."""
    books.checkpoint = replace(books.checkpoint, since_id=5)
    x.answers({"data": [{"id": "7", "text": "x"}, {"id": "4", "text": "x"}], "meta": {"result_count": 2}})
    result = poll(client, Target(replace(MENTIONS, window=()), {"id": 12}), books, sink)
    assert "since_id" not in x.asked[0].params
    assert (result.newest_id, books.checkpoint.since_id) == (7, 7)


def test_only_pages_of_tweets_are_polled() -> None:
    """A lookup has no pages and counts are no tweets."""
    for endpoint in (TWEETS, COUNTS_RECENT):
        with pytest.raises(ValueError, match="cannot be polled"):
            Target(endpoint, {})


def test_a_body_goes_to_x_as_json(x: Any, client: XClient) -> None:
    """Methods other than GET also come from the row; a GET endpoint takes no body."""
    x.answers({"data": [{"id": "1"}]}, 201)
    client.request(RULES, json={"add": [{"value": "coffee", "tag": "ü"}]}, dry_run=True)
    [asked] = x.asked
    assert (asked.method, asked.path, asked.params) == ("POST", RULES.path, {"dry_run": "true"})
    assert asked.headers["content-type"] == "application/json"
    assert msgspec.json.decode(asked.body) == {"add": [{"value": "coffee", "tag": "ü"}]}
    with pytest.raises(ValueError, match="takes no body"):
        client.request(USAGE, json={})


def test_what_x_may_have_done_already_is_not_sent_twice(x: Any, client_of: Any, slept: Any) -> None:
    """A POST whose answer was cut off raises at once; one that X refused to process is retried."""

    def cut(handled: Any, asked: Any) -> None:
        handled.handler.close_connection = True

    x.behaves(cut).answers({"title": "Service Unavailable"}, 503).answers({"data": [{"id": "1"}]})
    client = client_of(x.url, backoff=Backoff(tries=3))
    with pytest.raises(Unreachable, match="POST /2/tweets/search/stream/rules failed in transit"):
        client.request(RULES, json={})
    client.request(RULES, json={})
    assert (len(x.asked), len(slept.seconds)) == (3, 1)


def test_a_refusal_names_the_method(x: Any, client: XClient) -> None:
    """GET and POST of one path are different endpoints."""
    x.answers({"title": "Invalid Request"}, 400)
    with pytest.raises(InvalidRequest, match="POST /2/tweets/search/stream/rules answered 400"):
        client.request(RULES, json={})
