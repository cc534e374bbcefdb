"""What a request costs at X, before it is sent and after it was answered.

Pay-per-use prices of X's page "Pricing" (docs.x.com), read in September 2026: a post read $0.005, a user read
$0.010, one request for recent counts $0.005; failed requests are free (those of which X says so itself), usage lookups too. Whether objects in
`includes` are billed is not stated there; authors are counted here (one user read for each author that an
expansion brings), other included objects are not. X does not bill the same object twice in a UTC day; that is
not counted on, so these figures are upper bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from airflow_provider_twitter.client.endpoints import Endpoint, endpoint_at
from airflow_provider_twitter.client.pages import Body

PRICES_READ_ON = "2026-09"
POST_READ_USD = Decimal("0.005")
USER_READ_USD = Decimal("0.010")
COUNTS_REQUEST_USD = Decimal("0.005")


def worst_case_usd(path: str, params: Mapping[str, str]) -> Decimal:
    """The most that this request can cost by the price list. Raises ValueError for an endpoint without a price."""
    endpoint = endpoint_at(path)
    match endpoint.answer:
        case "tweets":
            return _most_objects(endpoint, params) * _tweet_usd(params)
        case "users":
            return _most_objects(endpoint, params) * USER_READ_USD
        case "counts":
            return COUNTS_REQUEST_USD
        case "usage":
            return Decimal(0)


def affordable_max_results(path: str, params: Mapping[str, str], left_usd: Decimal) -> str | None:
    """The largest max_results up to the one asked for whose worst case `left_usd` covers, as a parameter.

    Never less than X takes for a page: below that the budget decides. None for an endpoint without pages.
    """
    endpoint = endpoint_at(path)
    if endpoint.page_size is None:
        return None
    covered = int(left_usd / _tweet_usd(params))
    return str(min(_most_objects(endpoint, params), max(covered, endpoint.smallest_page)))


def actual_usd(path: str, params: Mapping[str, str], body: Body) -> Decimal:
    """What this answer cost by the price list."""
    match endpoint_at(path).answer:
        case "users":
            return len(body.data) * USER_READ_USD
        case "tweets":
            users = {user.id for user in body.includes.get("users", ())}
            authors = {str((tweet.value or {}).get("author_id")) for tweet in body.data}
            return (
                len(body.data) * POST_READ_USD + sum(str(user) in authors for user in users) * USER_READ_USD
            )
    return worst_case_usd(path, params)


def _most_objects(endpoint: Endpoint, params: Mapping[str, str]) -> int:
    if endpoint.page_size is not None:
        return int(params.get("max_results", endpoint.page_size.default))
    return _listed(params.get(endpoint.lists or "", ""))


def _tweet_usd(params: Mapping[str, str]) -> Decimal:
    with_author = "author_id" in params.get("expansions", "").split(",")
    return POST_READ_USD + (USER_READ_USD if with_author else 0)


def _listed(names: str) -> int:
    return len([name for name in names.split(",") if name])
