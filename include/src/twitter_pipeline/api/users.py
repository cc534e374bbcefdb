"""/users: the accounts seen, and a single account by id."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from twitter_pipeline.api import bodies, models
from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.bodies import json_answer
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.documented import answering
from twitter_pipeline.api.paging import decode_cursor
from twitter_pipeline.api.parameters import Id, NoParameters, UserFilters
from twitter_pipeline.serving.columns import USER, json_object
from twitter_pipeline.serving.statements import filled

CONDITIONS = {
    "username": "and lower(account.username) = :username",
    "below": "and account.id < :below::bigint",
    "id": "and account.id = :id::bigint",
}
OBJECT = json_object(USER)


def _list(*conditions: str) -> str:
    filters = "\n        ".join(CONDITIONS[name] for name in conditions)
    return filled("users", object=OBJECT, filters=filters)


def router(database: Database) -> APIRouter:
    """The routes for users."""
    routes = APIRouter(tags=["users"])

    @routes.get(
        "/users",
        summary="Accounts seen, newest id first",
        **answering(models.UserPage, "users"),
        **needs(READ),
    )
    async def list_users(asked: Annotated[UserFilters, Query()]) -> Response:
        values = {"username": asked.username, "below": decode_cursor(asked.cursor, asked)}
        text = _list(*(name for name, value in values.items() if value is not None))
        return json_answer(await bodies.page(database, text, values, asked))

    @routes.get("/users/{id}", summary="One account", **answering(models.User, "user"), **needs(READ))
    async def read_user(
        wanted: Annotated[Id, Path(alias="id")], asked: Annotated[NoParameters, Query()]
    ) -> Response:
        return json_answer(await bodies.single(database, _list("id"), {"id": wanted}, "user", wanted))

    return routes
