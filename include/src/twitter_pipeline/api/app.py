"""The app: its routes, and what holds for all of them.

Deny by default: every route, the page and the OpenAPI document included, depends on `authenticate`. Only GET. Bodies
are bytes that PostgreSQL made. Errors are problem+json and name the parameter. Nothing is loaded from elsewhere.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from twitter_pipeline.api import problems, queries, runbook
from twitter_pipeline.api.answers import EXAMPLES, PROBLEM_RESPONSES
from twitter_pipeline.api.bounded import Bounded
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.measured import Measured
from twitter_pipeline.api.parameters import (
    CountFilters,
    HashtagFilters,
    Id,
    Nothing,
    TweetFilters,
    UserFilters,
    twice,
)
from twitter_pipeline.api.state import PipelineState
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.settings import Settings

PREFIX = "/api/v1"
NOBODY_KEEPS = {"Cache-Control": "no-store"}
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
PAGE_FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


def create_app(
    settings: Settings, *, authenticate: Callable[..., Any], airflow_url: str, metrics: Metrics | None = None
) -> FastAPI:
    """The app for these settings.

    `authenticate` is a dependency of FastAPI that raises for whoever may not read; `airflow_url` is where the page's
    links to Dags lead. Nothing is opened before the first request. Raises SettingsError for addresses that miss.
    """
    stores = settings.stores()
    database, state = Database(stores.postgres_reader_dsn), PipelineState(settings)
    app = FastAPI(
        title="Tweet pipeline",
        version=version("twitter-pipeline"),
        summary="Collected tweets, and how the pipeline is. Reads only.",
        description=(
            "Ids are strings: they do not fit into a double. Times are UTC. null means that X did not say, never 0.\n\n"
            "Lists are pages: ask again with `cursor` = `meta.next_cursor` until that is null. Errors are"
            " `application/problem+json` and name the parameter."
        ),
        openapi_url=None,  # the routes that FastAPI makes itself would ask nobody; ours does
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(authenticate), Depends(_each_once)],
    )
    for kind, handler in (
        (problems.Problem, problems.of_ours),
        (HTTPException, problems.of_http),
        (RequestValidationError, problems.of_validation),
        (Exception, problems.of_mistake),
    ):
        app.add_exception_handler(kind, handler)
    app.add_middleware(Bounded)
    app.add_middleware(Measured, metrics=metrics or Metrics(settings.statsd))
    app.include_router(_reading(database), prefix=PREFIX, responses=PROBLEM_RESPONSES)
    app.include_router(_about(app, state, airflow_url))
    app.include_router(runbook.router(settings.clone))
    app.state.database = database
    return app


async def _each_once(request: Request) -> None:
    if errors := twice(request.query_params.multi_items()):
        raise problems.BadParameters(errors)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers=NOBODY_KEEPS)


def _reading(database: Database) -> APIRouter:
    router = APIRouter()

    def get(path: str, summary: str, example: str) -> Callable[..., Any]:
        content = {"application/json": {"example": EXAMPLES[example]}}
        return router.get(
            path,
            summary=summary,
            response_class=Response,
            response_model=None,
            responses={200: {"content": content}},
        )

    @get("/tweets", "Collected tweets, newest first", "tweets")
    async def list_tweets(asked: Annotated[TweetFilters, Query()]) -> Response:
        return _json(await queries.tweets(database, asked))

    @get("/tweets/{id}", "One tweet", "tweet")
    async def read_tweet(
        wanted: Annotated[Id, Path(alias="id")], asked: Annotated[Nothing, Query()]
    ) -> Response:
        return _json(await queries.tweet(database, wanted))

    @get("/users", "Accounts seen, newest id first", "users")
    async def list_users(asked: Annotated[UserFilters, Query()]) -> Response:
        return _json(await queries.users(database, asked))

    @get("/users/{id}", "One account", "user")
    async def read_user(
        wanted: Annotated[Id, Path(alias="id")], asked: Annotated[Nothing, Query()]
    ) -> Response:
        return _json(await queries.user(database, wanted))

    @get("/hashtags", "The most used hashtags of a window (the last day)", "hashtags")
    async def top_hashtags(asked: Annotated[HashtagFilters, Query()]) -> Response:
        return _json(await queries.hashtags(database, asked, datetime.now(UTC)))

    @get("/counts", "Collected tweets by hour or day of a window (the last day)", "counts")
    async def count_tweets(asked: Annotated[CountFilters, Query()]) -> Response:
        return _json(await queries.counts(database, asked, datetime.now(UTC)))

    return router


def _about(app: FastAPI, state: PipelineState, airflow_url: str) -> APIRouter:
    """The pipeline's health, the OpenAPI document, and the page with its files."""
    router = APIRouter()

    @router.get(
        f"{PREFIX}/pipeline",
        summary="Stages, lag, freshness, dead letters, money, contracts",
        response_model=None,
        responses={
            200: {"content": {"application/json": {"example": EXAMPLES["pipeline"]}}},
            **PROBLEM_RESPONSES,
        },
    )
    async def read_pipeline(asked: Annotated[Nothing, Query()]) -> Response:
        return _json(await state.body())

    @router.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def read_openapi() -> Response:
        return _json(orjson.dumps(app.openapi()))

    def page_file(name: str, media_type: str) -> Callable[[], Response]:
        content = resources.files(__package__).joinpath("page", name or "page.html").read_bytes()
        body = content.replace(b"{{airflow_url}}", airflow_url.rstrip("/").encode())
        headers = NOBODY_KEEPS | {"Content-Security-Policy": PAGE_POLICY, "X-Content-Type-Options": "nosniff"}

        def read_page_file() -> Response:
            return Response(body, media_type=media_type, headers=headers)

        return read_page_file

    for name, media_type in PAGE_FILES.items():
        router.add_api_route(f"/{name}", page_file(name, media_type), include_in_schema=False)
    return router
