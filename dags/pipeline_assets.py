"""The assets of the pipeline, the line from rules to tweets, and the doorbells that watch them.

A task says by its outlets what it makes, and the next Dag is scheduled on that. But only the asset's doorbell tells of
it, since it measures that there is something to do, while the first page and not the end of the task is the time to
begin: no run is made only to find that there is nothing. Every Dag imports the very objects from here: another `Asset`
of the same name would take the watcher away.
PIPELINE_DOORBELLS=false leaves the doorbells out, then only the clock wakes the Dags.
"""

import os
from typing import Any

from airflow.sdk import Asset, AssetWatcher, Context
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_twitter.triggers.kafka_lag import KafkaLagTrigger
from airflow_provider_twitter.triggers.sql_condition import SqlConditionTrigger
from twitter_pipeline import settings
from twitter_pipeline.collection.doorbell import DUE_RULES as RULES_THAT_ARE_DUE
from twitter_pipeline.quality import contracts
from twitter_pipeline.settings import TOPIC
from twitter_pipeline.stages import LAND, TRANSFORM

KAFKA = "pipeline_kafka"
POSTGRES = "pipeline_postgres"
SETTINGS = settings.load()


def _watched(asset: str, doorbell: str, trigger: BaseEventTrigger) -> Asset:
    if os.environ.get("PIPELINE_DOORBELLS", "true").lower() == "false":
        return Asset(asset)
    return Asset(asset, watchers=[AssetWatcher(name=doorbell, trigger=trigger)])


DUE_RULES = _watched(
    "due_rules",
    "rules_are_due",
    SqlConditionTrigger(
        postgres_conn_id=POSTGRES,
        sql=RULES_THAT_ARE_DUE,
        poll_seconds=SETTINGS.extraction_seconds,
        interval_seconds=120,
    ),
)
PRODUCED_TWEETS = _watched(
    "produced_tweets",
    "not_yet_landed",
    KafkaLagTrigger(kafka_conn_id=KAFKA, topic=TOPIC, group_id=LAND.group),
)
LANDED_TWEETS = _watched(
    "landed_tweets",
    "not_yet_processed",
    KafkaLagTrigger(
        kafka_conn_id=KAFKA,
        topic=TOPIC,
        group_id=LAND.group,
        behind_group_id=TRANSFORM.group,
        ring_early=True,
    ),
)
TWEETS = Asset("tweets")
UNVERIFIED_TWEETS = _watched(
    "unverified_tweets",
    "contracts_are_due",
    SqlConditionTrigger(
        postgres_conn_id=POSTGRES,
        sql=contracts.DUE_AFTER_NEW_TWEETS,
        parameters={
            "contracts": contracts.names(SETTINGS.contracts_folder),
            "minutes": SETTINGS.quality_minutes,
        },
        poll_seconds=30,
        interval_seconds=900,
    ),
)


def left_to_the_doorbell(context: Context, result: Any) -> None:
    """A `post_execute` of tasks whose outlets have a doorbell: no event at their end, see decision 27.

    Airflow tells of the outlets that a task has when it has succeeded, and knows no other way to say that a task makes
    something without waking at once whoever waits for it.
    """
    context["ti"].task.outlets = []
