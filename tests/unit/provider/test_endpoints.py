"""The table of endpoints: what is in it is found by its route, priced, proven, and is what X's own document says."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twitter.client.endpoints import MOST_LISTED, TABLE, Endpoint, endpoint_at, endpoint_of
from airflow_provider_twitter.client.pages import parse_body
from airflow_provider_twitter.client.pricing import worst_case_usd
from airflow_provider_twitter.client.proof import why_unproven

EACH = pytest.mark.parametrize("endpoint", TABLE, ids=lambda endpoint: endpoint.path)


@EACH
def test_a_route_is_known_by_its_endpoint(endpoint: Endpoint) -> None:
    """An id in the path is a parameter, so that prices, limits and books go by the endpoint and not by the id."""
    route = endpoint.path.replace(":id", "20")
    assert endpoint_of(route) == (endpoint.path, {"id": "20"} if ":id" in endpoint.path else {})
    assert endpoint_at(endpoint.path) is endpoint


@EACH
def test_every_endpoint_is_priced_and_proven(endpoint: Endpoint) -> None:
    """Each row has a worst case, and an empty object proves nothing to any of them."""
    params = {name: "20" for name in (endpoint.names, endpoint.lists) if name}
    assert worst_case_usd(endpoint.path, params) >= 0
    assert why_unproven(endpoint.path, params, parse_body(b"{}")) is not None


@pytest.mark.parametrize(
    "route", ["/2/users/x/tweets", "/2/users/20/tweets/more", "/2/users/٢/tweets", "/3/tweets"]
)
def test_what_is_in_no_row_is_not_asked(route: str) -> None:
    """A route that the table does not know stays as it is, and has no price."""
    assert endpoint_of(route) == (route, {})
    with pytest.raises(ValueError, match="add it to the table of endpoints"):
        endpoint_at(route)


@EACH
@pytest.mark.parametrize("version", ["2.166", "2.167"])
def test_the_table_is_what_x_says(openapi: Path, version: str, endpoint: Endpoint) -> None:
    """Paths, least pages, defaults, and how many may be looked up at once are those of X's documents."""
    [document] = openapi.glob(f"openapi_{version}_*.json")
    found = json.loads(document.read_text())["paths"][endpoint.path.replace(":id", "{id}")]["get"]
    parameters: dict[str, Any] = {each.get("name"): each.get("schema", {}) for each in found["parameters"]}
    assert ("max_results" in parameters) == (endpoint.page_size is not None)
    if endpoint.page_size is not None:
        stated = parameters["max_results"]
        assert stated["minimum"] == endpoint.page_size.least
        assert stated.get("default", endpoint.page_size.default) == endpoint.page_size.default
    if endpoint.lists is not None:
        assert parameters[endpoint.lists]["maxItems"] == MOST_LISTED
    if endpoint.names is not None:
        assert endpoint.names in parameters
