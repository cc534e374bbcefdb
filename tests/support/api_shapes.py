"""Checks real answers against the OpenAPI document."""

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import requests
from jsonschema import Draft202012Validator

from twitter_pipeline import settings
from twitter_pipeline.api.access import READ, Principal
from twitter_pipeline.api.app import PREFIX, create_app
from twitter_pipeline.api.documented import document


class Shapes:
    """The schemas of a document, strict: a member that it does not describe is a mistake too."""

    def __init__(self, made: dict[str, Any]) -> None:
        schemas = {name: _closed(schema) for name, schema in made["components"]["schemas"].items()}
        self._components = {"components": {"schemas": schemas}}
        self._routes = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), operations["get"]["responses"])
            for path, operations in made["paths"].items()
        ]

    def check(self, path: str, answer: requests.Response) -> None:
        """Raise ValidationError where an answer of the API is not what is promised for its path and status."""
        if not path.startswith(PREFIX) or path.endswith("openapi.json") or answer.status_code == 500:
            return
        for pattern, responses in self._routes:
            if pattern.fullmatch(path):
                content = responses[str(answer.status_code)]["content"]
                schema = content[answer.headers["content-type"]]["schema"]
                Draft202012Validator({**schema, **self._components}).validate(answer.json())
                return
        raise AssertionError(f"{path} is not in the OpenAPI document")


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"additionalProperties": False} if "properties" in schema else schema


@cache
def openapi_document() -> dict[str, Any]:
    """The document of an app; no store is opened for it."""
    with tempfile.TemporaryDirectory() as folder:
        given = settings.load(
            {
                "PIPELINE_HOME": folder,
                "PIPELINE_POSTGRES_READER_DSN": "postgresql://127.0.0.1:1/none",
                "PIPELINE_MONGO_URI": "mongodb://127.0.0.1:1",
                "PIPELINE_KAFKA_BOOTSTRAP": "127.0.0.1:1",
            },
            launched=False,
            root=Path(folder),
        )
        reader = Principal("a test", frozenset({READ}))
        return document(create_app(given, authenticate=lambda: reader, airflow_url=""))


@cache
def shapes() -> Shapes:
    """The shapes of this version's answers."""
    return Shapes(openapi_document())
