"""Which error an answer stands for, and what it tells the caller."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twitter.client import (
    AddressRefused,
    CredentialsRefused,
    InvalidRequest,
    OutOfCredits,
    RateLimited,
    ServerFailed,
    SinceIdTooOld,
    UsageCapped,
    XClient,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


def at(offset: timedelta) -> str:
    return str(int((NOW + offset).timestamp()))


def limited_by(x: Any, client: XClient, **headers: str) -> RateLimited:
    x.answers({"title": "Too Many Requests", "status": 429}, 429, **headers)
    with pytest.raises(RateLimited) as refused:
        client.search_recent("coffee")
    assert len(x.asked) == 1
    return refused.value


def test_a_rate_limit_tells_when_to_ask_again_and_is_not_slept_away(
    x: Any, client: XClient, slept: Any
) -> None:
    """After a 429 nothing more is sent; the error carries the reset."""
    refused = limited_by(x, client, x_rate_limit_reset=at(timedelta(minutes=7)), date=DATE)
    assert (refused.reset_at, refused.is_estimated) == (NOW + timedelta(minutes=7), False)
    assert slept.seconds == []


def test_the_wait_is_measured_by_the_servers_clock(x: Any, client: XClient) -> None:
    """The wait for a server whose clock is an hour ahead is as long as the server intends."""
    ahead = "Sun, 01 Mar 2026 13:00:00 GMT"
    refused = limited_by(x, client, x_rate_limit_reset=at(timedelta(minutes=67)), date=ahead)
    assert refused.reset_at == NOW + timedelta(minutes=7)


@pytest.mark.parametrize(
    ("reset", "wait"),
    [
        (None, timedelta(seconds=60)),
        ("", timedelta(seconds=60)),
        ("soon", timedelta(seconds=60)),
        ("-5", timedelta(seconds=60)),
        ("9" * 30, timedelta(seconds=60)),
        ("9" * 18, timedelta(seconds=60)),
        (at(-timedelta(minutes=3)), timedelta(seconds=60)),
        ("4102444800", timedelta(minutes=15)),
    ],
    ids=["missing", "empty", "word", "negative", "30 digits", "18 digits", "past", "year 2100"],
)
def test_a_missing_past_or_absurd_reset_is_estimated_and_capped(
    x: Any, client: XClient, reset: str | None, wait: timedelta
) -> None:
    """Without a usable reset the wait is a minute; an absurd one is cut at the window of 15 minutes."""
    headers = {} if reset is None else {"x_rate_limit_reset": reset}
    refused = limited_by(x, client, date=DATE, **headers)
    assert (refused.reset_at - NOW, refused.is_estimated) == (wait, True)


def test_a_rate_limit_in_the_words_of_v1_is_one_too(x: Any, client: XClient) -> None:
    """The body of a 429 does not matter."""
    x.answers({"errors": [{"code": 88, "message": "Rate limit exceeded"}]}, 429)
    with pytest.raises(RateLimited):
        client.search_recent("coffee")


@pytest.mark.parametrize("host", ["api.x.com", "api.twitter.com"])
def test_a_used_up_cap_is_no_rate_limit(x: Any, client: XClient, host: str) -> None:
    """The usage cap also comes as a 429, but waiting 15 minutes would not help."""
    x.answers({"type": f"https://{host}/2/problems/usage-capped", "period": "Monthly"}, 429)
    with pytest.raises(UsageCapped, match="Monthly"):
        client.search_recent("coffee")


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsRefused), (403, CredentialsRefused), (402, OutOfCredits), (404, InvalidRequest)],
)
def test_what_a_retry_cannot_help_is_asked_once(
    x: Any, client: XClient, status: int, error: type[Exception]
) -> None:
    """Refused credentials, missing credits and unknown things are raised at once, with X's own words."""
    x.answers({"title": "No", "detail": "because of the moon"}, status, x_transaction_id="t-1")
    with pytest.raises(error, match=r"because of the moon \(x-transaction-id t-1\)") as refused:
        client.search_recent("coffee")
    assert len(x.asked) == 1
    assert getattr(refused.value, "status", None) == status


def test_an_invalid_request_names_its_parameters(x: Any, client: XClient) -> None:
    """The parameters that X complains about are part of the error."""
    complaint = {"message": "There were errors processing your request", "parameters": {"query": ["a b"]}}
    x.answers({"errors": [complaint], "title": "Invalid Request"}, 400)
    with pytest.raises(InvalidRequest, match="There were errors") as refused:
        client.search_recent("coffee")
    assert refused.value.parameters == ("query",)


def test_a_since_id_out_of_reach_is_known_as_such(x: Any, client: XClient) -> None:
    """A since_id older than 7 days has an error of its own."""
    complaint = {
        "message": "'since_id' must be a tweet id created after [2026-02-22T12:00Z].",
        "parameters": {"since_id": ["5"]},
    }
    x.answers({"errors": [complaint]}, 400)
    with pytest.raises(SinceIdTooOld):
        client.search_recent("coffee", since_id=5)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_failures_of_the_server_are_tried_again_with_growing_waits(
    x: Any, client: XClient, slept: Any, status: int
) -> None:
    """A burst of 5xx shorter than the tries is survived; the waits grow."""
    x.answers(b"<html>over capacity</html>", status).answers(b"", status).answers(
        {"data": [{"id": "1"}], "meta": {"result_count": 1}}
    )
    assert client.search_recent("coffee").data[0].id == 1
    assert slept.seconds == [1.0, 2.0]


def test_a_server_that_stays_down_is_given_up(x: Any, client: XClient) -> None:
    """After the last try the failure is raised."""
    x.answers(b"", 503)
    with pytest.raises(ServerFailed, match="answered 503"):
        client.search_recent("coffee")
    assert len(x.asked) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_refused(x: Any, client: XClient, status: int) -> None:
    """The token follows no redirect, neither to another host nor to the same one."""
    x.answers(b"", status, location=f"{x.url}/elsewhere")
    with pytest.raises(AddressRefused, match="redirect"):
        client.search_recent("coffee")
    assert len(x.asked) == 1
