"""`twitter-pipeline serve`: the API and the page without Airflow, behind a token."""

import base64
import hmac
from typing import Annotated

import click
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from twitter_pipeline import settings
from twitter_pipeline.api.access import READ, Authenticate, Principal
from twitter_pipeline.api.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer, Basic realm="tweet pipeline", charset="UTF-8"'}


def _basic_password(authorization: str) -> str | None:
    """The password in an HTTP Basic header, as a browser sends it; None for any other header."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return None


BEARER = HTTPBearer(auto_error=False, description="PIPELINE_API_TOKEN")


def requires_token(token: str) -> Authenticate:
    """A dependency that accepts the token, either as a bearer token or as the password in a browser's dialog."""
    holder = Principal("holder of the token", frozenset({READ}))

    async def authenticate(
        request: Request,
        for_document: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> Principal:
        given = request.headers.get("authorization", "")
        scheme, _, bearer = given.partition(" ")
        offered = bearer if scheme.lower() == "bearer" else _basic_password(given)
        if offered is None or not hmac.compare_digest(offered.encode(), token.encode()):
            raise Problem(401, "send the token as `Authorization: Bearer …`, or as the password", CHALLENGE)
        return holder

    return authenticate


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Default: PIPELINE_PORT_API.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
def serve(host: str, port: int | None, workers: int) -> None:
    """Serve the REST API and the page without Airflow, protected by PIPELINE_API_TOKEN."""
    import uvicorn

    given = settings.load()
    given.need("api_token")
    given.stores()
    uvicorn.run(
        "twitter_pipeline.api.command:served",
        factory=True,
        host=host,
        port=port or given.port("api"),
        workers=workers,
        access_log=False,  # a query string may reveal what someone searches for
        log_level="info",
        server_header=False,
    )


def served() -> object:
    """The app that each worker of `serve` runs."""
    from twitter_pipeline.api.app import create_app

    given = settings.load()
    return create_app(
        given, authenticate=requires_token(given.need("api_token")), airflow_url=given.airflow_url or ""
    )
