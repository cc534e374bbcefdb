"""The OpenAPI document is valid, and a client can be generated from it. Every test here checks the shapes of answers."""

from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from jsonschema import ValidationError
from openapi_spec_validator import validate

from support.api import Api, given
from support.api_shapes import openapi_document, shapes
from support.apps import serving
from twitter_pipeline.api.access import READ, Principal
from twitter_pipeline.api.app import PREFIX, create_app


def operations() -> list[dict[str, Any]]:
    return [path["get"] for path in openapi_document()["paths"].values()]


def test_the_document_is_valid(api: Api) -> None:
    """The served document passes a third-party validator."""
    served = api.data(f"{PREFIX}/openapi.json")
    validate(served)
    assert served["info"]["title"] == "Tweet pipeline"


def test_the_document_says_where_it_is_mounted(tmp_path: Path) -> None:
    """It states its own address, under a prefix in Airflow and at the root with `serve`, so clients need not be told."""
    reader = Principal("a reader", frozenset({READ}))
    app = create_app(
        given(tmp_path, "postgresql://127.0.0.1:1/none"), authenticate=lambda: reader, airflow_url=""
    )
    outer = FastAPI()
    outer.mount("/tweet-pipeline", app)
    for served, prefix, url in ((outer, "/tweet-pipeline", "/tweet-pipeline"), (app, "", "/")):
        with serving(served) as address:
            answer = requests.get(f"{address}{prefix}{PREFIX}/openapi.json", timeout=10)
        assert answer.json()["servers"] == [{"url": url}]


def test_a_client_can_be_made_from_it() -> None:
    """Each operation has its own name, the scope it needs, and named schemas for every answer."""
    names = [operation["operationId"] for operation in operations()]
    assert sorted(names) == [
        "count_tweets",
        "list_tweets",
        "list_users",
        "read_pipeline",
        "read_tweet",
        "read_user",
        "top_hashtags",
    ]
    assert {operation["x-scope"] for operation in operations()} == {READ}
    for operation in operations():
        for status, response in operation["responses"].items():
            [content] = response["content"].values()
            reference = content["schema"]["$ref"]
            assert reference.startswith("#/components/schemas/"), (operation["operationId"], status)
            assert reference.rpartition("/")[2] in openapi_document()["components"]["schemas"]


def test_ids_are_strings_for_clients() -> None:
    """This holds for answers and paths: as numbers, ids would lose digits in half of all languages."""
    schemas = openapi_document()["components"]["schemas"]
    assert schemas["Tweet"]["properties"]["id"]["type"] == "string"
    assert schemas["TweetAuthor"]["properties"]["id"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    [parameter] = openapi_document()["paths"][f"{PREFIX}/tweets/{{id}}"]["get"]["parameters"]
    assert parameter["schema"]["type"] == "string"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{PREFIX}/hashtags", b'{"data": [], "meta": {"since": "2026-01-01T00:00:00Z"}}'),
        (f"{PREFIX}/users", b'{"data": [], "meta": {"count": 0, "next_cursor": null}, "more": 1}'),
        (f"{PREFIX}/tweets/1", b'{"id": 1}'),
    ],
)
def test_an_answer_of_another_shape_is_noticed(path: str, body: bytes) -> None:
    """A member too few, one too many, and a number where a string is promised: else the check checks nothing."""
    answer = requests.Response()
    answer.status_code, answer._content = 200, body
    answer.headers["content-type"] = "application/json"
    with pytest.raises(ValidationError):
        shapes().check(path, answer)
