"""The adapter translates every error of the client, and every target can be polled by the client."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twitter import client, poll
from airflow_provider_twitter.client import Requested
from airflow_provider_twitter.client.endpoints import endpoint_named
from airflow_provider_twitter.client.request import Request
from pipeline_x import translated
from twitter_pipeline.collection import asking
from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kinds import KINDS

RESET = datetime(2026, 3, 1, tzinfo=UTC)


def subclasses(base: type[Any]) -> list[type[Any]]:
    return [base, *(each for child in base.__subclasses__() for each in subclasses(child))]


def translation(failed: client.XError) -> asking.XError:
    with pytest.raises(asking.XError) as told, translated():
        raise failed
    assert told.value.__cause__ is failed
    return told.value


@pytest.mark.parametrize("error", subclasses(client.XError))
def test_every_error_of_the_client_has_one_of_collecting(error: type[client.XError]) -> None:
    """With the same text, and never as the base class if the client knows more."""
    more = {"reset_at": RESET} if issubclass(error, client.RateLimited) else {}
    told = translation(error("GET /2/tweets answered 400: no", status=400, **more))
    assert str(told) == "GET /2/tweets answered 400: no"
    if error not in (client.XError, client.BodyTooLarge):
        assert type(told) is not asking.XError


@pytest.mark.parametrize(
    ("failed", "kind", "concerns_all"),
    [
        (client.CredentialsRefused("no token"), asking.CredentialsRefused, True),
        (client.CredentialsRefused("401", status=401), asking.CredentialsRefused, True),
        (client.CredentialsRefused("403", status=403), asking.CredentialsRefused, False),
        (client.RateLimited("429", status=429, reset_at=RESET), asking.RateLimited, True),
        (client.OutOfCredits("402", status=402), asking.SpendingStopped, True),
        (client.UsageCapped("429", status=429), asking.SpendingStopped, True),
        (client.AddressRefused("a redirect", status=302), asking.AddressRefused, True),
        (client.SinceIdTooOld("400", status=400), asking.InvalidRequest, False),
        (client.NotFromX("a portal", status=200), asking.TryAgain, False),
        (client.BodyTooLarge("too large"), asking.XError, False),
    ],
)
def test_what_concerns_all_items_is_told_apart_from_what_concerns_one(
    failed: client.XError, kind: type[asking.XError], concerns_all: bool
) -> None:
    """If X accepts a token and forbids one item (403), that says nothing about other items."""
    told = translation(failed)
    assert (type(told), told.concerns_all) == (kind, concerns_all)


def test_times_to_wait_are_kept() -> None:
    """Until when, and how long."""
    limited = translation(client.RateLimited("used up", reset_at=RESET, status=429))
    assert isinstance(limited, asking.RateLimited)
    assert limited.reset_at == RESET
    away = client.ServerFailed("503", status=503)
    away.retry_after = timedelta(minutes=2)
    told = translation(away)
    assert isinstance(told, asking.TryAgain)
    assert told.retry_after == timedelta(minutes=2)


def test_errors_of_others_pass() -> None:
    """Errors of the ledger, of the sink, of the machine."""
    with pytest.raises(OSError, match="disk"), translated():
        raise OSError("disk")
    with contextlib.suppress(KeyError), translated():
        raise KeyError


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_target_of_every_kind_can_be_polled(kind: Any) -> None:
    """The client's table has an endpoint of that name, which returns pages of tweets and takes these parameters."""
    samples = {"query": "tea"}
    spec = kind.parse(samples.get(kind.field, ["alice"]))
    [target] = kind.targets(spec, [Account("alice", 7)] if kind.accounts(spec) else [])
    asked = poll.Target(endpoint_named(target.endpoint), target.parameters)
    assert Request.of(asked.endpoint, asked.params, requested=Requested.everything_public())
    assert (target.account is None) == (asked.user_id is None)
    assert asked.endpoint.source == target.source, "pages and envelopes name the way alike"
