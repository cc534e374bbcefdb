"""The table of endpoints: each row can be found, has a price and a proof, and agrees with X's own document."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twitter.client.endpoints import (
    MOST_LISTED,
    TABLE,
    Endpoint,
    endpoint_at,
    endpoint_named,
)
from airflow_provider_twitter.client.pages import parse_body
from airflow_provider_twitter.client.pricing import worst_case_usd
from airflow_provider_twitter.client.proof import why_unproven

EACH = pytest.mark.parametrize("endpoint", TABLE, ids=lambda endpoint: endpoint.name)
SCHEMES = {"BearerToken": "app", "OAuth2UserToken": "oauth2_user", "UserToken": "oauth1_user"}
NEWEST = "2.167"


@EACH
def test_a_row_is_found_by_its_name_and_by_its_path(endpoint: Endpoint) -> None:
    """Names and paths are different in every row."""
    assert endpoint_named(endpoint.name) is endpoint_at(endpoint.path, endpoint.method) is endpoint


@EACH
def test_every_endpoint_is_priced_and_proven(endpoint: Endpoint) -> None:
    """Each row has a worst-case price, and an empty object proves nothing for any of them."""
    params = dict.fromkeys([*endpoint.path_params, *filter(None, [endpoint.lists])], "20")
    assert worst_case_usd(endpoint, params) >= 0
    assert why_unproven(endpoint, params, parse_body(b"{}")) is not None


def test_what_is_in_no_row_is_not_asked() -> None:
    """A path or a name that the table does not know has no price."""
    with pytest.raises(ValueError, match="GET /2/tweets/search/all: add it to the table of endpoints"):
        endpoint_at("/2/tweets/search/all")
    with pytest.raises(ValueError, match="POST /2/tweets: add it to the table of endpoints"):
        endpoint_at("/2/tweets", "POST")
    with pytest.raises(ValueError, match=r"no endpoint .search_all.: the table has .*search_recent"):
        endpoint_named("search_all")


@EACH
def test_an_endpoint_that_names_a_resource_has_it_in_its_path(endpoint: Endpoint) -> None:
    """Facts concern the object named in the path; only endpoints that return tweets have a source."""
    assert (endpoint.names is not None) == bool(endpoint.path_params)
    assert (endpoint.source is not None) == (endpoint.answer == "tweets")


@EACH
@pytest.mark.parametrize("version", ["2.166", NEWEST])
def test_the_table_is_what_x_says(openapi: Path, version: str, endpoint: Endpoint) -> None:
    """Method, parameters, bounds and credentials of each row are those of X's documents."""
    [path] = openapi.glob(f"openapi_{version}_*.json")
    document = json.loads(path.read_text())
    stated = document["paths"][endpoint.path.replace(":id", "{id}")][endpoint.method.lower()]
    parameters: dict[str, Any] = {}
    for each in stated["parameters"]:
        found = document["components"]["parameters"][each["$ref"].split("/")[-1]] if "$ref" in each else each
        parameters[found["name"]] = {"in": found["in"], **found["schema"]}
    in_path = {name for name, each in parameters.items() if each["in"] == "path"}
    assert set(endpoint.path_params) == in_path
    spelled = {"tweet.fields": "tweet.fields" if version == "2.166" else "post.fields"}
    fields = {spelled.get(name, name) for name in endpoint.fields}
    aliases = {"pagination_token"} if endpoint.page_token == "next_token" else set()
    assert endpoint.query_params | fields | aliases == parameters.keys() - in_path
    windows = {"since_id", "until_id", "start_time", "end_time"} & parameters.keys()
    assert set(endpoint.window) == windows
    tokens = {"next_token", "pagination_token"} & parameters.keys()
    assert (endpoint.page_token in tokens) if tokens else endpoint.page_token is None
    assert ("max_results" in parameters) == (endpoint.page_size is not None)
    if endpoint.page_size is not None:
        size = parameters["max_results"]
        assert size["minimum"] == endpoint.page_size.least
        assert size.get("default", endpoint.page_size.default) == endpoint.page_size.default
    if endpoint.lists is not None:
        assert parameters[endpoint.lists]["maxItems"] == MOST_LISTED
    taken = {SCHEMES[scheme] for each in stated["security"] for scheme in each}
    assert taken <= endpoint.auth
    if version == NEWEST:
        assert taken == endpoint.auth
