"""A Dag whose tasks make assets of the pipeline: left to their doorbells, alone and mapped, or told at their end."""

from datetime import UTC, datetime

from airflow.sdk import dag, task

from pipeline_assets import LANDED_TWEETS, PRODUCED_TWEETS, TWEETS, left_to_the_doorbell


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))
def leaves_to_doorbells():
    @task(outlets=[PRODUCED_TWEETS], post_execute=left_to_the_doorbell)
    def collect(rule: str) -> str:
        return rule

    @task(outlets=[LANDED_TWEETS], post_execute=left_to_the_doorbell)
    def land() -> int:
        return 1

    @task(outlets=[TWEETS])
    def load() -> int:
        return 1

    collect.expand(rule=["a", "b"])
    land()
    load()


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))
def tells_at_the_end():
    @task(outlets=[PRODUCED_TWEETS])
    def collect() -> int:
        return 1

    collect()


leaves_to_doorbells()
tells_at_the_end()
