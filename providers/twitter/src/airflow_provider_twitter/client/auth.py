"""How requests are signed: with an app's bearer token, or a user's OAuth 2.0 or OAuth 1.0a token.

A client asks its `Auth` for the headers of each request. After a 401 it calls `refresh` once and sends the request
again. tweepy implements OAuth itself; what its handlers send goes through our transport to the connection's base URL,
and what they log is dropped. No secret shows in a repr, a log or an exception.
"""

from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import requests
import tweepy

from airflow_provider_twitter.client.endpoints import Credentials
from airflow_provider_twitter.client.errors import CredentialsRefused, UnprovenAnswer, XError, refusal_of
from airflow_provider_twitter.client.masking import Masked, masked_logs, silence_logs_of_the_oauth_libraries
from airflow_provider_twitter.client.transport import Answer, Transport

AUTHORIZE_ROUTE = "/2/oauth2/authorize"
TOKEN_ROUTE = "/2/oauth2/token"  # noqa: S105
TOKEN_URL = f"https://token.invalid{TOKEN_ROUTE}"
"""The URL given to the OAuth libraries, which insist on https; our transport sends to the base URL instead."""

silence_logs_of_the_oauth_libraries()


class Auth(Protocol):
    """Signs the requests of a client."""

    @property
    def kind(self) -> Credentials:
        """The kind of credentials; an endpoint accepts only some kinds."""
        ...

    @property
    def fingerprint(self) -> str:
        """Tells two owners apart in shared books. Survives a refresh, and is too short to reveal anything else."""
        ...

    def secrets(self) -> Sequence[str]:
        """All current values that must never be shown."""
        ...

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The headers that sign a request with this method and full URL."""
        ...

    def refresh(self, transport: Transport) -> bool:
        """Get new tokens after a 401; False if that is not possible. Sends at most one request.

        Raises CredentialsRefused if X does not renew them, and what the transport raises.
        """
        ...


class BearerToken:
    """An app's bearer token, which X issues once. Raises CredentialsRefused for one not allowed in a header."""

    kind: Credentials = "app"

    def __init__(self, token: str) -> None:
        self._token = _fit_for_a_header(token, "bearer token")

    @property
    def fingerprint(self) -> str:
        """A digest of the token itself."""
        return _digest(b"x-api-token:", self._token)

    def secrets(self) -> Sequence[str]:
        """The token."""
        return (self._token,)

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """Authorization: Bearer."""
        return {"Authorization": Masked(f"Bearer {self._token}")}

    def refresh(self, transport: Transport) -> bool:
        """Not possible: a new token comes from X's console."""
        return False


@dataclass(frozen=True, slots=True)
class UserTokens:
    """The tokens of one user for one app. Their values never show in a repr.

    A refresh token, which X issues for the scope offline.access, works once.
    """

    access_token: str
    refresh_token: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "access_token", _fit_for_a_header(self.access_token, "access token"))
        if self.refresh_token is not None:
            object.__setattr__(self, "refresh_token", Masked(self.refresh_token))


class OAuth2UserToken:
    """A user's OAuth 2.0 token (authorization code with PKCE), renewed when it has expired.

    `store` is called with the renewed tokens before they are used, since the previous ones no longer work; it must
    return only once they are stored durably. If it raises, the next refresh passes them to it again. Two processes
    must not refresh the same tokens: the owner of `store` must prevent that.
    """

    kind: Credentials = "oauth2_user"

    def __init__(
        self,
        client_id: str,
        tokens: UserTokens,
        *,
        store: Callable[[UserTokens], None],
        client_secret: str | None = None,
    ) -> None:
        self._app = _App(client_id, client_secret)
        self._tokens = tokens
        self._store = store
        self._unstored: UserTokens | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """A digest of the app's client id, since X charges the app."""
        return _digest(b"x-api-client:", self._app.client_id)

    def secrets(self) -> Sequence[str]:
        """The tokens, and the secret of a confidential client."""
        return (*_secrets_in(self._tokens), *self._app.secrets())

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """Authorization: Bearer."""
        return {"Authorization": Masked(f"Bearer {self._tokens.access_token}")}

    def refresh(self, transport: Transport) -> bool:
        """Exchange the refresh token for new tokens and store them; False without a refresh token."""
        with self._lock:
            if self._unstored is None:
                if self._tokens.refresh_token is None:
                    return False
                self._unstored = _refreshed(self._app, self._tokens.refresh_token, transport)
            self._store(self._unstored)
            self._tokens, self._unstored = self._unstored, None
        return True


class OAuth1UserToken:
    """A user's OAuth 1.0a token, which does not expire; every request has its own signature (HMAC-SHA1)."""

    kind: Credentials = "oauth1_user"

    def __init__(
        self, consumer_key: str, consumer_secret: str, access_token: str, access_token_secret: str
    ) -> None:
        names = ("consumer key", "consumer secret", "access token", "access token secret")
        given = (consumer_key, consumer_secret, access_token, access_token_secret)
        self._secrets = tuple(map(_fit_for_a_header, given, names))
        self._handler = tweepy.OAuth1UserHandler(*self._secrets)

    @property
    def fingerprint(self) -> str:
        """A digest of the app's client id, since X charges the app."""
        return _digest(b"x-api-client:", self._secrets[0])

    def secrets(self) -> Sequence[str]:
        """Both keys and both secrets."""
        return self._secrets

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """Authorization: OAuth. Signs method, URL and query, but not a JSON body."""
        signed = self._handler.apply_auth()(requests.Request(method, url).prepare())
        return {"Authorization": Masked(signed.headers["Authorization"])}

    def refresh(self, transport: Transport) -> bool:
        """Not possible: there is nothing to renew."""
        return False


class Authorization:
    """One user's OAuth 2.0 flow with PKCE, for the first tokens.

    Send the user's browser to `url`, then pass the address that they are redirected to to `tokens`.
    """

    def __init__(
        self,
        transport: Transport,
        client_id: str,
        *,
        redirect_uri: str,
        scopes: Sequence[str],
        client_secret: str | None = None,
    ) -> None:
        self._transport = transport
        self._handler = _Handler(
            transport, _App(client_id, client_secret), redirect_uri=redirect_uri, scope=list(scopes)
        )
        with masked_logs(transport.masked):
            query = urlsplit(self._handler.get_authorization_url()).query
        self.url = f"{transport.base_url}{AUTHORIZE_ROUTE}?{query}"

    def tokens(self, came_back_to: str) -> UserTokens:
        """The user's tokens; the code in the address works once and for 30 seconds.

        Raises CredentialsRefused if the user or X refused, and what the transport raises.
        """
        return _fetched(self._transport, lambda: self._handler.fetch_token(came_back_to))


class _App:
    """The app: a public client has no secret and sends its id; a confidential client uses HTTP Basic."""

    def __init__(self, client_id: str, client_secret: str | None) -> None:
        self.client_id = _fit_for_a_header(client_id, "client id")
        self.client_secret = client_secret and _fit_for_a_header(client_secret, "client secret")

    def secrets(self) -> tuple[str, ...]:
        if not self.client_secret:
            return ()
        basic = b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        return (self.client_secret, Masked(basic))


class _Handler(tweepy.OAuth2UserHandler):
    """tweepy's handler; whatever address it requests, the request goes to the base URL's token endpoint."""

    def __init__(self, transport: Transport, app: _App, **options: Any) -> None:
        super().__init__(client_id=app.client_id, client_secret=app.client_secret, **options)
        self._transport = transport
        transport.masked.learn(app.secrets())

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one token request. Raises CredentialsRefused and what the transport raises."""
        asked = {name: options.get(name) for name in ("data", "headers", "auth")}
        prepared = requests.Request(method, url, **asked).prepare()
        answer = self._transport.exchange(
            method,
            TOKEN_ROUTE,
            headers={name: Masked(value) for name, value in prepared.headers.items()},
            body=Masked(prepared.body or ""),
        )
        _require_granted(answer, self._transport.masked)
        response = requests.Response()
        response.status_code, response._content = answer.status, answer.body
        response.encoding, response.request = "utf-8", prepared
        return response


def _refreshed(app: _App, refresh_token: str, transport: Transport) -> UserTokens:
    handler = _Handler(transport, app, redirect_uri=None, scope=None)
    return _fetched(
        transport,
        lambda: handler.refresh_token(
            TOKEN_URL, refresh_token=refresh_token, auth=handler.auth, client_id=app.client_id
        ),
    )


def _fetched(transport: Transport, fetch: Callable[[], Mapping[str, Any]]) -> UserTokens:
    """The tokens that a handler gets. Errors are raised without their chain, whose frames hold secrets."""
    with masked_logs(transport.masked):
        try:
            return _tokens_in(fetch())
        except XError as refused:
            failed = refused
        except Exception as broken:  # noqa: BLE001 - errors of the OAuth libraries may contain what the server sent
            failed = CredentialsRefused(
                f"no tokens were obtained ({type(broken).__name__}): ask the user to authorize the app again",
                endpoint=TOKEN_ROUTE,
            )
    raise failed.with_traceback(None)


def _tokens_in(granted: Mapping[str, Any]) -> UserTokens:
    return UserTokens(granted["access_token"], granted.get("refresh_token"))


def _require_granted(answer: Answer, masked: Callable[[str], str]) -> None:
    """Raise unless the answer holds tokens; OAuth's own refusals concern the credentials."""
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    if 400 <= answer.status < 500 and isinstance(said.get("error"), str):
        words = masked(f"{said['error']}: {said.get('error_description', '')}")[:300].rstrip(": .")
        raise CredentialsRefused(
            f"POST {TOKEN_ROUTE} answered {answer.status}: {words}. Check the client id and secret, or ask the "
            "user to authorize the app again",
            endpoint=TOKEN_ROUTE,
            status=answer.status,
        )
    refusal = refusal_of(
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        endpoint=TOKEN_ROUTE,
        now=datetime.now(UTC),
        method="POST",
        masked=masked,
    )
    if refusal is not None:
        raise refusal
    if not isinstance(said.get("access_token"), str):
        raise UnprovenAnswer(
            f"POST {TOKEN_ROUTE} answered {answer.status} without an access token",
            endpoint=TOKEN_ROUTE,
            status=answer.status,
        )


def _fit_for_a_header(secret: str, name: str) -> str:
    secret = Masked(secret.strip())
    if not secret:
        raise CredentialsRefused(f"the {name} is missing: enter it in the connection")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise CredentialsRefused(
            f"the {name} contains spaces or characters that are not allowed in a header: enter it again"
        )
    return secret


def _secrets_in(tokens: UserTokens) -> tuple[str, ...]:
    return tuple(token for token in (tokens.access_token, tokens.refresh_token) if token)


def _digest(purpose: bytes, secret: str) -> str:
    return hashlib.sha256(purpose + secret.encode()).hexdigest()[:12]
