"""The X API v2 client: `request` for any endpoint in the table, a method for each; answers are frozen Pages."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

from airflow_provider_twitter.client.address import DEFAULT_BASE_URL
from airflow_provider_twitter.client.auth import Auth, BearerToken
from airflow_provider_twitter.client.backoff import Backoff
from airflow_provider_twitter.client.endpoints import (
    COUNTS_RECENT,
    SEARCH_RECENT,
    TWEETS,
    USAGE,
    USER_TWEETS,
    USERS,
    USERS_BY,
    Endpoint,
)
from airflow_provider_twitter.client.errors import (
    CredentialsRefused,
    ServerFailed,
    TryAgain,
    UnprovenAnswer,
    XError,
    refusal_of,
)
from airflow_provider_twitter.client.fields import Requested
from airflow_provider_twitter.client.ledger import BoundedLedger, CircuitOpen, Ledger, NoLedger
from airflow_provider_twitter.client.pages import Page, parse_body
from airflow_provider_twitter.client.pricing import actual_usd, affordable_max_results, worst_case_usd
from airflow_provider_twitter.client.proof import why_unproven
from airflow_provider_twitter.client.rate_limit import RateLimit
from airflow_provider_twitter.client.request import Request, Value
from airflow_provider_twitter.client.transport import Answer, Limits, Transport

UNAUTHORIZED = 401
X_BEGAN_AT = datetime(2006, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The current time, aware."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _ServerClock:
    """How far X's clock is ahead of ours, by the newest answer with a date; shared by copies of a client."""

    ahead: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Pace:
    """The client's sources of time and randomness; tests pass their own."""

    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


class XClient:
    """Reads from the X API with an app's bearer token, or with the credentials in `auth`.

    Promises: every request has a total deadline and a byte cap. Redirects are refused. 5xx answers and broken
    connections are retried a few times with full jitter. A rate limit is raised at once as RateLimited, never slept
    through. Each request is priced before it is sent and recorded afterwards; an unknown outcome is recorded as
    unknown. Pages shrink to what the ledger has left. After a 401 the credentials are renewed once, if possible. No
    secret shows in a repr, log or exception, even if a server repeats it.
    """

    def __init__(
        self,
        bearer_token: str | None = None,
        *,
        auth: Auth | None = None,
        base_url: str = DEFAULT_BASE_URL,
        allow_local: bool = False,
        requested: Requested | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        ledger: Ledger | None = None,
        pace: Pace | None = None,
    ) -> None:
        if (bearer_token is None) == (auth is None):
            raise ValueError("give either a bearer token or auth")
        self._auth = auth or BearerToken(bearer_token or "")
        self._transport = Transport(base_url, limits=limits or Limits(), allow_local=allow_local)
        self._transport.masked.learn(self._auth.secrets())
        self.base_url = self._transport.base_url
        self.requested = requested or Requested.everything_public()
        self._backoff = backoff or Backoff()
        self.api = f"{self.base_url} {self._auth.fingerprint}"
        self._ledger: Ledger = self._introduced_to(ledger or NoLedger())
        self._pace = pace or Pace()
        self._server_clock = _ServerClock()

    def __repr__(self) -> str:
        return f"<XClient of {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, including those of clients created by `charged_to`."""
        self._transport.close()

    def charged_to(self, ledger: Ledger) -> XClient:
        """The same client, with every request priced and recorded in this ledger. Shares the connections."""
        client = copy(self)
        client._ledger = self._introduced_to(ledger)
        return client

    def server_now(self, now: datetime) -> datetime:
        """What X's clock says when ours says `now`; `now` itself until an answer has had a date."""
        return now + self._server_clock.ahead

    def search_recent(self, query: str, *, max_results: int = 100, **params: Value) -> Page:
        """One page of matching tweets of the last 7 days, newest first; 10 to 100 per page.

        Also takes since_id and until_id (exclusive), start_time, end_time, next_token and sort_order. X accepts only
        one of since_id and start_time.
        """
        return self.request(SEARCH_RECENT, query=query, max_results=max_results, **params)

    def user_tweets(self, user_id: int, *, max_results: int = 100, **params: Value) -> Page:
        """One page of a user's own tweets, newest first, the last 3,200 at most; 5 to 100 per page.

        Also takes the window of a search, pagination_token, and `exclude`, which may hold "replies" and "retweets".
        """
        return self.request(USER_TWEETS, id=user_id, max_results=max_results, **params)

    def tweets(self, ids: Sequence[int]) -> Page:
        """Up to 100 tweets by id; `errors` names those that X does not return."""
        return self.request(TWEETS, ids=ids)

    def users(self, ids: Sequence[int]) -> Page:
        """Up to 100 users by id."""
        return self.request(USERS, ids=ids)

    def users_by(self, usernames: Sequence[str]) -> Page:
        """Up to 100 users by name, without the @."""
        return self.request(USERS_BY, usernames=usernames)

    def counts_recent(self, query: str, *, granularity: str = "hour", **params: Value) -> Page:
        """How many tweets of the last 7 days match, in buckets; the sum is meta["total_tweet_count"].

        Also takes the window of a search. The sum may exceed what search returns, which is filtered for compliance.
        """
        return self.request(COUNTS_RECENT, query=query, granularity=granularity, **params)

    def usage(self, *, days: int = 7) -> Page:
        """How many posts the project has read in its billing cycle, and its cap. Free of charge."""
        return self.request(USAGE, days=days)

    def request(self, endpoint: Endpoint, /, *, json: object = None, **params: Value) -> Page:
        """Send a request to an endpoint, whose row lists its parameters. `json` is the body of a non-GET request.

        Raises ValueError for unknown or missing parameters, and an XError if X gives no usable answer.
        """
        request = Request.of(endpoint, params, requested=self.requested, body=json)
        if self._auth.kind not in endpoint.auth:
            raise CredentialsRefused(
                f"{endpoint} was not sent: X accepts {' or '.join(sorted(endpoint.auth))} there, not {self._auth.kind}",
                endpoint=endpoint.path,
            )
        try:
            return self._repeated(request)
        except CredentialsRefused as refused:
            if refused.status != UNAUTHORIZED or not self._auth.refresh(self._transport):
                raise
        self._transport.masked.learn(self._auth.secrets())
        return self._repeated(request)

    def _repeated(self, request: Request) -> Page:
        """Try a few times, each try priced and recorded; never repeat what X may already have done."""
        failed: TryAgain | None = None
        for tries_made in range(1, self._backoff.tries + 1):
            try:
                return self._try_once(request)
            except CircuitOpen as refused:
                if failed is None:
                    raise
                raise failed from refused  # a retry within one call: report what really failed
            except TryAgain as again:
                floor_seconds = again.retry_after.total_seconds()
                if tries_made == self._backoff.tries or floor_seconds > self._backoff.patience_seconds:
                    raise
                if request.endpoint.method == "POST" and again.outcome != "free":
                    raise
                failed = again
                self._pace.sleep(self._backoff.wait_seconds(tries_made, self._pace.random(), floor_seconds))
        raise ValueError("a call needs at least one try")

    def _try_once(self, request: Request) -> Page:
        request = self._affordable(request)
        endpoint, params = request.endpoint, request.params
        price_usd = worst_case_usd(endpoint, params)
        reservation = self._ledger.may_spend(endpoint.path, price_usd)
        request_id = uuid.uuid4().hex
        answer: Answer | None = None
        try:
            answer = self._transport.exchange(
                endpoint.method,
                request.route,
                request.query,
                sign=self._auth.headers,
                headers={} if request.body is None else {"Content-Type": "application/json"},
                body=request.body,
            )
            page = self._page(answer, request, request_id)
        except BaseException as failed:
            is_free = not price_usd or (isinstance(failed, XError) and failed.outcome == "free")
            if isinstance(failed, XError):
                failed.args = tuple(self._transport.masked(str(each)) for each in failed.args)
            status = answer.status if answer else getattr(failed, "status", None)
            if isinstance(failed, XError) and answer is not None:
                failed.server_time = _date_of(answer.headers)
            self._ledger.record_request(
                reservation,
                request_id=request_id,
                endpoint=endpoint.path,
                params=params,
                status=status,
                rate_limit=_rate_limit_dict(RateLimit.of(answer.headers) if answer else None),
                result_count=0,
                cost_usd=Decimal(0) if is_free else None,
                observed_at=self._pace.now(),
                error=self._transport.masked(f"{type(failed).__name__}: {failed}")[:1000],
            )
            raise
        self._ledger.record_request(
            reservation,
            request_id=request_id,
            endpoint=endpoint.path,
            params=params,
            status=page.status,
            rate_limit=_rate_limit_dict(page.rate_limit),
            result_count=len(page.data),
            cost_usd=page.cost_usd,
            observed_at=page.observed_at,
            error=None,
        )
        return page

    def _affordable(self, request: Request) -> Request:
        """The same request, for as large a page as the ledger has money for."""
        left_usd = self._ledger.left_usd() if isinstance(self._ledger, BoundedLedger) else None
        if left_usd is None:
            return request
        max_results = affordable_max_results(request.endpoint, request.params, left_usd)
        return request if max_results is None else request.with_page_of(max_results)

    def _introduced_to(self, ledger: Ledger) -> Ledger:
        if isinstance(ledger, BoundedLedger):
            ledger.charged_by(self.api)
        return ledger

    def _page(self, answer: Answer, request: Request, request_id: str) -> Page:
        endpoint, params = request.endpoint, request.params
        observed_at = self._pace.now()
        if (stated := _date_of(answer.headers)) is not None:
            self._server_clock.ahead = stated - observed_at
        refusal = refusal_of(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            endpoint=endpoint.path,
            now=observed_at,
            method=endpoint.method,
            masked=self._transport.masked,
        )
        if refusal is not None:
            raise refusal
        try:
            body = parse_body(answer.body)
        except ValueError as unreadable:
            raise ServerFailed(
                f"{endpoint} answered {answer.status} with {len(answer.body)} bytes that are not X's JSON: "
                f"{unreadable}",
                endpoint=endpoint.path,
                status=answer.status,
            ) from unreadable
        if (why := why_unproven(endpoint, params, body)) is not None:
            raise UnprovenAnswer(
                f"{endpoint} answered {answer.status}, but the answer does not count: {why}",
                endpoint=endpoint.path,
                status=answer.status,
            )
        return Page(
            endpoint=endpoint.path,
            params=params,
            requested=request.requested,
            status=answer.status,
            request_id=request_id,
            observed_at=observed_at,
            rate_limit=RateLimit.of(answer.headers),
            cost_usd=actual_usd(endpoint, params, body),
            data=body.data,
            includes=body.includes,
            errors=body.errors,
            meta=body.meta or {},
            server_time=_date_of(answer.headers),
        )


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    """The answer's own Date, if it is a valid one."""
    try:
        stated = parsedate_to_datetime(headers["date"])
        stated = stated.astimezone(UTC) if stated.tzinfo else stated.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    return stated if stated > X_BEGAN_AT else None


def _rate_limit_dict(rate_limit: RateLimit | None) -> dict[str, Any] | None:
    return None if rate_limit is None else rate_limit.as_dict()
