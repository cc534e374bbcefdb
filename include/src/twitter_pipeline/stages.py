"""The stages of the pipeline, with one word for each in cursors, dead letters, metrics, alerts, status and the API.

A stage's Dag keeps the name that people know.
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
    """A stage with one cursor per partition; `group` is the Kafka group under which it publishes its position.

    `former_name` is the word that older versions used, which dead letters in MongoDB may still have.
    """

    group: str
    former_name: str = ""


EXTRACT: Final = Stage("extract", dag="tweet_extraction")
LAND: Final = DrainedStage("land", dag="tweet_landing", group="tweet-land", former_name="landing")
TRANSFORM: Final = DrainedStage("transform", dag="tweet_processing", group="tweet-transform")

IN_ORDER: Final = (EXTRACT, LAND, TRANSFORM)
"""All stages, in the order in which a tweet passes them."""

DRAINS: Final = (LAND, TRANSFORM)
"""The stages that have cursors, and whose dead letters have Kafka coordinates."""
