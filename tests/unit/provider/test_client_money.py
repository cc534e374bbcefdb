"""Every request is priced before it is sent and recorded after."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twitter.client import (
    Backoff,
    BodyTooLarge,
    CredentialsRefused,
    Limits,
    RateLimited,
    ServerFailed,
    TryAgain,
    Unreachable,
)
from airflow_provider_twitter.client.endpoints import endpoint_at
from airflow_provider_twitter.client.ledger import CircuitOpen
from airflow_provider_twitter.client.pages import parse_body
from airflow_provider_twitter.client.pricing import actual_usd, worst_case_usd
from airflow_provider_twitter.poll import BudgetSpent, InMemoryBooks

SEARCH = "/2/tweets/search/recent"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Dated(InMemoryBooks):
    """Books whose clock stands where a test puts it."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


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
    assert worst_case_usd(endpoint_at(endpoint), params) == Decimal(usd)


def test_an_endpoint_without_a_price_is_not_asked() -> None:
    """An endpoint without a price is refused."""
    with pytest.raises(ValueError, match="no price is known"):
        endpoint_at("/2/tweets/search/all")


def test_an_answer_costs_its_tweets_and_their_authors_once() -> None:
    """Two tweets of one author are two post reads and one user read; mentioned users are not counted."""
    body = parse_body(
        b'{"data":[{"id":"1","author_id":"7"},{"id":"2","author_id":"7"}],"includes":{"users":[{"id":"7"},{"id":"8"}]}}'
    )
    assert actual_usd(endpoint_at(SEARCH), {}, body) == Decimal("0.02")


def test_a_request_is_reserved_then_sent_then_settled(x: Any, client: Any, books: Any) -> None:
    """The ledger gets the worst case first and the facts afterwards, with the same reservation."""
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
    """A request that the ledger refuses never reaches X, not even as the smallest page."""
    x.answers({})
    with pytest.raises(BudgetSpent, match=r"may cost up to 0\.15"):
        client.charged_to(InMemoryBooks(budget_usd=Decimal("0.14"))).search_recent("coffee")
    assert x.asked == []


@pytest.mark.parametrize(
    ("budget", "asked", "sent"),
    [("1.50", 100, 100), ("1.49", 100, 99), ("0.30", 100, 20), ("0.16", 100, 10), ("0.15", 50, 10)],
)
def test_a_page_is_as_large_as_the_budget_has_money_for(
    x: Any, client: Any, budget: str, asked: int, sent: int
) -> None:
    """If the budget is smaller than a page's worst case, a smaller page is requested instead of nothing."""
    x.answers({"data": [{"id": "1"}], "meta": {"result_count": 1}})
    books = InMemoryBooks(budget_usd=Decimal(budget))
    page = client.charged_to(books).search_recent("coffee", max_results=asked)
    assert x.asked[0].params["max_results"] == page.params["max_results"] == str(sent)


def test_the_smallest_page_is_the_endpoints_own(x: Any, client: Any) -> None:
    """A timeline has pages down to 5, a search down to 10; without a budget the page size is unchanged."""
    x.answers({"data": [{"id": "1"}], "meta": {"result_count": 1}})
    client.charged_to(InMemoryBooks(budget_usd=Decimal("0.08"))).user_tweets(12)
    client.charged_to(InMemoryBooks()).user_tweets(12)
    assert [asked.params["max_results"] for asked in x.asked] == ["5", "100"]


@pytest.mark.parametrize(
    ("status", "body", "error", "cost"),
    [
        (401, {"title": "Unauthorized"}, CredentialsRefused, Decimal(0)),
        (429, {"title": "Too Many Requests"}, RateLimited, Decimal(0)),
        (503, {"title": "Service Unavailable"}, ServerFailed, Decimal(0)),
        (503, "over capacity", ServerFailed, None),
    ],
)
def test_failed_requests_are_recorded_and_free_where_x_says_so(
    x: Any, client: Any, books: Any, status: int, body: Any, error: type[Exception], cost: Decimal | None
) -> None:
    """Each try, including retries, is reserved and recorded with its error; a 5xx that is not X's may cost."""
    x.answers(body, status)
    with pytest.raises(error):
        client.charged_to(books).search_recent("coffee")
    records = books.noted("record_request")
    assert len(records) == len(books.noted("may_spend")) == len(x.asked)
    assert {(each["status"], each["cost_usd"]) for each in records} == {(status, cost)}
    assert all(each["error"].startswith(error.__name__) for each in records)
    assert len({each["request_id"] for each in records}) == len(records)


def test_an_answer_that_broke_on_the_way_keeps_its_reservation(x: Any, client_of: Any, books: Any) -> None:
    """X may have charged for a 200 that did not arrive complete, so the budget counts its worst case."""
    x.answers(b"x" * 5000)
    client = client_of(x.url, limits=Limits(body_bytes=1000)).charged_to(books)
    with pytest.raises(BodyTooLarge):
        client.search_recent("coffee", max_results=10)
    [record] = books.noted("record_request")
    assert (record["status"], record["cost_usd"], books.spent_usd) == (200, None, Decimal("0.15"))


def hang_up(handled: Any, asked: Any) -> None:
    handled.handler.close_connection = True


def test_three_unknown_outcomes_in_a_row_stop_the_books_until_a_probe_succeeds(
    x: Any, client_of: Any, slept: Any
) -> None:
    """Nothing is sent for 15 minutes, then the smallest request alone, then after twice as long; a success ends it."""
    books, start = Dated(), NOW
    client = client_of(x.url, backoff=Backoff(tries=4)).charged_to(books)
    x.behaves(hang_up)
    with pytest.raises(Unreachable) as failed:
        client.search_recent("coffee")
    assert isinstance(failed.value.__cause__, CircuitOpen)
    assert (len(x.asked), books.probe_at) == (3, start + timedelta(minutes=15))
    for minutes, wait in [(15, 30), (45, 60), (105, 120)]:
        books.at = start + timedelta(minutes=minutes) - timedelta(seconds=1)
        with pytest.raises(CircuitOpen):
            client.search_recent("coffee")
        books.at += timedelta(seconds=1)
        with pytest.raises(Unreachable):
            client.search_recent("coffee")
        assert books.probe_at == books.at + timedelta(minutes=wait)
    assert [each.params["max_results"] for each in x.asked] == ["100"] * 3 + ["10"] * 3
    assert books.spent_usd == 3 * Decimal("1.5") + 3 * Decimal("0.15")
    books.at += timedelta(minutes=120)
    x.now_behaves(lambda handled, _: handled.send(b'{"data":[{"id":"1"}],"meta":{"result_count":1}}'))
    client.search_recent("coffee")
    client.search_recent("coffee")
    assert [each.params["max_results"] for each in x.asked[6:]] == ["10", "100"]


def test_the_wait_for_a_probe_ends_at_a_day() -> None:
    """The wait does not double beyond a day."""
    books = Dated()
    for _ in range(20):
        books.record_request("", cost_usd=None, error="cut")
    assert books.probe_at == NOW + timedelta(days=1)


def test_a_known_failure_between_unknown_ones_does_not_count_as_a_success(x: Any, client_of: Any) -> None:
    """A bad hour mixes 503s from X with broken connections; only a success ends it."""
    books = InMemoryBooks()
    client = client_of(x.url, backoff=Backoff(tries=1)).charged_to(books)
    x.behaves(hang_up).answers({"title": "Service Unavailable"}, 503).behaves(hang_up).behaves(hang_up)
    for _ in range(4):
        with pytest.raises(TryAgain):
            client.search_recent("coffee")
    assert books.probe_at is not None


def test_an_answer_larger_than_asked_is_booked_whole_and_stops_the_books(x: Any, client: Any) -> None:
    """The page is returned, its cost is counted, and nothing more is requested."""
    x.answers({"data": [{"id": str(n)} for n in range(1, 51)], "meta": {"result_count": 50}})
    books = InMemoryBooks(budget_usd=Decimal("0.2"))
    page = client.charged_to(books).search_recent("coffee", max_results=10)
    assert (len(page.data), books.spent_usd) == (50, Decimal("0.25"))
    with pytest.raises(BudgetSpent, match=r"0\.10* USD more than was reserved"):
        client.charged_to(books).search_recent("coffee", max_results=10)
    assert len(x.asked) == 1


def test_a_task_that_is_ended_in_a_request_keeps_its_reservation(
    x: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task timeout or Ctrl-C is not an XError, and the cost of its request is unknown."""
    books = InMemoryBooks()
    monkeypatch.setattr(client._transport, "exchange", ended)
    with pytest.raises(KeyboardInterrupt):
        client.charged_to(books).search_recent("coffee", max_results=10)
    assert (books.spent_usd, books.unknown_in_a_row) == (Decimal("0.15"), 1)


def ended(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
