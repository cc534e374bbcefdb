"""What the operators make of the client's, the books' and Kafka's answers: wait, skip, fail, or let Airflow retry."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_twitter.client import Backoff, ServerFailed, XClient
from airflow_provider_twitter.operators import collect
from airflow_provider_twitter.operators.search_tweets import SearchTweetsOperator
from airflow_provider_twitter.poll import Books
from airflow_provider_twitter.triggers.rate_limit_reset import RateLimitResetTrigger
from support.x_server import id_at


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch, sink: Any, x: Any) -> Any:
    """Connections to the fake X and to a sink that keeps its messages."""

    class KeepingSink:
        def __init__(self, configuration: dict[str, Any], topic: str) -> None:
            assert configuration == {"bootstrap.servers": "broker:9092"}

        def __enter__(self) -> Any:
            return sink

        def __exit__(self, *error: object) -> None:
            """Nothing to close."""

    monkeypatch.setattr(collect, "EnvelopeSink", KeepingSink)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    twitter = {"conn_type": "twitter", "host": x.url, "password": "token", "extra": {"allow_local": True}}
    kafka = {"conn_type": "kafka", "extra": {"bootstrap.servers": "broker:9092"}}
    monkeypatch.setenv("AIRFLOW_CONN_TWITTER_DEFAULT", json.dumps(twitter))
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps(kafka))
    return sink


def search(**options: Any) -> SearchTweetsOperator:
    return SearchTweetsOperator(task_id="search", topic="raw-tweets", **{"query": "coffee", **options})


def test_a_search_is_produced_and_told_in_short(x: Any, produced: Any) -> None:
    """The task's result is small and holds ids as text."""
    x.answers({"data": [{"id": "2124802337798788110"}], "meta": {}})
    assert search(rule="coffee").execute({}) == {
        "pages": 1,
        "tweets": 1,
        "newest_id": "2124802337798788110",
        "ended": "last_page",
        "cost_usd": "0.005",
    }
    assert produced.ids == [2124802337798788110]


def test_a_username_is_looked_up_and_its_timeline_read(x: Any, produced: Any) -> None:
    """With a username the user's own tweets are read by id."""
    x.answers({"data": [{"id": "12", "username": "jack"}]}).answers({"data": [{"id": "20"}], "meta": {}})
    search(query=None, username="jack", exclude=["replies"]).execute({})
    assert [asked.path for asked in x.asked] == ["/2/users/by", "/2/users/12/tweets"]


def test_an_unknown_username_fails_the_task(x: Any, produced: Any) -> None:
    """A username that X does not know is reported, without a retry."""
    x.answers({"errors": [{"value": "nobody", "type": "https://api.x.com/2/problems/resource-not-found"}]})
    with pytest.raises(AirflowFailException, match="nobody"):
        search(query=None, username="nobody").execute({})


def test_a_long_wait_that_x_asks_for_holds_no_worker(x: Any, produced: Any) -> None:
    """A 503 with Retry-After is waited for in the triggerer, not in the task."""
    x.answers({"title": "Service Unavailable", "status": 503}, 503, retry_after="600")
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferred:
        search().execute({})
    assert timedelta(seconds=599) <= deferred.value.trigger.reset_at - before <= timedelta(seconds=660)
    assert len(x.asked) == 1


@pytest.mark.parametrize(
    "given", [{"query": None}, {"user_id": 5}, {"query": None, "user_id": 5, "username": "a"}]
)
def test_exactly_one_thing_is_collected(given: dict[str, Any]) -> None:
    """Giving nothing, or two things, to collect is refused when the Dag is parsed."""
    with pytest.raises(ValueError, match="exactly one"):
        search(**given)


def test_a_rate_limit_is_waited_for_in_the_triggerer_and_the_poll_goes_on_below(
    x: Any, produced: Any
) -> None:
    """The task defers to the reset; afterwards the same poll continues where it was, with its own books."""
    reset_at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    newest = id_at(reset_at - timedelta(hours=1))
    x.answers({"data": [{"id": str(newest)}], "meta": {"next_token": "n"}})
    x.answers(b"", 429, x_rate_limit_reset=str(int(reset_at.timestamp())))
    operator = search()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, RateLimitResetTrigger)
    assert timedelta(0) <= trigger.reset_at - reset_at < timedelta(seconds=6)

    x.now_behaves(lambda handled, asked: handled.send(b'{"data":[{"id":"%d"}],"meta":{}}' % (newest - 1)))
    carried = json.loads(json.dumps(deferred.value.kwargs))
    resume = getattr(search(), deferred.value.method_name)
    assert resume({}, event={"reset_at": reset_at.isoformat()}, **carried)["newest_id"] == str(newest)
    assert x.asked[-1].params["until_id"] == str(newest)
    assert produced.ids == [newest, newest - 1]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"detail": "Unauthorized"}),
        (402, {"title": "no credits"}),
        (400, {"errors": [{"message": "bad", "parameters": {"query": ["x"]}}]}),
        (302, {}),
    ],
)
def test_what_a_retry_cannot_help_fails_at_once(x: Any, produced: Any, status: int, body: Any) -> None:
    """Refused credentials, credits, requests and addresses make the task fail without a retry."""
    x.answers(body, status)
    with pytest.raises(AirflowFailException, match=str(status)):
        search().execute({})
    assert len(x.asked) == 1


def test_an_outage_is_left_to_airflows_retry(x: Any, produced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stays down fails the task with an ordinary error."""
    hasty = partial(XClient, backoff=Backoff(tries=1))
    monkeypatch.setattr("airflow_provider_twitter.hooks.twitter.XClient", hasty)
    x.answers(b"", 503)
    with pytest.raises(ServerFailed):
        search().execute({})


def test_the_real_x_is_not_asked_without_a_budget(produced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token alone spends nothing: without budget_usd the first request is refused before it is sent."""
    twitter = {"conn_type": "twitter", "password": "token"}
    monkeypatch.setenv("AIRFLOW_CONN_TWITTER_DEFAULT", json.dumps(twitter))
    with pytest.raises(AirflowFailException, match="raise the budget"):
        search().execute({})


def test_a_budget_bounds_a_task(x: Any, produced: Any) -> None:
    """With budget_usd the request that could pass it is not sent."""
    x.answers({"data": [{"id": "9"}], "meta": {"next_token": "n"}})
    with pytest.raises(AirflowFailException, match="budget"):
        search(budget_usd="0.152", page_size=10).execute({})
    assert len(x.asked) == 1


class LeaseHeld(Exception):
    skip_task = True


class BudgetOfTheHouse(Exception):
    fail_task = True


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [(LeaseHeld, AirflowSkipException), (BudgetOfTheHouse, AirflowFailException), (KeyError, KeyError)],
)
def test_books_may_skip_or_fail_the_task(
    x: Any, produced: Any, raised: type[Exception], becomes: type[Exception]
) -> None:
    """The class of an exception from the owner's books decides whether the task is skipped, failed or retried."""

    class OwnBooks(SearchTweetsOperator):
        @contextmanager
        def open_books(self, context: Any) -> Iterator[Books]:
            raise raised("somebody else")
            yield

    with pytest.raises(becomes, match="somebody else"):
        OwnBooks(task_id="own", topic="raw-tweets", query="coffee").execute({})


@pytest.mark.parametrize(
    ("stated", "sent"),
    [("", None), ("None", None), (None, None), ("{now}", "{now}")],
)
def test_a_start_time_comes_as_text_from_a_template(x: Any, produced: Any, stated: Any, sent: Any) -> None:
    """An empty template means as far back as X goes."""
    now = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    x.answers({"meta": {"result_count": 0}})
    search(start_time=stated and stated.format(now=now.isoformat())).execute({})
    expected = sent and f"{now:%Y-%m-%dT%H:%M:%SZ}"
    assert x.asked[0].params.get("start_time") == expected


def test_a_start_time_without_a_zone_is_refused(x: Any, produced: Any) -> None:
    """A naive time is refused, since its time zone would be a guess."""
    with pytest.raises(ValueError, match="no time zone"):
        search(start_time="2026-03-01T00:00:00").execute({})
