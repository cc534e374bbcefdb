"""Load landed tweets into PostgreSQL, started together with landing and whenever landing is ahead.

Each batch and its cursor are one transaction, so the effect is exactly once. What cannot be loaded goes to
pipeline.dead_letters with its bytes.

Red? `TooManyBadRecords`: most envelopes are bad; look at pipeline.dead_letters. A PostgreSQL or MongoDB error: the
server is down or full; it is retried automatically, and nothing is lost meanwhile.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from pipeline_assets import LANDED_TWEETS, TWEETS
from pipeline_policies import HOUSE_DEFAULTS, judged, woken_by
from pipeline_stores import SETTINGS, kafka, metrics, raw_store, warehouse
from twitter_pipeline.settings import TOPIC
from twitter_pipeline.stages import TRANSFORM


@dag(
    schedule=woken_by(LANDED_TWEETS),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "transform"],
)
def tweet_processing():
    @task
    def plan() -> list[list[list[Any]]]:
        """Assign the partitions to drains, including those of retired topics."""
        from twitter_pipeline.streaming.plan import transform_shares

        with warehouse() as connection:
            return transform_shares(connection, kafka(), TOPIC, SETTINGS.drains)

    @task(outlets=[TWEETS], multiple_outputs=False)
    def drain(partitions: list[list[Any]] | None = None) -> dict[str, Any]:
        """Load until nothing more arrives or the minute is over."""
        from twitter_pipeline.health.drains import tell_transformed
        from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker
        from twitter_pipeline.transform.drain import transform

        wanted = None if partitions is None else [(topic_id, number) for topic_id, number in partitions]
        with judged(), warehouse() as connection, raw_store() as raw:
            breaker = BadRecordBreaker(TRANSFORM.name, float(SETTINGS.flood_ratio))
            transformed = transform(raw, connection, kafka(), topic=TOPIC, partitions=wanted, breaker=breaker)
        tell_transformed(metrics(), transformed)
        return transformed.as_json()

    if SETTINGS.drains == 1:
        drain()
    else:
        drain.expand(partitions=plan())


tweet_processing()
