"""How a route is described in the OpenAPI document: the model of its answer, an example, and the problems."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from twitter_pipeline.api import models
from twitter_pipeline.api.examples import EXAMPLES, PROBLEM
from twitter_pipeline.api.problems import MEDIA_TYPE

_STATUSES = {
    400: "A cursor that this API did not return, or one of other filters.",
    401: "No token, or one that is not valid.",
    403: "Whoever asks may not read this.",
    404: "There is no such object here.",
    422: "Parameters that cannot be used, each by name.",
    503: "PostgreSQL is away, busy or locked; see Retry-After.",
    504: "The query took too long; narrow it down.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{models.ProblemDetails.__name__}"},
                "example": PROBLEM,
            }
        },
    }
    for status, description in _STATUSES.items()
}


def answering(model: Any, example: str) -> dict[str, Any]:
    """What a route is declared with whose answers have this shape. The bytes of an answer go out as they are."""
    return {
        "response_model": model,
        "response_class": JSONResponse,
        "responses": {200: {"content": {"application/json": {"example": EXAMPLES[example]}}}, **PROBLEMS},
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app, with the shape of its problems."""
    made = app.openapi()
    schema = models.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = made["components"]["schemas"]
    schemas |= schema.pop("$defs") | {models.ProblemDetails.__name__: schema}
    return made
