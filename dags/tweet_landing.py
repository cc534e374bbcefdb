"""Drain Kafka into MongoDB, started by its doorbell as soon as `raw-tweets` has unread messages.

A drain lingers for about a minute; a sweep backs up the doorbell. Drains are fenced by their cursors: a second drain of
the same partitions takes them over, and the first is marked skipped.

Red? `TooManyBadRecords`: most messages are bad; look at MongoDB dead_letters and fix the producer. `TopicMissing`: the
broker lost its topic, which the keeper creates again. Anything else is retried automatically; nothing is lost meanwhile.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from pipeline_assets import LANDED_TWEETS, PRODUCED_TWEETS, left_to_the_doorbell
from pipeline_policies import HOUSE_DEFAULTS, judged, woken_by
from pipeline_stores import SETTINGS, kafka, metrics, raw_store, warehouse
from twitter_pipeline.settings import TOPIC
from twitter_pipeline.stages import LAND


@dag(
    schedule=woken_by(PRODUCED_TWEETS),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "land"],
)
def tweet_landing():
    @task
    def plan() -> list[list[int]]:
        """Assign the partitions to drains."""
        from twitter_pipeline.streaming.plan import landing_shares

        return landing_shares(kafka(), TOPIC, SETTINGS.drains)

    @task(outlets=[LANDED_TWEETS], post_execute=left_to_the_doorbell, multiple_outputs=False)
    def drain(partitions: list[int] | None = None) -> dict[str, Any]:
        """Land until nothing more arrives or the minute is over."""
        from twitter_pipeline.health.drains import tell_landed
        from twitter_pipeline.landing.drain import land
        from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker

        with judged(), warehouse() as connection, raw_store() as raw:
            breaker = BadRecordBreaker(LAND.name, float(SETTINGS.flood_ratio))
            landed = land(kafka(), raw, connection, topic=TOPIC, partitions=partitions, breaker=breaker)
        tell_landed(metrics(), landed)
        return asdict(landed)

    if SETTINGS.drains == 1:
        drain()
    else:
        drain.expand(partitions=plan())


tweet_landing()
