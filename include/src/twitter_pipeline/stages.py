"""The stages of the pipeline, each by one word: in cursors, dead letters, metrics, alerts, status and the API.

A stage's Dag keeps the name that people know it by.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Stage:
    """One stage: its word and its Dag."""

    name: str
    dag: str


@dataclass(frozen=True)
class DrainedStage(Stage):
    """A stage that has a cursor a partition; `group`: the Kafka group under which it publishes its position."""

    group: str


EXTRACT: Final = Stage("extract", dag="tweet_extraction")
LAND: Final = DrainedStage("land", dag="tweet_landing", group="tweet-land")
TRANSFORM: Final = DrainedStage("transform", dag="tweet_processing", group="tweet-transform")

IN_ORDER: Final = (EXTRACT, LAND, TRANSFORM)
"""The way of a tweet."""

DRAINS: Final = (LAND, TRANSFORM)
"""The stages that have cursors, and dead letters under coordinates of Kafka."""
