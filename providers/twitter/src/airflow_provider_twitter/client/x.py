"""The client of the X API v2: a method for each endpoint that a pipeline needs, a frozen Page as its answer."""

from __future__ import annotations

import hashlib
import random
import re
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

from airflow_provider_twitter.client.address import DEFAULT_BASE_URL, allowed_base_url
from airflow_provider_twitter.client.backoff import Backoff
from airflow_provider_twitter.client.endpoints import endpoint_of
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
from airflow_provider_twitter.client.transport import Answer, Endpoints, Limits, Masked, Transport

X_BEGAN_AT = datetime(2006, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """This instant, aware."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _ServerClock:
    """How far X's clock is ahead of ours, by the newest answer that had a date; shared by copies of a client."""

    ahead: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the client takes time and chance from; tests bring their own."""

    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


class XClient:
    """Reads from the X API with an app's bearer token.

    Promises: only GET requests; a total deadline and a byte cap on each; redirects refused; 5xx and broken
    connections repeated a few times with full jitter; a rate limit raised at once as RateLimited and never
    slept away; each request priced before it is sent and recorded after, one whose outcome nobody knows as such;
    pages shrink to what the books have left. The token shows in no repr, log or exception, also where a server
    repeats it.
    """

    def __init__(
        self,
        bearer_token: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        allow_local: bool = False,
        requested: Requested | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        ledger: Ledger | None = None,
        pace: Pace | None = None,
    ) -> None:
        token = Masked(bearer_token.strip())
        if not token:
            raise CredentialsRefused("there is no bearer token: put it into the connection's password")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise CredentialsRefused("the bearer token holds spaces or characters that no header may carry")
        self.base_url = allowed_base_url(base_url, allow_local=allow_local)
        self.requested = requested or Requested.everything_public()
        self._transport = Transport(self.base_url, token, limits=limits or Limits(), allow_local=allow_local)
        self._backoff = backoff or Backoff()
        # enough to tell two tokens apart in shared books, too little to find out either
        self.api = f"{self.base_url} {hashlib.sha256(b'x-api-token:' + token.encode()).hexdigest()[:12]}"
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
        """Close the connections, also those of clients made by `charged_to`."""
        self._transport.close()

    def charged_to(self, ledger: Ledger) -> XClient:
        """The same client, with every request priced and recorded in these books. Shares the connections."""
        client = copy(self)
        client._ledger = self._introduced_to(ledger)
        return client

    def server_now(self, now: datetime) -> datetime:
        """What X's clock says when ours says `now`; ours, until an answer had a date."""
        return now + self._server_clock.ahead

    def search_recent(
        self,
        query: str,
        *,
        max_results: int = 100,
        since_id: int | None = None,
        until_id: int | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        next_token: str | None = None,
        sort_order: str | None = None,
    ) -> Page:
        """One page of tweets of the last 7 days that match, newest first; 10 to 100 on a page.

        since_id and until_id are exclusive. X takes at most one of since_id and start_time.
        """
        return self._tweets(
            lambda endpoints, params: endpoints.search_recent_tweets(query, **params),
            max_results=max_results,
            since_id=since_id,
            until_id=until_id,
            start_time=start_time,
            end_time=end_time,
            next_token=next_token,
            sort_order=sort_order,
        )

    def user_tweets(
        self,
        user_id: int,
        *,
        max_results: int = 100,
        since_id: int | None = None,
        until_id: int | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        pagination_token: str | None = None,
        exclude: Sequence[str] = (),
    ) -> Page:
        """One page of a user's own tweets, newest first, the last 3,200 at most; 5 to 100 on a page.

        `exclude` may hold "replies" and "retweets".
        """
        return self._tweets(
            lambda endpoints, params: endpoints.get_users_tweets(user_id, **params),
            max_results=max_results,
            since_id=since_id,
            until_id=until_id,
            start_time=start_time,
            end_time=end_time,
            pagination_token=pagination_token,
            exclude=list(exclude) or None,
        )

    def tweets(self, ids: Sequence[int]) -> Page:
        """Up to 100 tweets by id; those that X does not give are named in `errors`."""
        return self._tweets(lambda endpoints, params: endpoints.get_tweets(list(ids), **params))

    def users(self, ids: Sequence[int]) -> Page:
        """Up to 100 users by id."""
        params = self.requested.user_params()
        return self._ask(lambda endpoints: endpoints.get_users(ids=list(ids), **params))

    def users_by(self, usernames: Sequence[str]) -> Page:
        """Up to 100 users by name, without the @."""
        params = self.requested.user_params()
        return self._ask(lambda endpoints: endpoints.get_users(usernames=list(usernames), **params))

    def counts_recent(
        self,
        query: str,
        *,
        granularity: str = "hour",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        since_id: int | None = None,
        until_id: int | None = None,
    ) -> Page:
        """How many tweets of the last 7 days match, in buckets; the sum is meta["total_tweet_count"].

        It may exceed what search gives, which filters for compliance.
        """
        return self._ask(
            lambda endpoints: endpoints.get_recent_tweets_count(
                query,
                granularity=granularity,
                start_time=start_time,
                end_time=end_time,
                since_id=since_id,
                until_id=until_id,
            ),
            requested=None,
        )

    def usage(self, *, days: int = 7) -> Page:
        """How many posts the project has read in its cycle, and its cap. Free of charge."""
        return self._ask(lambda endpoints: endpoints.usage(days=days), requested=None)

    def _tweets(self, call: Callable[[Endpoints, dict[str, Any]], Any], **window: Any) -> Page:
        given = {name: value for name, value in window.items() if value is not None}
        params = given | self.requested.tweet_params()
        return self._ask(lambda endpoints: call(endpoints, params), requested=self.requested)

    def _ask(self, call: Callable[[Endpoints], Any], *, requested: Requested | None = None) -> Page:
        """Let tweepy build the request, then carry it: tries, prices, records."""

        def exchange(route: str, params: Mapping[str, str]) -> Page:
            failed: TryAgain | None = None
            for tries_made in range(1, self._backoff.tries + 1):
                try:
                    return self._try_once(route, params, requested)
                except CircuitOpen as refused:
                    if failed is None:
                        raise
                    raise failed from refused  # the books of one task: it ends with what really failed
                except TryAgain as again:
                    floor_seconds = again.retry_after.total_seconds()
                    if tries_made == self._backoff.tries or floor_seconds > self._backoff.patience_seconds:
                        raise
                    failed = again
                    self._pace.sleep(
                        self._backoff.wait_seconds(tries_made, self._pace.random(), floor_seconds)
                    )
            raise ValueError("a call needs at least one try")

        page = call(Endpoints(exchange))
        if not isinstance(page, Page):
            raise TypeError(f"tweepy returned {type(page).__name__} instead of what was exchanged")
        return page

    def _try_once(self, route: str, sent: Mapping[str, str], requested: Requested | None) -> Page:
        endpoint, path_params = endpoint_of(route)
        sent = self._affordable(endpoint, sent)
        params = {**path_params, **sent}
        price_usd = worst_case_usd(endpoint, params)
        reservation = self._ledger.may_spend(endpoint, price_usd)
        request_id = uuid.uuid4().hex
        answer: Answer | None = None
        try:
            answer = self._transport.get(route, sent)
            page = self._page(answer, endpoint, params, requested, request_id)
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
                endpoint=endpoint,
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
            endpoint=endpoint,
            params=params,
            status=page.status,
            rate_limit=_rate_limit_dict(page.rate_limit),
            result_count=len(page.data),
            cost_usd=page.cost_usd,
            observed_at=page.observed_at,
            error=None,
        )
        return page

    def _affordable(self, endpoint: str, sent: Mapping[str, str]) -> Mapping[str, str]:
        """The same parameters with a page as large as the books have money for."""
        left_usd = self._ledger.left_usd() if isinstance(self._ledger, BoundedLedger) else None
        if left_usd is None:
            return sent
        max_results = affordable_max_results(endpoint, sent, left_usd)
        return sent if max_results is None else {**sent, "max_results": max_results}

    def _introduced_to(self, ledger: Ledger) -> Ledger:
        if isinstance(ledger, BoundedLedger):
            ledger.charged_by(self.api)
        return ledger

    def _page(
        self,
        answer: Answer,
        endpoint: str,
        params: Mapping[str, str],
        requested: Requested | None,
        request_id: str,
    ) -> Page:
        observed_at = self._pace.now()
        if (stated := _date_of(answer.headers)) is not None:
            self._server_clock.ahead = stated - observed_at
        refusal = refusal_of(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            endpoint=endpoint,
            now=observed_at,
            masked=self._transport.masked,
        )
        if refusal is not None:
            raise refusal
        try:
            body = parse_body(answer.body)
        except ValueError as unreadable:
            raise ServerFailed(
                f"GET {endpoint} answered {answer.status} with {len(answer.body)} bytes that are no JSON "
                f"of X: {unreadable}",
                endpoint=endpoint,
                status=answer.status,
            ) from unreadable
        if (why := why_unproven(endpoint, params, body)) is not None:
            raise UnprovenAnswer(
                f"GET {endpoint} answered {answer.status}, but the answer does not count: {why}",
                endpoint=endpoint,
                status=answer.status,
            )
        return Page(
            endpoint=endpoint,
            params=params,
            requested=requested,
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
    """The answer's own Date, where it is one."""
    try:
        stated = parsedate_to_datetime(headers["date"])
        stated = stated.astimezone(UTC) if stated.tzinfo else stated.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    return stated if stated > X_BEGAN_AT else None


def _rate_limit_dict(rate_limit: RateLimit | None) -> dict[str, Any] | None:
    return None if rate_limit is None else rate_limit.as_dict()
