"""How a route is described in the OpenAPI document: its response model, an example, and its problems."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from twitter_pipeline.api import models
from twitter_pipeline.api.examples import EXAMPLES, PROBLEM
from twitter_pipeline.api.problems import MEDIA_TYPE

_STATUSES = {
    400: "The cursor is not one that this API returned, or belongs to other filters.",
    401: "The token is missing or invalid.",
    403: "The caller may not read this.",
    404: "The object was not found.",
    422: "Some parameters cannot be used; `errors` names each of them.",
    503: "PostgreSQL is unavailable, busy or locked; see Retry-After.",
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
    """Route arguments that document the shape of the answers. The bytes of an answer are sent unchanged."""
    return {
        "response_model": model,
        "response_class": JSONResponse,
        "responses": {200: {"content": {"application/json": {"example": EXAMPLES[example]}}}, **PROBLEMS},
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app, including the schema of its problems."""
    made = app.openapi()
    schema = models.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = made["components"]["schemas"]
    schemas |= schema.pop("$defs") | {models.ProblemDetails.__name__: schema}
    return made
