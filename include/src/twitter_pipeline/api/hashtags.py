"""/hashtags: the most used hashtags in a window."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from twitter_pipeline.api import bodies, models
from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.documented import answering
from twitter_pipeline.api.parameters import HashtagFilters
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.statements import statement


def router(database: Database) -> APIRouter:
    """The route for hashtags."""
    routes = APIRouter(tags=["hashtags"])

    @routes.get(
        "/hashtags",
        summary="The most used hashtags in a window (default: the last day)",
        **answering(models.Hashtags, "hashtags"),
        **needs(READ),
    )
    async def top_hashtags(asked: Annotated[HashtagFilters, Query()]) -> Response:
        since, until = asked.bounds(datetime.now(UTC))
        conditions = Conditions(since=since, until=until)
        text = conditions.over_all(statement("hashtags"))
        row = await database.one(text, conditions.values() | {"limit": asked.limit})
        window = {"since": bodies.time_text(since), "until": bodies.time_text(until)}
        return bodies.json_answer(bodies.body(row["body"], **window))

    return routes
