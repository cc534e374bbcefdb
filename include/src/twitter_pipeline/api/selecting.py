"""Selections over the API's connections: resolves names and finds words exactly as the command `search` does."""

from twitter_pipeline.api.database import Database
from twitter_pipeline.serving import search
from twitter_pipeline.serving.conditions import RESOLVE, Conditions
from twitter_pipeline.serving.selection import Selection
from twitter_pipeline.serving.statements import statement


async def resolved(database: Database, selection: Selection) -> Conditions:
    """The conditions of a selection, with its names resolved."""
    if selection.author is None and selection.hashtag is None:
        return Conditions.of(selection)
    row = await database.one(RESOLVE, {"author": selection.author, "hashtag": selection.hashtag})
    return Conditions.of(selection, row["author_ids"], row["other_tags"])


async def found(database: Database, words: search.Words, conditions: Conditions, limit: int) -> search.Page:
    """The ids on one page of a word search."""
    values = conditions.values() | words.values(limit)
    in_order = conditions.are_in_order
    row = await database.one(conditions.newest_first(statement("search")), values, in_order=in_order)
    unfilled = []
    if row["unfilled_below"] is not None:
        values["unfilled_below"] = row["unfilled_below"]
        rest = conditions.newest_first(statement("unfilled"))
        unfilled = [tuple(row) for row in await database.rows(rest, values, in_order=in_order)]
    return search.page(row["ids"], unfilled, words, limit)
