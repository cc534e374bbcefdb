"""/pipeline: the state of the pipeline."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from twitter_pipeline.api import models
from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.bodies import json_answer
from twitter_pipeline.api.documented import answering
from twitter_pipeline.api.parameters import NoParameters
from twitter_pipeline.api.state import PipelineState


def router(state: PipelineState) -> APIRouter:
    """The route for the pipeline's state."""
    routes = APIRouter(tags=["pipeline"])

    @routes.get(
        "/pipeline",
        summary="State of the pipeline: stages, lag, freshness, dead letters, money, contracts",
        **answering(models.Pipeline, "pipeline"),
        **needs(READ),
    )
    async def read_pipeline(asked: Annotated[NoParameters, Query()]) -> Response:
        return json_answer(await state.body())

    return routes
