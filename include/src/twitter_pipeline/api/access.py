"""Who is asking and what they may do. Deny by default: each route needs a scope, each principal has scopes.

The creator of the app passes `authenticate`, a FastAPI dependency that returns the Principal of a request or raises.
A route that names no scope answers nobody.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from twitter_pipeline.api.problems import Problem

READ = "read"
"""Read collected data and the pipeline's state."""
_DECLARED = "x-scope"


@dataclass(frozen=True)
class Principal:
    """Who is asking: a human-readable name, and the granted scopes."""

    name: str
    scopes: frozenset[str]


Authenticate = Callable[..., Any]


def needs(scope: str) -> dict[str, Any]:
    """Route arguments that make a route answer principals with this scope; the OpenAPI document shows it."""
    return {"openapi_extra": {_DECLARED: scope}}


def scope_of(route: Any) -> str | None:
    """The scope that a route needs; None if nobody may use the route."""
    return (getattr(route, "openapi_extra", None) or {}).get(_DECLARED)


def gate(authenticate: Authenticate) -> Callable[..., Awaitable[Principal]]:
    """The dependency that guards every route of an app. Raises Problem 403 if the scope was not granted."""

    async def granted(request: Request, principal: Annotated[Any, Depends(authenticate)]) -> Principal:
        needed = scope_of(request.scope.get("route"))
        if not isinstance(principal, Principal) or needed is None or needed not in principal.scopes:
            raise Problem(403, f"this needs the scope {needed!r}, which you have not been granted")
        return principal

    return granted
