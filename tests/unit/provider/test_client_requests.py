"""What the client sends, and how an answer comes back."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twitter.client import Requested, XClient

TWEET = b'{"id":"20",  "text":"just setting up my twttr","author_id":"12" , "unknown_field":[1.50]}'
PAGE = (
    b'{"data":['
    + TWEET
    + b'],"includes":{"users":[{"id":"12"}]},"errors":[{"value":"9"}],"meta":{"next_token":"n"}}'
)


def test_a_search_asks_for_all_public_fields_and_the_window_given(x: Any, client: XClient) -> None:
    """A search sends query, window, token and every field that a pipeline stores."""
    x.answers(PAGE)
    client.search_recent("coffee lang:en", since_id=5, until_id=900, next_token="n", max_results=50)
    [asked] = x.asked
    assert asked.path == "/2/tweets/search/recent"
    assert asked.params["query"] == "coffee lang:en"
    assert (asked.params["since_id"], asked.params["until_id"]) == ("5", "900")
    assert (asked.params["next_token"], asked.params["max_results"]) == ("n", "50")
    assert "referenced_tweets.id.author_id" in asked.params["expansions"].split(",")
    assert {"note_tweet", "edit_controls", "withheld"} <= set(asked.params["tweet.fields"].split(","))


def test_an_answer_keeps_bytes_headers_and_how_it_was_asked(x: Any, client: XClient) -> None:
    """A page holds the tweet byte for byte, the rate limit, the token of the next page and the request."""
    x.answers(PAGE, x_rate_limit_limit="450", x_rate_limit_remaining="449", x_rate_limit_reset="1772366400")
    page = client.search_recent("coffee")
    assert bytes(page.data[0].raw) == TWEET
    assert page.data[0].id == 20
    assert page.next_token == "n"
    assert [user.id for user in page.includes["users"]] == [12]
    assert page.errors[0].value == {"value": "9"}
    assert page.rate_limit is not None
    assert page.rate_limit.as_dict() == {
        "limit": 450,
        "remaining": 449,
        "reset_at": datetime.fromtimestamp(1772366400, UTC).isoformat(),
    }
    assert page.endpoint == "/2/tweets/search/recent"
    assert page.requested == Requested.everything_public()
    assert page.cost_usd == Decimal("0.015")


def test_a_timeline_is_asked_by_path_and_named_by_its_template(x: Any, client: XClient) -> None:
    """The endpoint has the same name as in X's rate limits, with the user's id among the parameters."""
    x.answers(PAGE)
    page = client.user_tweets(12, exclude=["replies"], start_time=datetime(2026, 2, 1, tzinfo=UTC))
    assert x.asked[0].path == "/2/users/12/tweets"
    assert x.asked[0].params["exclude"] == "replies"
    assert x.asked[0].params["start_time"] == "2026-02-01T00:00:00Z"
    assert (page.endpoint, page.params["id"]) == ("/2/users/:id/tweets", "12")


@pytest.mark.parametrize(
    ("call", "path", "params"),
    [
        (lambda client: client.tweets([20, 21]), "/2/tweets", {"ids": "20,21"}),
        (lambda client: client.users([12]), "/2/users", {"ids": "12"}),
        (lambda client: client.users_by(["jack"]), "/2/users/by", {"usernames": "jack"}),
        (
            lambda client: client.counts_recent("coffee", granularity="day"),
            "/2/tweets/counts/recent",
            {"query": "coffee", "granularity": "day"},
        ),
        (lambda client: client.usage(days=3), "/2/usage/tweets", {"days": "3"}),
    ],
)
def test_lookups_counts_and_usage(
    x: Any, client: XClient, call: Callable[[XClient], Any], path: str, params: dict[str, str]
) -> None:
    """Each further endpoint has its method."""
    x.answers({"data": {"project_usage": "1"}, "meta": {"total_tweet_count": 1}})
    page = call(client)
    assert x.asked[0].path == path
    assert params.items() <= x.asked[0].params.items()
    assert page.data[0].value == {"project_usage": "1"}


def test_the_post_vocabulary_asks_in_its_own_names(x: Any, client_of: Any) -> None:
    """With vocabulary "post" nothing of the tweet vocabulary is sent."""
    x.answers({"data": [{"id": "1"}], "includes": {"posts": [{"id": "2"}]}, "meta": {"result_count": 1}})
    page = client_of(x.url, requested=Requested.everything_public("post")).search_recent("coffee")
    sent = x.asked[0].params
    assert "tweet.fields" not in sent
    assert "note_post" in sent["post.fields"].split(",")
    assert "referenced_posts" in sent["expansions"].split(",")
    assert [post.id for post in page.includes["posts"]] == [2]


@pytest.mark.parametrize("vocabulary", ["tweet", "post"])
def test_every_requested_name_is_in_the_openapi_document_of_its_vocabulary(
    openapi: Any, vocabulary: Any
) -> None:
    """The client asks for no field or expansion that X's own document does not list."""
    import msgspec

    version, noun = {"tweet": ("2.166", "Tweet"), "post": ("2.167", "Post")}[vocabulary]
    [path] = openapi.glob(f"openapi_{version}_*.json")
    parameters = msgspec.json.decode(path.read_bytes())["components"]["parameters"]
    listed = {
        name: set(each["schema"]["items"].get("enum", ()))
        for name, each in parameters.items()
        if "items" in each["schema"]
    }
    requested = Requested.everything_public(vocabulary)
    assert set(requested.tweet_fields) <= listed[f"{noun}FieldsParameter"]
    assert set(requested.expansions) <= listed[f"{noun}ExpansionsParameter"]
    assert set(requested.user_fields) <= listed["UserFieldsParameter"]
    assert set(requested.media_fields) <= listed["MediaFieldsParameter"]
    assert set(requested.place_fields) <= listed["PlaceFieldsParameter"]
    assert set(requested.poll_fields) <= listed["PollFieldsParameter"]


def test_a_page_without_hits_has_only_meta(x: Any, client: XClient) -> None:
    """X answers a search without hits with nothing but a count."""
    x.answers({"meta": {"result_count": 0}})
    page = client.search_recent("coffee")
    assert (page.data, page.includes, page.errors, page.next_token) == ((), {}, (), None)


def test_proxies_cookies_and_netrc_of_the_environment_are_not_used(
    x: Any, client: XClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The environment changes neither the route nor the credentials of a request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password stolen\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    x.answers(PAGE, set_cookie="guest_id=1")
    client.search_recent("a")
    client.search_recent("b")
    assert [asked.headers["authorization"].split()[0] for asked in x.asked] == ["Bearer", "Bearer"]
    assert "cookie" not in x.asked[1].headers
