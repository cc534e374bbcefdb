"""Every request is priced before it is sent and recorded after."""

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twitter.client import (
    BodyTooLarge,
    CredentialsRefused,
    Limits,
    RateLimited,
    ServerFailed,
)
from airflow_provider_twitter.client.pages import parse_body
from airflow_provider_twitter.client.pricing import actual_usd, worst_case_usd
from airflow_provider_twitter.poll import BudgetSpent, InMemoryBooks

SEARCH = "/2/tweets/search/recent"


@pytest.mark.parametrize(
    ("endpoint", "params", "usd"),
    [
        (SEARCH, {"max_results": "100", "expansions": "author_id,geo.place_id"}, "1.5"),
        (SEARCH, {"max_results": "100"}, "0.5"),
        (SEARCH, {}, "0.05"),
        ("/2/users/:id/tweets", {"max_results": "5", "expansions": "author_id"}, "0.075"),
        ("/2/tweets", {"ids": "1,2,3"}, "0.015"),
        ("/2/users", {"ids": "1,2"}, "0.02"),
        ("/2/users/by", {"usernames": "jack"}, "0.01"),
        ("/2/tweets/counts/recent", {"query": "a"}, "0.005"),
        ("/2/usage/tweets", {}, "0"),
    ],
)
def test_the_worst_case_of_a_request(endpoint: str, params: dict[str, str], usd: str) -> None:
    """Before it is sent a request costs as much as a full page, with a new author for each tweet."""
    assert worst_case_usd(endpoint, params) == Decimal(usd)


def test_an_endpoint_without_a_price_is_not_asked() -> None:
    """What has no price cannot be priced, so it is refused."""
    with pytest.raises(ValueError, match="no price is known"):
        worst_case_usd("/2/tweets/search/all", {})


def test_an_answer_costs_its_tweets_and_their_authors_once() -> None:
    """Two tweets of one author are two post reads and one user read; mentioned users are not counted."""
    body = parse_body(
        b'{"data":[{"id":"1","author_id":"7"},{"id":"2","author_id":"7"}],"includes":{"users":[{"id":"7"},{"id":"8"}]}}'
    )
    assert actual_usd(SEARCH, {}, body) == Decimal("0.02")


def test_a_request_is_reserved_then_sent_then_settled(x: Any, client: Any, books: Any) -> None:
    """The books hear the worst case first and the facts after, with the same reservation."""
    x.answers({"data": [{"id": "1"}], "meta": {"result_count": 1}}, x_rate_limit_remaining="7")
    page = client.charged_to(books).search_recent("coffee", max_results=10)
    [(first, asked), (second, told)] = books.notes
    assert (first, asked) == ("may_spend", {"endpoint": SEARCH, "price_usd": Decimal("0.15")})
    assert second == "record_request"
    assert told["reservation"] == "reservation-1"
    assert told["request_id"] == page.request_id
    assert told["params"]["query"] == "coffee"
    assert (told["status"], told["result_count"], told["cost_usd"]) == (200, 1, Decimal("0.005"))
    assert told["rate_limit"] == {"limit": None, "remaining": 7, "reset_at": None}
    assert told["error"] is None


def test_a_refused_request_is_not_sent(x: Any, client: Any) -> None:
    """What the books refuse never reaches X."""
    x.answers({})
    with pytest.raises(BudgetSpent, match=r"may cost up to 1\.5"):
        client.charged_to(InMemoryBooks(budget_usd=Decimal("1.49"))).search_recent("coffee")
    assert x.asked == []


@pytest.mark.parametrize(
    ("status", "error"), [(401, CredentialsRefused), (429, RateLimited), (503, ServerFailed)]
)
def test_failed_requests_are_recorded_and_free(
    x: Any, client: Any, books: Any, status: int, error: type[Exception]
) -> None:
    """Each try, also of a repeated request, is asked for and recorded with its error; it costs nothing."""
    x.answers(b"", status)
    with pytest.raises(error):
        client.charged_to(books).search_recent("coffee")
    records = books.noted("record_request")
    assert len(records) == len(books.noted("may_spend")) == len(x.asked)
    assert {(each["status"], each["cost_usd"]) for each in records} == {(status, Decimal(0))}
    assert all(each["error"].startswith(error.__name__) for each in records)
    assert len({each["request_id"] for each in records}) == len(records)


def test_an_answer_that_broke_on_the_way_is_recorded_at_its_worst_case(
    x: Any, client_of: Any, books: Any
) -> None:
    """X may have counted the reads of a 200 that did not reach us whole, so the budget counts them too."""
    x.answers(b"x" * 5000)
    client = client_of(x.url, limits=Limits(body_bytes=1000)).charged_to(books)
    with pytest.raises(BodyTooLarge):
        client.search_recent("coffee", max_results=10)
    [record] = books.noted("record_request")
    assert (record["status"], record["cost_usd"]) == (200, Decimal("0.15"))
