"""What all Dags of the pipeline share: who owns them, how they retry, whom a failure wakes, when they sweep."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.streaming.cursors import Fenced
from twitter_pipeline.streaming.flood import Flood

ALERTS = os.environ.get("PIPELINE_ALERT_TOPIC_ARN", "")


def tell_the_operator(context: Context) -> None:
    """Send a failed task's error to SNS."""
    # boto3 takes a quarter of a second to import, which every task would wait for
    from airflow.providers.amazon.aws.notifications.sns import SnsNotifier

    tell = SnsNotifier(
        target_arn=ALERTS,
        subject="Airflow: {{ dag.dag_id }}.{{ ti.task_id }} failed",
        message="Run {{ run_id }}, try {{ ti.try_number }}: {{ exception }}\nLog: {{ ti.log_url }}",
    )
    tell(context)


HOUSE_DEFAULTS: dict[str, Any] = {
    "owner": "tweet-pipeline",
    "retries": 5,
    "retry_delay": timedelta(seconds=2),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=1),
    "execution_timeout": timedelta(minutes=10),
    "on_failure_callback": [tell_the_operator] if ALERTS else None,
}


def send_heartbeat(topic_arn: str | None) -> None:
    """Send a message over the connection that failed tasks are told by; skipped without a topic for it."""
    from airflow.providers.amazon.aws.hooks.sns import SnsHook

    if topic_arn is None:
        raise AirflowSkipException("PIPELINE_HEARTBEAT_TOPIC_ARN is not set")
    SnsHook().publish_to_target(topic_arn, "Failed tasks can be told.", "Airflow's alerts are delivered")


def woken_by(asset: Asset) -> Any:
    """A schedule by an asset's doorbell, with a slow sweep behind it (PIPELINE_SWEEP_CRON; empty: no sweep)."""
    sweep = os.environ.get("PIPELINE_SWEEP_CRON", "*/20 * * * *")
    if not sweep:
        return [asset]
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(sweep, timezone="UTC"), assets=[asset])


@contextmanager
def overtaken_is_skipped() -> Iterator[None]:
    """End a task skipped whose partitions another drain took over; end one that a person must look at without retries."""
    try:
        yield
    except Fenced as overtaken:
        raise AirflowSkipException(str(overtaken)) from overtaken
    except (Flood, RawStoreLost) as stopped:
        raise AirflowFailException(str(stopped)) from stopped


@contextmanager
def findings_are_final() -> Iterator[None]:
    """End a task without retries whose check found something: looking again finds the same."""
    try:
        yield
    except Exception as finding:
        if getattr(finding, "fail_task", False):
            raise AirflowFailException(str(finding)) from finding
        raise
