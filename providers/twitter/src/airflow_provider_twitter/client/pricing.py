"""What a request costs, before it is sent and after it is answered, by the price in the endpoint's row.

X does not state whether objects in `includes` are billed. Here authors are counted (one user read for each author
that an expansion brings), other included objects are not. X does not bill the same object twice in a UTC day; that is
not taken into account, so these figures are upper bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from airflow_provider_twitter.client.endpoints import Endpoint
from airflow_provider_twitter.client.pages import Body
from airflow_provider_twitter.client.price_list import USER_READ


def worst_case_usd(endpoint: Endpoint, params: Mapping[str, str]) -> Decimal:
    """The most that this request can cost by the price list."""
    if endpoint.price.per == "request":
        return endpoint.price.usd
    return _most_objects(endpoint, params) * _most_per_object_usd(endpoint, params)


def affordable_max_results(endpoint: Endpoint, params: Mapping[str, str], left_usd: Decimal) -> int | None:
    """The largest max_results, up to the requested one, whose worst case `left_usd` covers.

    Never less than X's smallest page: below that the budget decides. None if the page size does not change the price.
    """
    if endpoint.page_size is None or endpoint.price.per == "request":
        return None
    covered = int(left_usd / _most_per_object_usd(endpoint, params))
    return min(_most_objects(endpoint, params), max(covered, endpoint.smallest_page))


def actual_usd(endpoint: Endpoint, params: Mapping[str, str], body: Body) -> Decimal:
    """What this answer cost by the price list."""
    if endpoint.price.per == "request":
        return endpoint.price.usd
    objects_usd = len(body.data) * endpoint.price.usd
    if endpoint.answer != "tweets":
        return objects_usd
    users = {user.id for user in body.includes.get("users", ())}
    authors = {str((tweet.value or {}).get("author_id")) for tweet in body.data}
    return objects_usd + sum(str(user) in authors for user in users) * USER_READ.usd


def _most_objects(endpoint: Endpoint, params: Mapping[str, str]) -> int:
    if endpoint.page_size is not None:
        return int(params.get("max_results", endpoint.page_size.default))
    return len([name for name in params.get(endpoint.lists or "", "").split(",") if name])


def _most_per_object_usd(endpoint: Endpoint, params: Mapping[str, str]) -> Decimal:
    with_author = endpoint.answer == "tweets" and "author_id" in params.get("expansions", "").split(",")
    return endpoint.price.usd + (USER_READ.usd if with_author else 0)
