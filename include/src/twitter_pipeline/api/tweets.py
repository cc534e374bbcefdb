"""/tweets: collected tweets, newest first, and a single tweet by id."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from twitter_pipeline.api import bodies, models, selecting
from twitter_pipeline.api.access import READ, needs
from twitter_pipeline.api.bodies import json_answer
from twitter_pipeline.api.database import Database
from twitter_pipeline.api.documented import answering
from twitter_pipeline.api.paging import cursor_of, decode_cursor
from twitter_pipeline.api.parameters import Id, NoParameters, TweetFilters
from twitter_pipeline.serving.columns import TWEET, json_object
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.search import Words
from twitter_pipeline.serving.statements import filled

LIST = filled("tweets", object=json_object(TWEET))


def router(database: Database) -> APIRouter:
    """The routes for tweets."""
    routes = APIRouter(tags=["tweets"])

    @routes.get(
        "/tweets",
        summary="Collected tweets, newest first",
        **answering(models.TweetPage, "tweets"),
        **needs(READ),
    )
    async def list_tweets(asked: Annotated[TweetFilters, Query()]) -> Response:
        return json_answer(await page(database, asked))

    @routes.get("/tweets/{id}", summary="One tweet", **answering(models.Tweet, "tweet"), **needs(READ))
    async def read_tweet(
        wanted: Annotated[Id, Path(alias="id")], asked: Annotated[NoParameters, Query()]
    ) -> Response:
        conditions = Conditions(ids=[wanted])
        text = conditions.newest_first(LIST)
        return json_answer(await bodies.single(database, text, conditions.values(), "tweet", wanted))

    return routes


async def page(database: Database, asked: TweetFilters) -> bytes:
    """A page of tweets."""
    selection = asked.selection(decode_cursor(asked.cursor, asked))
    conditions = await selecting.resolved(database, selection)
    if not selection.words:
        text, values = conditions.newest_first(LIST), conditions.values()
        return await bodies.page(database, text, values, asked, in_order=conditions.are_in_order)
    found = await selecting.found(database, Words.of(selection.words), conditions, asked.limit)
    chosen = Conditions(ids=found.ids)
    values = chosen.values() | {"limit": len(found.ids)}
    row = await database.one(chosen.newest_first(LIST), values)
    next_cursor = None if found.next_below is None else cursor_of(found.next_below, asked)
    return bodies.body(row["body"], count=row["shown_count"], next_cursor=next_cursor)
