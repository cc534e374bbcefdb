"""The pipeline's assets, which connect rules to tweets, and the doorbells that watch them.

A task declares what it makes by its outlets, and the next Dag is scheduled on that asset. But only the asset's doorbell
starts that Dag: it checks that there is something to do, so no run finds nothing, and it can ring at the first page
instead of at the end of the task. Every Dag imports these same objects: another `Asset` with the same name would remove
the watcher.
PIPELINE_DOORBELLS=false leaves the doorbells out; then only the clock starts the Dags.
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
    """A `post_execute` for tasks whose outlets have a doorbell: it suppresses the event at their end, see decision 27.

    When a task succeeds, Airflow emits an event for each of its outlets. There is no other way to declare that a task
    makes something without at once starting whatever waits for it.
    """
    context["ti"].task.outlets = []
