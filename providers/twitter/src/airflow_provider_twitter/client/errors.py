"""What can go wrong between us and X, sorted by what the caller should do next.

    XError
    ├── RateLimited           wait until `reset_at`, then try again
    ├── TryAgain              try again later; the client has already tried a few times
    │   ├── ServerFailed      X answered 5xx, or the answer is not one of X's
    │   │   ├── NotFromX      a proxy, firewall or portal answered in X's place; the message names it
    │   │   └── UnprovenAnswer  200 in X's JSON, but nothing in it proves that it is a complete answer
    │   └── Unreachable       no connection, no complete answer, no answer in time
    ├── CredentialsRefused    put a working token into the connection (401, 403)
    ├── InvalidRequest        correct the request; `parameters` names what X complained about
    │   └── SinceIdTooOld     X blames since_id; the caller works out whether it is too old
    ├── SpendingStopped       X sells nothing more to this account for now
    │   ├── OutOfCredits      buy credits (402)
    │   └── UsageCapped       wait for the next cycle, or raise the cap
    ├── AddressRefused        correct the base URL; also for a redirect, which is never followed
    └── BodyTooLarge          X (or whatever answered in its place) sent more than the byte cap

Only X's own JSON counts as X's verdict on a token, credits or a request; after any other answer the request is tried
again. Each error says in `outcome` whether the request may have cost anything. A message never contains the token; it
names the endpoint, the status, and who answered or X's own transaction id, if there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from airflow_provider_twitter.client.rate_limit import RateLimit, reset_of, retry_after_of

__all__ = [
    "AddressRefused",
    "BodyTooLarge",
    "CredentialsRefused",
    "InvalidRequest",
    "NotFromX",
    "OutOfCredits",
    "RateLimited",
    "ServerFailed",
    "SinceIdTooOld",
    "SpendingStopped",
    "TryAgain",
    "UnprovenAnswer",
    "Unreachable",
    "UsageCapped",
    "XError",
    "refusal_of",
]

Outcome = Literal["free", "unknown"]

WORDS_LENGTH = 500
HEADER_LENGTH = 100
LONGEST_WORD = 10_000
NAMES_OF_A_PROBLEM = frozenset({"errors", "title", "type", "detail", "status"})
NAMES_OF_A_REQUEST = ("x-transaction-id", "cf-ray", "x-request-id", "x-amz-cf-id", "x-served-by", "via")


class XError(Exception):
    """Anything that kept X from giving a usable answer. `status` is None if there was no answer.

    `server_time` is the Date of the answer behind it (aware UTC), or None without an answer or a date. `outcome` is
    "free" if nothing can have been charged, otherwise "unknown": then the reservation is kept.
    """

    outcome: Outcome = "unknown"
    server_time: datetime | None = None

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        status: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.status = status
        if outcome is not None:
            self.outcome = outcome


class RateLimited(XError):
    """The window of this endpoint is used up until `reset_at` (aware UTC, at most 15 minutes ahead).

    `is_estimated` says that the time is our own estimate, since X named no reset or an absurd one.
    """

    outcome = "free"

    def __init__(
        self,
        message: str,
        *,
        reset_at: datetime,
        is_estimated: bool = False,
        endpoint: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.reset_at = reset_at
        self.is_estimated = is_estimated


class TryAgain(XError):
    """The request itself is fine: the same one may succeed later.

    `retry_after` is how long the answer itself asked to wait (Retry-After), at most 15 minutes; zero if it did not.
    """

    retry_after: timedelta = timedelta(0)


class ServerFailed(TryAgain):
    """X answered 5xx, or the answer is not one of X's."""


class NotFromX(ServerFailed):
    """Something between us and X answered: a proxy, a firewall, a captive portal. It says nothing about X."""


class UnprovenAnswer(ServerFailed):
    """A 200 in X's JSON without what an answer from this endpoint must contain. It may have been charged."""


class Unreachable(TryAgain):
    """No connection, a broken connection, or no complete answer within the deadline."""


class CredentialsRefused(XError):
    """X does not accept the credentials, or not for this endpoint. Trying again cannot help."""

    outcome = "free"


class InvalidRequest(XError):
    """X refuses the request as it is; `parameters` are the names that it complains about."""

    outcome = "free"

    def __init__(
        self,
        message: str,
        *,
        parameters: tuple[str, ...] = (),
        endpoint: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.parameters = parameters


class SinceIdTooOld(InvalidRequest):
    """X blames since_id, which may or may not be older than recent search reaches back (7 days)."""


class SpendingStopped(XError):
    """X sells nothing more to this account for now."""

    outcome = "free"


class OutOfCredits(SpendingStopped):
    """The account has no credits left (402)."""


class UsageCapped(SpendingStopped):
    """A cap on what the account may read in this day or month has been reached."""


class AddressRefused(XError):
    """Credentials may not be sent to this address."""

    outcome = "free"


class BodyTooLarge(XError):
    """The decoded body passed the byte cap; reading stopped there."""


def refusal_of(
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    endpoint: str,
    now: datetime,
    method: str = "GET",
    masked: Callable[[str], str] = str,
) -> XError | None:
    """The error that this complete answer stands for, or None for a 2xx answer that may be X's.

    `masked` removes secrets from words that are quoted from the answer.
    """
    answer = _Answered(status, headers, body, endpoint, method, now, masked)
    if 200 <= status < 300:
        return answer.not_from_x() if answer.is_a_page else None
    problem = answer.problem
    is_x = not NAMES_OF_A_PROBLEM.isdisjoint(problem)
    where, said = answer.where, answer.said
    if 300 <= status < 400 and not answer.is_a_page:
        return AddressRefused(
            f"{where}, a redirect; redirects are never followed: set the connection's host to the final address",
            endpoint=endpoint,
            status=status,
            outcome="free" if answer.is_whole else "unknown",
        )
    if is_x and _word(problem.get("type")).rsplit("/", 1)[-1] == "usage-capped":
        period = masked(_word(problem.get("period")) or "period unknown")[:100]
        return UsageCapped(
            f"{where}: the usage cap is reached ({period}){said}", endpoint=endpoint, status=status
        )
    retry_after = retry_after_of(headers, now)
    limit = RateLimit.of(headers)
    if status == 429 and (limit is not None or retry_after is not None or not answer.is_a_page):
        reset_at, is_estimated = reset_of(headers, now)
        window = (
            f"{limit.limit} requests per window" if limit and limit.limit is not None else "limit not named"
        )
        return RateLimited(
            f"{where}: rate limit used up ({window}), open again at {reset_at:%Y-%m-%dT%H:%M:%SZ}",
            reset_at=reset_at,
            is_estimated=is_estimated,
            endpoint=endpoint,
            status=status,
        )
    if status < 200 or status >= 500 or (is_x and status == 408):
        failed = ServerFailed(
            f"{where}{said}"
            if is_x
            else f"{where}, not in X's JSON, so it may have been charged: {answer.who}",
            endpoint=endpoint,
            status=status,
            outcome="free" if is_x else "unknown",
        )
        failed.retry_after = retry_after or timedelta(0)
        return failed
    if not is_x:
        return answer.not_from_x()
    if status == 402:
        return OutOfCredits(
            f"{where}: the account has no credits left{said}", endpoint=endpoint, status=status
        )
    if status in (401, 403):
        return CredentialsRefused(
            f"{where}: the credentials are not accepted here; check the connection's token and what its app "
            f"is enrolled for{said}",
            endpoint=endpoint,
            status=status,
        )
    parameters = tuple(masked(name)[:WORDS_LENGTH] for name in _parameters(problem))
    refused = SinceIdTooOld if _is_since_id_too_old(problem, parameters) else InvalidRequest
    return refused(f"{where}{said}", parameters=parameters, endpoint=endpoint, status=status)


@dataclass(frozen=True)
class _Answered:
    """A complete answer, and what may be reported about it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    method: str
    now: datetime
    masked: Callable[[str], str]

    @property
    def where(self) -> str:
        return f"{self.method} {self.endpoint} answered {self.status}"

    @property
    def problem(self) -> dict[str, Any]:
        problem = _decoded(self._content)
        return problem if isinstance(problem, dict) else {}

    @property
    def said(self) -> str:
        """X's own words and its id of the request, as the end of a sentence."""
        words, transaction = self.masked(_said(self.problem))[:WORDS_LENGTH], self._header("x-transaction-id")
        return (f": {words}" if words else "") + (f" (x-transaction-id {transaction})" if transaction else "")

    @property
    def who(self) -> str:
        """Who answered: server, content type, size, and the ids with which its owner can find the request."""
        server = f"server {name}" if (name := self._header("server")) else "no server named"
        content_type = self._header("content-type") or "none"
        ids = [f"{name} {value}" for name in NAMES_OF_A_REQUEST if (value := self._header(name))]
        return ", ".join([server, f"content type {content_type}", f"{len(self.body)} bytes", *ids])

    @property
    def is_a_page(self) -> bool:
        """Whether the body is some web page: markup, or text that does not even claim to be JSON."""
        if self._content.startswith(b"<"):
            return True
        stated = self.headers.get("content-type", "").lower()
        return bool(self._content) and bool(stated) and "json" not in stated and not self._looks_like_json

    @property
    def is_whole(self) -> bool:
        """Whether the body is surely complete: its length was announced, or it ends properly.

        A connection that was cut after some headers looks like an empty body without a length.
        """
        length = self.headers.get("content-length", "")
        if re.fullmatch(r"[0-9]+(, *[0-9]+)*", length) or "transfer-encoding" in self.headers:
            return True
        return _decoded(self._content) is not None if self._looks_like_json else bool(self._content)

    def not_from_x(self) -> NotFromX:
        redirect = f", a redirect to {self._header('location')}" if "location" in self.headers else ""
        failed = NotFromX(
            f"{self.where}{redirect}, but not from X: {self.who}. Check what sits between this machine "
            "and X; this says nothing about the token or the request",
            endpoint=self.endpoint,
            status=self.status,
            outcome="free" if self.is_whole else "unknown",
        )
        failed.retry_after = retry_after_of(self.headers, self.now) or timedelta(0)
        return failed

    @property
    def _content(self) -> bytes:
        return self.body.removeprefix(b"\xef\xbb\xbf").strip()

    @property
    def _looks_like_json(self) -> bool:
        return self._content[:1] in (b"{", b"[")

    def _header(self, name: str) -> str:
        return re.sub(r"[^\x20-\x7e]", "?", self.masked(self.headers.get(name, "")))[:HEADER_LENGTH]


def _decoded(document: bytes) -> Any:
    """The value of a JSON document, which may contain lone surrogates and the like; None if it is not JSON."""
    try:
        return msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(document.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _word(value: Any) -> str:
    """A text or number from a problem, fit for a message; empty for anything else."""
    if not isinstance(value, str | int):
        return ""
    return str(value)[:LONGEST_WORD].replace("\x00", "").encode("utf-8", "replace").decode()


def _complaints(problem: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    errors = problem.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _said(problem: Mapping[str, Any]) -> str:
    """X's own words: its complaints first, then title and detail."""
    complaints = [
        _word(c.get("message")) or _word(c.get("detail")) or _word(c.get("title"))
        for c in _complaints(problem)
    ]
    words = [*complaints, _word(problem.get("detail")) or _word(problem.get("title"))]
    return "; ".join(dict.fromkeys(word for word in words if word))


def _parameters(problem: Mapping[str, Any]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for complaint in _complaints(problem):
        if isinstance(parameters := complaint.get("parameters"), dict):
            names.update(dict.fromkeys(_word(name) for name in parameters))
        elif isinstance(parameter := complaint.get("parameter"), str):
            names[_word(parameter)] = None
    return tuple(names)


def _is_since_id_too_old(problem: Mapping[str, Any], parameters: tuple[str, ...]) -> bool:
    return "since_id" in parameters or "'since_id' must be a tweet id created after" in _said(problem).lower()
