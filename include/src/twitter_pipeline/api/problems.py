"""Errors as problem+json (RFC 9457): what happened, to which parameter, and what to do.

Problem             an error status with a title and a detail
BadParameters       422: `errors` names each parameter that cannot be used
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    422: "Unusable parameters",
    500: "Internal error",
    503: "Not available now",
    504: "Query took too long",
}


class Problem(Exception):
    """An error response; `headers` are sent with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


class BadParameters(Problem):
    """Parameters that cannot be used, as pairs of a name and what is wrong with it."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__(422, "; ".join(f"{name}: {what}" for name, what in errors))
        self.errors = errors


def answer(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[tuple[str, str]] = (),
) -> Response:
    """A problem as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [{"parameter": name, "detail": what} for name, what in errors]
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a Problem."""
    if not isinstance(error, Problem):
        raise error
    return answer(error.status, error.detail, error.headers, getattr(error, "errors", ()))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an exception raised by FastAPI or `authenticate`: its words, in our shape."""
    if not isinstance(error, HTTPException):
        raise error
    return answer(error.status_code, str(error.detail), error.headers)


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer an unexpected error: the server logs it, and the response reveals nothing of it."""
    return answer(500, "internal error; see the server log")


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer parameters that do not match their declaration, each by name; never repeats a value, which may be anything."""
    if not isinstance(error, RequestValidationError):
        raise error
    errors = []
    for each in error.errors():
        name = str(each["loc"][-1])[:100].encode("ascii", "replace").decode()
        errors.append((name, _what(each)[:200]))
    return answer(422, "; ".join(f"{name}: {what}" for name, what in errors), errors=errors)


def _what(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter"
    if error["type"] == "value_error":  # our own sentence, without pydantic's prefix
        return str(error["ctx"]["error"])
    return str(error["msg"])
