"""What all Dags of the pipeline share: who owns them, how they retry, whom a failure wakes, when they sweep."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

ALERTS = os.environ.get("PIPELINE_ALERT_TOPIC_ARN", "")
VERDICTS: dict[str, type[AirflowException]] = {
    # somebody else does the work, or it is not its time
    "twitter_pipeline.collection.lease.TurnEnded": AirflowSkipException,
    "twitter_pipeline.streaming.cursors.Fenced": AirflowSkipException,
    # a retry would meet the same: a person has to look
    "twitter_pipeline.collection.asking.AddressRefused": AirflowFailException,
    "twitter_pipeline.collection.asking.CredentialsRefused": AirflowFailException,
    "twitter_pipeline.collection.asking.InvalidRequest": AirflowFailException,
    "twitter_pipeline.collection.asking.SpendingStopped": AirflowFailException,
    "twitter_pipeline.collection.budget.BudgetExceeded": AirflowFailException,
    "twitter_pipeline.collection.budget.RuleOvershot": AirflowFailException,
    "twitter_pipeline.collection.circuits.CircuitOpen": AirflowFailException,
    "twitter_pipeline.collection.collect.RuleParked": AirflowFailException,
    "twitter_pipeline.collection.kinds.UnknownKind": AirflowFailException,
    "twitter_pipeline.health.accounting.AccountingFailed": AirflowFailException,
    "twitter_pipeline.landing.lost.RawStoreLost": AirflowFailException,
    "twitter_pipeline.quality.verification.ContractFailed": AirflowFailException,
    "twitter_pipeline.streaming.bad_record_breaker.TooManyBadRecords": AirflowFailException,
}
"""How a task ends by the error that ends it: skipped, or failed without retries. By name, so that no task imports the
rooms of the others; subclasses are judged like their base. What is not here is retried."""


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
def judged() -> Iterator[None]:
    """End a task as VERDICTS says of the error that it ends with; any other error is left to Airflow's retries."""
    try:
        yield
    except Exception as error:
        for kind in type(error).__mro__:
            if verdict := VERDICTS.get(f"{kind.__module__}.{kind.__qualname__}"):
                raise verdict(str(error)) from error
        raise
