"""The status page and its files. Nothing is loaded from elsewhere."""

from collections.abc import Callable
from importlib import resources

from fastapi import APIRouter, Response

from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.bodies import NOBODY_KEEPS

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


def router(airflow_url: str) -> APIRouter:
    """The routes for the page; `airflow_url` is the target of its links to Dags."""
    routes = APIRouter()
    for name, media_type in FILES.items():
        routes.add_api_route(
            f"/{name}", _file(name, media_type, airflow_url), include_in_schema=False, **needs(READ)
        )
    return routes


def _file(name: str, media_type: str, airflow_url: str) -> Callable[[], Response]:
    content = resources.files(__package__).joinpath(name or "page.html").read_bytes()
    body = content.replace(b"{{airflow_url}}", airflow_url.rstrip("/").encode())
    headers = NOBODY_KEEPS | {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}

    def read_page_file() -> Response:
        return Response(body, media_type=media_type, headers=headers)

    return read_page_file
