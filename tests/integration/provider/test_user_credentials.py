"""Users' credentials, from the client through its transport to a simulator that checks them on its own."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_twitter.client import (
    Backoff,
    CredentialsRefused,
    Limits,
    NotFromX,
    ServerFailed,
    UnprovenAnswer,
    XClient,
)
from airflow_provider_twitter.client.auth import (
    Auth,
    Authorization,
    BearerToken,
    OAuth1UserToken,
    OAuth2UserToken,
    UserTokens,
)
from airflow_provider_twitter.client.transport import Transport
from airflow_provider_twitter.poll import InMemoryBooks, Timeline, poll
from support.apps import serving
from support.sinks import RememberingSink
from x_api_simulator.clock import Clock, parse_moment
from x_api_simulator.server import create_app
from x_api_simulator.user_auth import CONFIDENTIAL_CLIENT, CONSUMER, USER_OF_OAUTH1
from x_api_simulator.world import World

REDIRECT = "https://app.example/back"
SCOPES = ("tweet.read", "users.read", "offline.access")
PUBLIC_CLIENT = ("public-client", None)
ONCE = Backoff(tries=1)


@dataclass
class Noting(InMemoryBooks):
    """Books that note every request."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def record_request(self, reservation: str, **facts: Any) -> None:
        self.records.append(facts)
        super().record_request(reservation, **facts)


@dataclass
class X:
    """A simulator of its own, and what its requests were."""

    url: str
    world: World

    def control(self, method: str, path: str, **options: Any) -> Any:
        answer = requests.request(method, f"{self.url}/_control/{path}", timeout=10, **options)
        assert answer.ok, answer.text
        return answer.json()

    def later(self, **wait: float) -> None:
        self.control("POST", "clock", json={"advance_seconds": timedelta(**wait).total_seconds()})

    def asked(self) -> list[tuple[str, str, int]]:
        listed = self.control("GET", "requests")["requests"]
        return [(one["method"], one["path"], one["status"]) for one in listed]


@pytest.fixture
def x() -> Iterator[X]:
    now_ms = parse_moment("2026-03-01T12:00:00Z")
    world = World(7, now_ms - 3_600_000, 0.05, Clock(frozen_at_ms=now_ms))
    with serving(create_app(world), log_level="critical", access_log=False, lifespan="off") as url:
        yield X(url, world)


@pytest.fixture
def client_of(x: X) -> Iterator[Callable[..., XClient]]:
    made: list[XClient] = []

    def make(auth: Auth, **options: Any) -> XClient:
        made.append(XClient(auth=auth, base_url=x.url, allow_local=True, **{"backoff": ONCE, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def transport(x: X) -> Iterator[Transport]:
    opened = Transport(x.url, limits=Limits(), allow_local=True)
    yield opened
    opened.close()


def granted(
    transport: Transport, client_id: str, client_secret: str | None, scopes: tuple[str, ...] = SCOPES
) -> UserTokens:
    """The tokens of a user who was sent to X and agreed."""
    asking = Authorization(
        transport, client_id, redirect_uri=REDIRECT, scopes=scopes, client_secret=client_secret
    )
    back = requests.get(asking.url, allow_redirects=False, timeout=10)
    assert back.headers["location"].startswith(REDIRECT), back.text
    return asking.tokens(back.headers["location"])


def no_store(tokens: UserTokens) -> None:
    raise AssertionError("nothing was to be renewed")


@pytest.mark.parametrize("app", [PUBLIC_CLIENT, CONFIDENTIAL_CLIENT], ids=["public", "confidential"])
def test_a_user_is_asked_read_for_and_renewed(
    x: X, transport: Transport, client_of: Callable[..., XClient], app: tuple[str, str | None]
) -> None:
    """From the authorize page to tokens, to tweets, and past their two hours by a refresh that is stored first."""
    client_id, client_secret = app
    first, stored = granted(transport, *app), list[UserTokens]()
    auth = OAuth2UserToken(client_id, first, store=stored.append, client_secret=client_secret)
    client, books = client_of(auth), Noting()
    assert client.charged_to(books).users([x.world.most_active[0].id]).data
    x.later(hours=2, seconds=1)
    x.control("DELETE", "requests")
    assert client.charged_to(books).users([x.world.most_active[0].id]).data
    assert x.asked() == [("GET", "/2/users", 401), ("POST", "/2/oauth2/token", 200), ("GET", "/2/users", 200)]
    [renewed] = stored
    assert renewed.access_token != first.access_token
    assert renewed.refresh_token not in (None, first.refresh_token)
    usd = Decimal("0.01")
    assert [(each["status"], each["cost_usd"]) for each in books.records] == [
        (200, usd),
        (401, 0),
        (200, usd),
    ]
    assert len({each["request_id"] for each in books.records}) == 3
    x.later(hours=3)
    client.users([x.world.most_active[0].id])
    assert len(stored) == 2


def test_a_refresh_token_works_once(x: X, transport: Transport, client_of: Callable[..., XClient]) -> None:
    """A client with the old tokens is refused after one refresh, without a loop."""
    first, stored = granted(transport, *PUBLIC_CLIENT), list[UserTokens]()
    x.later(hours=3)
    client_of(OAuth2UserToken("public-client", first, store=stored.append)).users([1])
    x.control("DELETE", "requests")
    late = client_of(OAuth2UserToken("public-client", first, store=no_store))
    with pytest.raises(CredentialsRefused, match=r"answered 400: invalid_request: .*authorize the app again"):
        late.users([1])
    assert x.asked() == [("GET", "/2/users", 401), ("POST", "/2/oauth2/token", 400)]


def test_a_user_who_is_refused_with_new_tokens_too_is_refused(
    x: X, transport: Transport, client_of: Callable[..., XClient]
) -> None:
    """One refresh for one call: a second 401 is raised."""
    first, stored = granted(transport, *PUBLIC_CLIENT), list[UserTokens]()
    problem = {"status": 401, "body": '{"title": "Unauthorized"}', "content_type": "application/json"}
    x.control("POST", "faults", json=[{"path": "/2/users", "times": 9, **problem}])
    with pytest.raises(CredentialsRefused, match="GET /2/users answered 401"):
        client_of(OAuth2UserToken("public-client", first, store=stored.append)).users([1])
    assert (len(stored), [status for _, _, status in x.asked()][2:]) == (1, [401, 200, 401])


def test_tokens_that_were_not_stored_are_not_used(
    x: X, transport: Transport, client_of: Callable[..., XClient]
) -> None:
    """If the owner cannot store the tokens, the call stops, and the same tokens are passed to it next time."""
    first, stored, is_down = granted(transport, *PUBLIC_CLIENT), list[UserTokens](), [True]

    def store(tokens: UserTokens) -> None:
        if is_down:
            raise ConnectionError("the database is away")
        stored.append(tokens)

    client = client_of(OAuth2UserToken("public-client", first, store=store))
    x.later(hours=3)
    x.control("DELETE", "requests")
    with pytest.raises(ConnectionError):
        client.users([x.world.most_active[0].id])
    assert x.asked()[-1][1] == "/2/oauth2/token"
    is_down.clear()
    client.users([x.world.most_active[0].id])
    asked = [path for _, path, _ in x.asked()]
    assert (asked.count("/2/oauth2/token"), len(stored)) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503, "body": '{"title": "Service Unavailable"}'}, ServerFailed),
        ({"status": 403, "body": "<html>portal</html>"}, NotFromX),
        ({"status": 200, "body": "{}", "content_type": "application/json"}, UnprovenAnswer),
    ],
    ids=["outage", "portal", "nothing said"],
)
def test_an_outage_of_the_token_endpoint_says_nothing_about_the_tokens(
    x: X,
    transport: Transport,
    client_of: Callable[..., XClient],
    fault: dict[str, Any],
    error: type[Exception],
) -> None:
    """The error is raised for a later try; only X's own refusal requires a new authorization."""
    first, stored = granted(transport, *PUBLIC_CLIENT), list[UserTokens]()
    client = client_of(OAuth2UserToken("public-client", first, store=stored.append))
    x.later(hours=3)
    x.control("POST", "faults", json=[{"path": "/2/oauth2/token", "times": 1, **fault}])
    with pytest.raises(error):
        client.users([x.world.most_active[0].id])
    assert client.users([x.world.most_active[0].id]).data
    assert len(stored) == 1


def test_without_a_refresh_token_an_expired_one_is_refused(
    x: X, transport: Transport, client_of: Callable[..., XClient]
) -> None:
    """X gives one only with the scope offline.access."""
    tokens = granted(transport, *PUBLIC_CLIENT, scopes=("tweet.read", "users.read"))
    assert tokens.refresh_token is None
    x.later(hours=3)
    with pytest.raises(CredentialsRefused, match="GET /2/users answered 401"):
        client_of(OAuth2UserToken("public-client", tokens, store=no_store)).users([1])


def test_a_code_is_worth_tokens_once_and_for_a_short_time(x: X, transport: Transport) -> None:
    """A late code, a second use and an answer to another request yield nothing."""
    asking = Authorization(transport, "public-client", redirect_uri=REDIRECT, scopes=SCOPES)
    back = requests.get(asking.url, allow_redirects=False, timeout=10).headers["location"]
    with pytest.raises(CredentialsRefused, match="MismatchingStateError"):
        asking.tokens(back.replace("state=", "state=another"))
    with pytest.raises(CredentialsRefused, match="AccessDeniedError"):
        state = parse_qs(urlsplit(back).query)["state"][0]
        asking.tokens(f"{REDIRECT}?state={state}&error=access_denied")
    asking.tokens(back)
    with pytest.raises(CredentialsRefused, match="answered 400"):
        asking.tokens(back)
    late = Authorization(transport, "public-client", redirect_uri=REDIRECT, scopes=SCOPES)
    back = requests.get(late.url, allow_redirects=False, timeout=10).headers["location"]
    x.later(seconds=31)
    with pytest.raises(CredentialsRefused, match="answered 400"):
        late.tokens(back)


def test_a_confidential_client_needs_its_secret(transport: Transport) -> None:
    """X names what is missing; the message says what to check."""
    for secret in (None, "another-secret"):
        with pytest.raises(
            CredentialsRefused, match=r"answered 401: unauthorized_client: .*Check the client id"
        ):
            granted(transport, CONFIDENTIAL_CLIENT[0], secret)


def test_a_token_endpoint_that_repeats_what_it_was_sent_shows_no_secret(
    x: X, transport: Transport, client_of: Callable[..., XClient]
) -> None:
    """Neither the secret of the app nor its Basic form, nor a refresh token."""
    client_id, secret = CONFIDENTIAL_CLIENT
    first = granted(transport, client_id, secret)
    app = OAuth2UserToken(client_id, first, store=no_store, client_secret=secret)
    body = json.dumps({"error": "invalid_request", "error_description": f"bad: {' '.join(app.secrets())}"})
    fault = {"path": "/2/oauth2/token", "status": 400, "body": body, "content_type": "application/json"}
    x.control("POST", "faults", json=[fault, fault])
    x.later(hours=3)
    with pytest.raises(CredentialsRefused, match="bad: ") as refused:
        client_of(app).users([1])
    with pytest.raises(CredentialsRefused, match="bad: ") as asked:
        granted(transport, client_id, secret)
    assert refused.tb.tb_next is not None  # below the frame of this test, which knows the secrets
    below = traceback.TracebackException(refused.type, refused.value, refused.tb.tb_next, capture_locals=True)
    told = "".join(below.format())
    assert not [each for each in app.secrets() if each in told + str(refused.value)]
    assert not [each for each in app.secrets()[-2:] if each in str(asked.value)]


def test_every_request_of_oauth1_is_signed_anew(x: X, client_of: Callable[..., XClient]) -> None:
    """Pages, retries and odd characters: each has a signature that X accepts, over the query as it was sent."""
    client = client_of(
        OAuth1UserToken(*CONSUMER, *USER_OF_OAUTH1), backoff=Backoff(tries=3, first_seconds=0.01)
    )
    books, sink, author = Noting(), RememberingSink(), x.world.most_active[0]
    x.control("POST", "faults", json=[{"path": "/2/users", "skip": 1, "status": 503, "body": "{}"}])
    result = poll(client, Timeline(author.id, ("retweets",)), books, sink, page_size=5)
    assert (result.ended, result.tweets > 5) == ("last_page", True)
    assert [each["status"] for each in books.records].count(503) == 1
    client.search_recent('coffee (ü OR "a+b ~ c") -is:retweet')
    client.users_by([author.username, x.world.most_active[1].username])


@pytest.mark.parametrize("wrong", range(4))
def test_a_wrong_signature_is_refused(client_of: Callable[..., XClient], wrong: int) -> None:
    """Each of the four parts counts."""
    parts = [*CONSUMER, *USER_OF_OAUTH1]
    parts[wrong] += "x"
    with pytest.raises(CredentialsRefused, match="answered 401"):
        client_of(OAuth1UserToken(*parts)).users([1])


def test_what_x_does_not_take_is_not_sent(
    x: X, transport: Transport, client_of: Callable[..., XClient]
) -> None:
    """Usage is for apps and counts are not for OAuth 1.0a, here as at X."""
    user = client_of(OAuth2UserToken("public-client", granted(transport, *PUBLIC_CLIENT), store=no_store))
    oauth1 = client_of(OAuth1UserToken(*CONSUMER, *USER_OF_OAUTH1))
    x.control("DELETE", "requests")
    assert user.counts_recent("coffee").meta["total_tweet_count"] >= 0
    for client, ask in ((user, "usage"), (oauth1, "usage"), (oauth1, "counts_recent")):
        books = Noting()
        with pytest.raises(CredentialsRefused, match=r"X accepts app.* there, not oauth"):
            getattr(client.charged_to(books), ask)(**({"query": "a"} if ask == "counts_recent" else {}))
        assert books.records == []
    assert len(x.asked()) == 1
    for auth, path in ((user._auth, "/2/usage/tweets"), (oauth1._auth, "/2/tweets/counts/recent?query=a")):
        answer = requests.get(x.url + path, headers=dict(auth.headers("GET", x.url + path)), timeout=10)
        assert (answer.status_code, answer.json()["title"]) == (403, "Unsupported Authentication")


def test_no_secret_is_shown_by_a_renewal(
    x: X,
    transport: Transport,
    client_of: Callable[..., XClient],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With every logger at debug level: neither old nor new tokens, neither the secret nor its Basic form."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("oauthlib", "requests_oauthlib", "tweepy", "requests", "urllib3"):
            caplog.set_level(logging.DEBUG, name)
    caplog.set_level(logging.DEBUG)
    stored: list[UserTokens] = []
    first = granted(transport, *CONFIDENTIAL_CLIENT)
    auth = OAuth2UserToken(
        CONFIDENTIAL_CLIENT[0], first, store=stored.append, client_secret=CONFIDENTIAL_CLIENT[1]
    )
    client = client_of(auth)
    x.later(hours=3)
    page = client.users([x.world.most_active[0].id])
    echoed = " ".join(
        [*auth.secrets(), *(token for token in (first.access_token, first.refresh_token) if token)]
    )
    problem = {"body": f'{{"title": "Bad", "detail": "{echoed}"}}', "content_type": "application/json"}
    x.control("POST", "faults", json=[{"path": "/2/users", "status": 400, **problem}])
    with pytest.raises(Exception, match=r"answered 400") as failed:
        client.users([1])
    oauth1 = OAuth1UserToken(*CONSUMER, *USER_OF_OAUTH1)
    client_of(oauth1).users([x.world.most_active[0].id])
    secrets = {*auth.secrets(), *oauth1.secrets(), str(first.access_token), str(first.refresh_token)}
    assert len(secrets) == 10
    shown = [repr(each) for each in (auth, oauth1, first, stored, client, page, failed.value, vars(client))]
    shown += [repr(vars(auth)), str(failed.value), caplog.text, *capfd.readouterr()]
    for secret in secrets:
        assert not [text for text in shown if secret in text]


def test_a_client_is_known_in_shared_books_by_what_stays() -> None:
    """A renewed token counts as the same payer; a bearer token keeps its fingerprint."""
    first, second = UserTokens("access-1", "refresh-1"), UserTokens("access-2", "refresh-2")
    prints = {OAuth2UserToken("app", each, store=no_store).fingerprint for each in (first, second)}
    assert len(prints) == 1
    assert BearerToken("token").fingerprint not in prints
    assert XClient("token").api == "https://api.x.com " + BearerToken("token").fingerprint
    with pytest.raises(ValueError, match="either a bearer token or auth"):
        XClient("token", auth=BearerToken("token"))
    with pytest.raises(ValueError, match="either a bearer token or auth"):
        XClient()
