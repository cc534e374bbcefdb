"""Users' credentials, as a browser, an app and an RFC 5849 signer see them; no code of the provider is used."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from oauthlib.oauth1 import Client

from x_api_simulator.user_auth import CONFIDENTIAL_CLIENT, CONSUMER, USER_OF_OAUTH1

RECENT = "/2/tweets/search/recent"
BACK = "https://app.example/back"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""The pair of RFC 7636, appendix B."""
AUTHORIZE = {
    "response_type": "code",
    "client_id": "an-app",
    "redirect_uri": BACK,
    "scope": "tweet.read users.read offline.access",
    "state": "s",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def code_of(simulator: Any, **other: str) -> str:
    """The redirect parameters of a user who agreed."""
    answer = simulator.http.get("/2/oauth2/authorize", params=AUTHORIZE | other)
    assert answer.status_code == 302, answer.text
    brought = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.headers["location"].startswith(BACK)
    assert brought["state"] == ["s"]
    return brought["code"][0]


def traded(simulator: Any, form: dict[str, str], **options: Any) -> httpx.Response:
    answer: httpx.Response = httpx.post(
        f"{simulator.http.base_url}/2/oauth2/token", data={"client_id": "an-app"} | form, **options
    )
    return answer


def for_code(code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
    }


def read_with(simulator: Any, token: str, path: str = f"{RECENT}?query=coffee") -> int:
    return int(simulator.http.get(path, headers={"authorization": f"Bearer {token}"}).status_code)


def test_a_code_with_its_verifier_brings_tokens_that_read(start: Any) -> None:
    """The answer has what OAuth 2.0 says, and the token is one of a user."""
    simulator = start()
    answer = traded(simulator, for_code(code_of(simulator))).json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 7200)
    assert answer["scope"] == AUTHORIZE["scope"]
    assert read_with(simulator, answer["access_token"]) == 200
    assert read_with(simulator, answer["access_token"], "/2/tweets/counts/recent?query=a") == 200
    assert read_with(simulator, answer["access_token"], "/2/usage/tweets") == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "another"},
        {"code_verifier": VERIFIER[::-1]},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "another-app"},
        {"grant_type": "password"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_whatever_differs_from_what_was_authorized_is_refused(start: Any, wrong: dict[str, str]) -> None:
    """400 with an OAuth error; the code is used up."""
    simulator = start()
    form = for_code(code_of(simulator))
    answer = traded(simulator, form | wrong)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


def test_codes_and_tokens_expire_by_the_clock(start: Any) -> None:
    """A code after 30 seconds, an access token after two hours."""
    simulator = start()
    late = code_of(simulator)
    token = traded(simulator, for_code(code_of(simulator))).json()["access_token"]
    simulator.control("clock", {"advance_seconds": 31})
    assert traded(simulator, for_code(late)).status_code == 400
    assert read_with(simulator, token) == 200
    simulator.control("clock", {"advance_seconds": 7_200})
    assert read_with(simulator, token) == 401
    assert read_with(simulator, "user-access-never-given") == 401


def test_a_refresh_token_is_replaced_by_its_use(start: Any) -> None:
    """The old one is refused, the new one works; without offline.access there is none."""
    simulator = start()
    first = traded(simulator, for_code(code_of(simulator))).json()["refresh_token"]
    refresh = {"grant_type": "refresh_token", "refresh_token": first}
    assert traded(simulator, refresh | {"client_id": "another-app"}).status_code == 400
    simulator = start()
    first = traded(simulator, for_code(code_of(simulator))).json()["refresh_token"]
    refresh = {"grant_type": "refresh_token", "refresh_token": first}
    second = traded(simulator, refresh).json()
    assert read_with(simulator, second["access_token"]) == 200
    assert traded(simulator, refresh).status_code == 400
    assert traded(simulator, refresh | {"refresh_token": second["refresh_token"]}).status_code == 200
    short = traded(simulator, for_code(code_of(simulator, scope="tweet.read")))
    assert "refresh_token" not in short.json()


def test_a_confidential_client_shows_its_secret(start: Any) -> None:
    """By HTTP Basic; naming itself in the body is not enough."""
    simulator = start()
    client_id, secret = CONFIDENTIAL_CLIENT
    form = for_code(code_of(simulator, client_id=client_id)) | {"client_id": client_id}
    for options in ({}, {"auth": (client_id, "guessed")}, {"headers": {"authorization": "Basic ???"}}):
        answer = traded(simulator, form, **options)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized_client")
    assert traded(simulator, form, auth=(client_id, secret)).status_code == 200


@pytest.mark.parametrize("left_out", [*AUTHORIZE])
def test_an_authorize_page_without_its_parts_sends_nobody_back(simulator: Any, left_out: str) -> None:
    """PKCE with S256 and a state are needed."""
    params = {name: value for name, value in AUTHORIZE.items() if name != left_out}
    assert simulator.http.get("/2/oauth2/authorize", params=params).status_code == 400


def signed(simulator: Any, address: str, **options: Any) -> dict[str, str]:
    """The headers that oauthlib makes for a GET of this address."""
    parts = [*CONSUMER, *USER_OF_OAUTH1]
    client = Client(*parts, **options)
    _, headers, _ = client.sign(f"{str(simulator.http.base_url).rstrip('/')}{address}", "GET")
    return {"authorization": headers["Authorization"]}


ODD = f"{RECENT}?query=a%20%2B%20b~%C3%BC%26c&max_results=10"


def test_a_signature_of_another_library_is_accepted_once(start: Any) -> None:
    """This includes odd characters; a repeated nonce is refused."""
    simulator = start()
    headers = signed(simulator, ODD)
    assert [simulator.http.get(ODD, headers=headers).status_code for _ in range(2)] == [200, 401]


def test_a_signature_is_for_one_request_and_for_now(start: Any) -> None:
    """Another query, another path, another key, an old time or another method of signing: 401."""
    simulator = start()
    assert (
        simulator.http.get(f"{RECENT}?query=b", headers=signed(simulator, f"{RECENT}?query=a")).status_code
        == 401
    )
    assert (
        simulator.http.get("/2/users?ids=1", headers=signed(simulator, "/2/tweets?ids=1")).status_code == 401
    )
    old = signed(simulator, ODD, timestamp=str(int(time.time()) - 900))
    assert simulator.http.get(ODD, headers=old).status_code == 401
    plain = signed(simulator, ODD, signature_method="PLAINTEXT")
    assert simulator.http.get(ODD, headers=plain).status_code == 401
    garbage = {"authorization": 'OAuth oauth_signature="x", oauth_timestamp="soon"'}
    assert simulator.http.get(ODD, headers=garbage).status_code == 401
    counts = "/2/tweets/counts/recent?query=a"
    assert simulator.http.get(counts, headers=signed(simulator, counts)).status_code == 403


def test_a_door_with_tokens_of_its_own_knows_no_users(start: Any) -> None:
    """--token excludes everything else, and users cannot grant themselves access."""
    simulator = start(tokens=["open-sesame"])
    assert simulator.http.get(ODD, headers=signed(simulator, ODD)).status_code == 403
    assert read_with(simulator, "user-access-x") == 401
    simulator.http.headers["authorization"] = "Bearer open-sesame"
    assert simulator.http.get("/2/oauth2/authorize", params=AUTHORIZE).status_code == 404


def test_requests_for_tokens_are_listed_without_secrets(start: Any) -> None:
    """Method, path and status; neither a code nor a token."""
    simulator = start()
    code = code_of(simulator)
    tokens = traded(simulator, for_code(code)).json()
    listed = simulator.http.get("/_control/requests").text
    assert [one["path"] for one in simulator.ok("/_control/requests")["requests"]] == [
        "/2/oauth2/authorize",
        "/2/oauth2/token",
    ]
    assert not [
        secret for secret in (code, *map(str, tokens.values())) if len(secret) > 20 and secret in listed
    ]
