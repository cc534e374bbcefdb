"""The app: its routers, and what applies to all of them.

Deny by default: every route, including the page and the OpenAPI document, is behind `access.gate`. Only GET is allowed.
Bodies are bytes made by PostgreSQL. Errors are problem+json and name the parameter. Nothing is loaded from elsewhere.
"""

from importlib.metadata import version

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from twitter_pipeline.api import counts, hashtags, pipeline, problems, tweets, users
from twitter_pipeline.api.access import READ, Authenticate, gate, needs
from twitter_pipeline.api.bodies import json_answer
from twitter_pipeline.api.bounded import Bounded
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.documented import document
from twitter_pipeline.api.measured import Measured
from twitter_pipeline.api.page import files, runbook
from twitter_pipeline.api.parameters import repeated
from twitter_pipeline.api.state import PipelineState
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.settings import Settings

PREFIX = "/api/v1"
DESCRIPTION = (
    "Ids are strings, since they do not fit into a double. Times are UTC. null means that X did not say, never 0.\n\n"
    "Lists are paged: repeat the request with `cursor` = `meta.next_cursor` until that is null. Errors are"
    " `application/problem+json` and name the parameter."
)


def create_app(
    settings: Settings, *, authenticate: Authenticate, airflow_url: str, metrics: Metrics | None = None
) -> FastAPI:
    """The app for these settings.

    `authenticate` is a FastAPI dependency that returns the Principal of a request, or raises; `airflow_url` is the
    target of the page's links to Dags. Nothing is opened before the first request. Raises SettingsError if an address
    is missing.
    """
    database = Database(settings.stores().postgres_reader_dsn)
    app = FastAPI(
        title="Tweet pipeline",
        version=version("twitter-pipeline"),
        summary="Collected tweets and the state of the pipeline. Read-only.",
        description=DESCRIPTION,
        openapi_url=None,  # FastAPI's own routes would not check access; ours does
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(gate(authenticate)), Depends(_each_once)],
        generate_unique_id_function=_operation_id,
    )
    for kind, handler in (
        (problems.Problem, problems.on_problem),
        (HTTPException, problems.on_http_error),
        (RequestValidationError, problems.on_invalid),
        (Exception, problems.on_unexpected),
    ):
        app.add_exception_handler(kind, handler)
    app.add_middleware(Bounded)
    app.add_middleware(Measured, metrics=metrics or Metrics(settings.statsd))
    for resource in (tweets, users, hashtags, counts):
        app.include_router(resource.router(database), prefix=PREFIX)
    app.include_router(pipeline.router(PipelineState(settings)), prefix=PREFIX)
    app.include_router(_about(app), prefix=PREFIX)
    app.include_router(files.router(airflow_url))
    app.include_router(runbook.router(settings.clone))
    app.state.database = database
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name  # the function's name in a generated client


async def _each_once(request: Request) -> None:
    if errors := repeated(request.query_params.multi_items()):
        raise problems.BadParameters(errors)


def _about(app: FastAPI) -> APIRouter:
    routes = APIRouter()

    @routes.get("/openapi.json", include_in_schema=False, **needs(READ))
    async def read_openapi(request: Request) -> Response:
        # the path under which another app mounted this one, such as the plugin's prefix in Airflow
        server = {"url": request.scope.get("root_path") or "/"}
        return json_answer(orjson.dumps(document(app) | {"servers": [server]}))

    return routes
