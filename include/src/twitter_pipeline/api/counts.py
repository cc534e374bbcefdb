"""/counts: collected tweets per hour or day in a window."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from twitter_pipeline.api import bodies, models, selecting
from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.documented import answering
from twitter_pipeline.api.parameters import CountFilters
from twitter_pipeline.serving.statements import statement


def router(database: Database) -> APIRouter:
    """The route for counts."""
    routes = APIRouter(tags=["counts"])

    @routes.get(
        "/counts",
        summary="Collected tweets per hour or day in a window (default: the last day)",
        **answering(models.Counts, "counts"),
        **needs(READ),
    )
    async def count_tweets(asked: Annotated[CountFilters, Query()]) -> Response:
        since, until = asked.bounds(datetime.now(UTC))
        conditions = await selecting.resolved(database, asked.selection(since, until))
        text = conditions.over_all(statement("counts"))
        row = await database.one(text, conditions.values() | {"granularity": asked.granularity})
        window = {"since": bodies.time_text(since), "until": bodies.time_text(until)}
        return bodies.json_answer(bodies.body(row["body"], total=row["total"], **window))

    return routes
