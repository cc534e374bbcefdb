"""Users' credentials as X checks them: OAuth 2.0 with PKCE and refresh, and OAuth 1.0a signatures.

OAuth 2.0 follows x-api-v2.md §1 and the `OAuth2UserToken` scheme of the OpenAPI documents: a code lives 30 seconds, an
access token two hours. A refresh token comes only with offline.access, works once [know] and is replaced. A public
client sends its id in the body, a confidential one uses HTTP Basic. Every user who is sent to the authorize page
agrees at once. OAuth 1.0a follows RFC 5849 §3.4, HMAC-SHA1. Everything is kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from x_api_simulator.problems import Refused, unauthorized

CONFIDENTIAL_CLIENT = ("confidential-client", "confidential-client-secret")
"""Id and secret of the one confidential client; every other id is a public client."""
CONSUMER = ("simulated-consumer-key", "simulated-consumer-secret")
USER_OF_OAUTH1 = ("700-simulated-oauth1-token", "simulated-oauth1-token-secret")

CODE_MS = 30_000
ACCESS_MS = 2 * 3_600_000
ACCESS_PREFIX = "user-access-"
OAUTH1_SECONDS = 300


@dataclass(frozen=True, slots=True)
class _Grant:
    client_id: str
    scope: str
    until_ms: float = float("inf")
    redirect_uri: str = ""
    challenge: str = ""


class UserAuth:
    """What users have granted; codes and tokens expire by the clock `now_ms`."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._codes: dict[str, _Grant] = {}
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._nonces: deque[str] = deque(maxlen=10_000)

    def authorize(self, params: Mapping[str, str]) -> str:
        """Where the browser of a user who agrees is redirected: the client's address with a code."""
        wanted = ("client_id", "redirect_uri", "scope", "state", "code_challenge")
        if any(not params.get(name) for name in wanted) or (
            params.get("response_type"),
            params.get("code_challenge_method"),
        ) != ("code", "S256"):
            raise _refused("invalid_request", "Value passed for the authorization request was invalid.")
        code = secrets.token_urlsafe(48)
        self._codes[code] = _Grant(
            params["client_id"],
            params["scope"],
            self._now_ms() + CODE_MS,
            params["redirect_uri"],
            params["code_challenge"],
        )
        return f"{params['redirect_uri']}?{urlencode({'state': params['state'], 'code': code})}"

    def token(self, form: Mapping[str, str], authorization: str) -> dict[str, Any]:
        """The answer to a token request: tokens in exchange for a code or refresh token, which is then used up."""
        client_id = _client(form, authorization)
        match form.get("grant_type"):
            case "authorization_code":
                grant = self._codes.pop(form.get("code", ""), None)
                verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                challenge = urlsafe_b64encode(verifier).rstrip(b"=").decode()
                if (
                    grant is None
                    or grant.until_ms < self._now_ms()
                    or (grant.client_id, grant.redirect_uri, grant.challenge)
                    != (client_id, form.get("redirect_uri"), challenge)
                ):
                    raise _refused("invalid_request", "Value passed for the authorization code was invalid.")
            case "refresh_token":
                grant = self._refresh.pop(form.get("refresh_token", ""), None)
                if grant is None or grant.client_id != client_id:
                    raise _refused("invalid_request", "Value passed for the token was invalid.")
            case _:
                raise _refused("unsupported_grant_type", "The grant type is not supported.")
        access = ACCESS_PREFIX + secrets.token_urlsafe(48)
        self._access[access] = _Grant(client_id, grant.scope, self._now_ms() + ACCESS_MS)
        answer: dict[str, Any] = {
            "token_type": "bearer",
            "expires_in": ACCESS_MS // 1000,
            "access_token": access,
            "scope": grant.scope,
        }
        if "offline.access" in grant.scope.split():
            refresh = answer["refresh_token"] = secrets.token_urlsafe(48)
            self._refresh[refresh] = _Grant(client_id, grant.scope)
        return answer

    def client_of(self, access_token: str) -> str:
        """The client that a user's access token was issued to; 401 for an unknown or expired token."""
        grant = self._access.get(access_token)
        if grant is None or grant.until_ms < self._now_ms():
            raise unauthorized()
        return grant.client_id

    def signer_of(self, method: str, url: str, query: str, authorization: str) -> str:
        """The token that signed an OAuth 1.0a request; 401 for anything but a fresh, correct signature.

        `url` has no query. A JSON body is not part of a signature (RFC 5849 §3.4.1.3.1).
        """
        stated = {k: unquote(v) for k, v in re.findall(r'(\w+)="([^"]*)"', authorization)}
        signature = stated.pop("oauth_signature", "")
        given = [(k, v) for k, v in stated.items() if k != "realm"]
        given += parse_qsl(query, keep_blank_values=True)
        pairs = sorted((_encoded(name), _encoded(value)) for name, value in given)
        joined = "&".join(f"{name}={value}" for name, value in pairs)
        base = "&".join(map(_encoded, (method.upper(), url, joined)))
        key = "&".join(map(_encoded, (CONSUMER[1], USER_OF_OAUTH1[1])))
        right = b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()
        who = (stated.get("oauth_consumer_key"), stated.get("oauth_token"))
        at, nonce = stated.get("oauth_timestamp", ""), stated.get("oauth_nonce", "")
        is_fresh = re.fullmatch("[0-9]{1,12}", at) and abs(int(at) - time.time()) <= OAUTH1_SECONDS
        if (
            who != (CONSUMER[0], USER_OF_OAUTH1[0])
            or stated.get("oauth_signature_method") != "HMAC-SHA1"
            or not hmac.compare_digest(signature.encode(), right.encode())
            or not is_fresh
            or not nonce
            or nonce in self._nonces
        ):
            raise unauthorized()
        self._nonces.append(nonce)
        return USER_OF_OAUTH1[0]


def _client(form: Mapping[str, str], authorization: str) -> str:
    """The client that requests tokens; a confidential client must send its secret."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            client_id = secret = ""
        if (client_id, secret) == CONFIDENTIAL_CLIENT:
            return client_id
    elif (client_id := form.get("client_id", "")) and client_id != CONFIDENTIAL_CLIENT[0]:
        return client_id
    raise _refused("unauthorized_client", "Missing valid authorization header", 401)


def _refused(error: str, description: str, status: int = 400) -> Refused:
    """OAuth's own form of a refusal (RFC 6749 §5.2), which is not one of X's problem documents."""
    return Refused(status, {"error": error, "error_description": description})


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")
