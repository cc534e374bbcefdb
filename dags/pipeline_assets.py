"""The assets of the pipeline and the doorbells that watch them.

Every Dag imports the very objects from here: another `Asset` of the same name would take the watcher away.
PIPELINE_DOORBELLS=false leaves the doorbells out, then only the sweeps wake the drains.
"""

import os

from airflow.sdk import Asset, AssetWatcher

from airflow_provider_twitter.triggers.kafka_lag import KafkaLagTrigger
from twitter_pipeline.settings import TOPIC
from twitter_pipeline.streaming.log import LANDING_GROUP, PROCESSING_GROUP

KAFKA = "pipeline_kafka"


def _doorbell(name: str, **positions: str) -> list[AssetWatcher]:
    if os.environ.get("PIPELINE_DOORBELLS", "true").lower() == "false":
        return []
    return [AssetWatcher(name=name, trigger=KafkaLagTrigger(kafka_conn_id=KAFKA, topic=TOPIC, **positions))]


PRODUCED_TWEETS = Asset("produced_tweets", watchers=_doorbell("not_yet_landed", group_id=LANDING_GROUP))
LANDED_TWEETS = Asset(
    "landed_tweets",
    watchers=_doorbell("not_yet_processed", group_id=LANDING_GROUP, behind_group_id=PROCESSING_GROUP),
)
TWEETS = Asset("tweets")
