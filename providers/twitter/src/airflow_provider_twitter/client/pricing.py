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

from airflow_provider_twitter.client.pages import Body

PRICES_READ_ON = "2026-09"
POST_READ_USD = Decimal("0.005")
USER_READ_USD = Decimal("0.010")
COUNTS_REQUEST_USD = Decimal("0.005")

DEFAULT_MAX_RESULTS = {"/2/tweets/search/recent": 10, "/2/users/:id/tweets": 10}
LEAST_MAX_RESULTS = {"/2/tweets/search/recent": 10, "/2/users/:id/tweets": 5}


def worst_case_usd(endpoint: str, params: Mapping[str, str]) -> Decimal:
    """The most that this request can cost by the price list."""
    match endpoint:
        case "/2/tweets/search/recent" | "/2/users/:id/tweets":
            return _tweets_usd(int(params.get("max_results", DEFAULT_MAX_RESULTS[endpoint])), params)
        case "/2/tweets":
            return _tweets_usd(_listed(params.get("ids", "")), params)
        case "/2/users":
            return _listed(params.get("ids", "")) * USER_READ_USD
        case "/2/users/by":
            return _listed(params.get("usernames", "")) * USER_READ_USD
        case "/2/tweets/counts/recent":
            return COUNTS_REQUEST_USD
        case "/2/usage/tweets":
            return Decimal(0)
    raise ValueError(f"no price is known for GET {endpoint}: add it to the price list before it is asked")


def affordable_max_results(endpoint: str, params: Mapping[str, str], left_usd: Decimal) -> str | None:
    """The largest max_results up to the one asked for whose worst case `left_usd` covers, as a parameter.

    Never less than X takes for a page: below that the budget decides. None for an endpoint without pages.
    """
    if endpoint not in LEAST_MAX_RESULTS:
        return None
    asked = int(params.get("max_results", DEFAULT_MAX_RESULTS[endpoint]))
    covered = int(left_usd / _tweets_usd(1, params))
    return str(min(asked, max(covered, LEAST_MAX_RESULTS[endpoint])))


def actual_usd(endpoint: str, params: Mapping[str, str], body: Body) -> Decimal:
    """What this answer cost by the price list."""
    match endpoint:
        case "/2/tweets/counts/recent" | "/2/usage/tweets":
            return worst_case_usd(endpoint, params)
        case "/2/users" | "/2/users/by":
            return len(body.data) * USER_READ_USD
    users = {user.id for user in body.includes.get("users", ())}
    authors = {str((tweet.value or {}).get("author_id")) for tweet in body.data}
    return len(body.data) * POST_READ_USD + sum(str(user) in authors for user in users) * USER_READ_USD


def _tweets_usd(tweets: int, params: Mapping[str, str]) -> Decimal:
    with_author = "author_id" in params.get("expansions", "").split(",")
    return tweets * (POST_READ_USD + (USER_READ_USD if with_author else 0))


def _listed(names: str) -> int:
    return len([name for name in names.split(",") if name])
