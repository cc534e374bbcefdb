"""Who asks, and what they may do. Nothing is allowed unless it is said: a route needs a scope, a principal has scopes.

Whoever makes the app brings `authenticate`, a dependency of FastAPI that returns the Principal of a request or raises.
A route that names no scope answers nobody.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from twitter_pipeline.api.problems import Problem

READ = "read"
"""Reading what was collected, and how the pipeline is."""
_DECLARED = "x-scope"


@dataclass(frozen=True)
class Principal:
    """Who asks: a name for people, and the scopes that were granted."""

    name: str
    scopes: frozenset[str]


Authenticate = Callable[..., Any]


def needs(scope: str) -> dict[str, Any]:
    """What a route is declared with so that it answers principals of this scope; the OpenAPI document shows it."""
    return {"openapi_extra": {_DECLARED: scope}}


def scope_of(route: Any) -> str | None:
    """The scope that a route needs; None for one that nobody may ask."""
    return (getattr(route, "openapi_extra", None) or {}).get(_DECLARED)


def gate(authenticate: Authenticate) -> Callable[..., Awaitable[Principal]]:
    """The dependency that stands before every route of an app. Raises Problem 403 for who may not."""

    async def granted(request: Request, principal: Annotated[Any, Depends(authenticate)]) -> Principal:
        needed = scope_of(request.scope.get("route"))
        if not isinstance(principal, Principal) or needed is None or needed not in principal.scopes:
            raise Problem(403, f"this needs the scope {needed!r}, which was not granted to you")
        return principal

    return granted
