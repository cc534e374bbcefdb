"""What can go wrong between us and X, sorted by what the caller should do next.

    XError
    ├── RateLimited           wait until `reset_at`, then ask again
    ├── TryAgain              ask again later; the client has already tried a few times
    │   ├── ServerFailed      X answered 5xx, or something that is no JSON
    │   │   └── UnprovenAnswer  X answered 200 with JSON that proves nothing: neither data nor an end
    │   └── Unreachable       no connection, no complete answer, no answer in time
    ├── CredentialsRefused    put a working token into the connection (401, 403)
    ├── InvalidRequest        correct the request; `parameters` names what X complained about
    │   └── SinceIdTooOld     search from a start_time instead: since_id left the window of 7 days
    ├── SpendingStopped       X sells nothing more to this account for now
    │   ├── OutOfCredits      buy credits (402)
    │   └── UsageCapped       wait for the next cycle, or raise the cap
    ├── AddressRefused        correct the base URL; also a redirect, which is never followed
    └── BodyTooLarge          X (or what answers in its place) sent more than the byte cap

A message never holds the token; it names the endpoint, the status and X's own transaction id where there is
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_twitter.client.rate_limit import RateLimit, reset_of

__all__ = [
    "AddressRefused",
    "BodyTooLarge",
    "CredentialsRefused",
    "InvalidRequest",
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


class XError(Exception):
    """Anything that kept X from giving a usable answer. `status` is None when there was none.

    `server_time` is the Date of the answer behind it (aware UTC), None where there was no answer or no date.
    """

    server_time: datetime | None = None

    def __init__(self, message: str, *, endpoint: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.status = status


class RateLimited(XError):
    """The window of this endpoint is used up until `reset_at` (aware UTC, at most 15 minutes ahead).

    `is_estimated` says that X named no reset, or an absurd one, and that the time is ours.
    """

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
    """Nothing is wrong with the request: the same one may succeed later."""


class ServerFailed(TryAgain):
    """X answered, but with 5xx or with something that is no JSON."""


class UnprovenAnswer(ServerFailed):
    """X answered 200, but the answer does not say what it would have to say to count."""


class Unreachable(TryAgain):
    """No connection, a broken one, or no complete answer within the deadline."""


class CredentialsRefused(XError):
    """X does not accept the token, or not for this endpoint. Asking again cannot help."""


class InvalidRequest(XError):
    """X refuses the request as it stands; `parameters` are the names that it complains about."""

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
    """since_id is older than what recent search reaches back to (7 days)."""


class SpendingStopped(XError):
    """X sells nothing more to this account for now."""


class OutOfCredits(SpendingStopped):
    """The account has no credits left (402)."""


class UsageCapped(SpendingStopped):
    """A cap on what the account may read in this day or month is reached."""


class AddressRefused(XError):
    """The address is none that the bearer token may be sent to."""


class BodyTooLarge(XError):
    """The decoded body passed the byte cap; reading stopped there."""


def refusal_of(
    *, status: int, headers: Mapping[str, str], body: bytes, endpoint: str, now: datetime
) -> XError | None:
    """The error that this answer stands for, or None for a success."""
    if 200 <= status < 300:
        return None
    problem = _problem(body)
    kind = str(problem.get("type", "")).rsplit("/", 1)[-1]
    said = _said(problem)
    transaction = headers.get("x-transaction-id")
    where = f"GET {endpoint} answered {status}"
    tail = (f": {said}" if said else "") + (f" (x-transaction-id {transaction})" if transaction else "")
    if 300 <= status < 400:
        return AddressRefused(
            f"{where}, a redirect, which is never followed: set the connection's host to the final address",
            endpoint=endpoint,
            status=status,
        )
    if kind == "usage-capped":
        return UsageCapped(
            f"{where}: the usage cap is reached ({problem.get('period', 'period unknown')}){tail}",
            endpoint=endpoint,
            status=status,
        )
    if status == 429:
        limit = RateLimit.of(headers)
        reset_at, is_estimated = reset_of(headers, now)
        window = (
            f"{limit.limit} requests a window" if limit and limit.limit is not None else "limit not named"
        )
        return RateLimited(
            f"{where}: rate limit used up ({window}), open again at {reset_at:%Y-%m-%dT%H:%M:%SZ}",
            reset_at=reset_at,
            is_estimated=is_estimated,
            endpoint=endpoint,
            status=status,
        )
    if status == 402:
        return OutOfCredits(
            f"{where}: the account has no credits left{tail}", endpoint=endpoint, status=status
        )
    if status in (401, 403):
        return CredentialsRefused(
            f"{where}: the bearer token is not accepted here; check the connection's token and what its app "
            f"is enrolled for{tail}",
            endpoint=endpoint,
            status=status,
        )
    if status == 408 or status >= 500:
        return ServerFailed(f"{where}{tail}", endpoint=endpoint, status=status)
    parameters = _parameters(problem)
    refused = SinceIdTooOld if _is_since_id_too_old(problem, parameters) else InvalidRequest
    return refused(f"{where}{tail}", parameters=parameters, endpoint=endpoint, status=status)


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _complaints(problem: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    errors = problem.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _said(problem: Mapping[str, Any]) -> str:
    """X's own words, short: what it complains about comes first, then title and detail."""
    complaints = [
        str(c.get("message") or c.get("detail") or c.get("title") or "") for c in _complaints(problem)
    ]
    words = [*complaints, str(problem.get("detail") or problem.get("title") or "")]
    return "; ".join(dict.fromkeys(word for word in words if word))[:500]


def _parameters(problem: Mapping[str, Any]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for complaint in _complaints(problem):
        if isinstance(parameters := complaint.get("parameters"), dict):
            names.update(dict.fromkeys(str(name) for name in parameters))
        elif isinstance(parameter := complaint.get("parameter"), str):
            names[parameter] = None
    return tuple(names)


def _is_since_id_too_old(problem: Mapping[str, Any], parameters: tuple[str, ...]) -> bool:
    return "since_id" in parameters or "'since_id' must be a tweet id created after" in _said(problem).lower()
