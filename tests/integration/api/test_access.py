"""Deny by default: a route needs a scope, and the caller must have it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from fastapi.routing import APIRoute

from support.api import given
from support.apps import serving
from twitter_pipeline.api.access import READ, Principal, scope_of
from twitter_pipeline.api.app import create_app


def app_for(folder: Path, authenticate: Callable[..., Any]) -> FastAPI:
    """An app whose stores are away: an unauthorised caller is refused before any store is queried."""
    return create_app(
        given(folder, "postgresql://127.0.0.1:1/none"), authenticate=authenticate, airflow_url=""
    )


def test_every_route_declares_the_scope_that_it_needs(tmp_path: Path) -> None:
    """The page, its files and the OpenAPI document too."""
    app = app_for(tmp_path, lambda: None)
    scopes = {route.path: scope_of(route) for route in app.routes if isinstance(route, APIRoute)}
    assert len(scopes) == len(app.routes) >= 11
    assert set(scopes.values()) == {READ}


@pytest.mark.parametrize(
    "principal",
    [
        Principal("an app without scopes", frozenset()),
        Principal("a writer", frozenset({"write"})),
        None,
        "reader",
    ],
    ids=["no scope", "another scope", "nobody", "no principal"],
)
def test_who_lacks_the_scope_is_refused_everywhere(tmp_path: Path, principal: object) -> None:
    """403 as problem+json, which names the scope; anything that is not a principal may do nothing."""
    app = app_for(tmp_path, lambda: principal)
    with serving(app) as url:
        for route in app.routes:
            answer = requests.get(url + route.path.replace("{id}", "1"), timeout=10)  # type: ignore[attr-defined]
            assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
            assert READ in answer.json()["detail"]


def test_a_route_that_declares_no_scope_answers_nobody(tmp_path: Path) -> None:
    """Not even a reader may use it: forgetting the scope closes a route instead of opening it."""
    app = app_for(tmp_path, lambda: Principal("a reader", frozenset({READ})))

    @app.get("/forgotten")
    def forgotten() -> str:
        return "open"

    with serving(app) as url:
        assert requests.get(f"{url}/", timeout=10).status_code == 200
        answer = requests.get(f"{url}/forgotten", timeout=10)
    assert (answer.status_code, "open" in answer.text) == (403, False)
