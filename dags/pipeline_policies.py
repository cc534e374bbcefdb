"""What all Dags of the pipeline share: owner, retries, alerts on failure, and the sweep schedule."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

ALERTS = os.environ.get("PIPELINE_ALERT_TOPIC_ARN", "")
VERDICTS: dict[str, type[AirflowException]] = {
    # another task does the work, or it is not yet time for it
    "twitter_pipeline.collection.lease.TurnEnded": AirflowSkipException,
    "twitter_pipeline.streaming.cursors.Fenced": AirflowSkipException,
    # a retry would fail the same way: a person has to look
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
    "twitter_pipeline.transform.observing.NotInRaw": AirflowFailException,
}
"""How a task ends depending on its error: skipped, or failed without retries. Errors are listed by name, so that no task
imports the others' packages; subclasses count as their base class. Any other error is retried."""


def tell_the_operator(context: Context) -> None:
    """Send a failed task's error to SNS."""
    # importing boto3 takes a quarter of a second, which would delay every task
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
    """Send a message over the connection that alerts about failed tasks use; skipped without a topic for it."""
    from airflow.providers.amazon.aws.hooks.sns import SnsHook

    if topic_arn is None:
        raise AirflowSkipException("PIPELINE_HEARTBEAT_TOPIC_ARN is not set")
    SnsHook().publish_to_target(topic_arn, "Failed tasks can be told.", "Airflow's alerts are delivered")


def woken_by(asset: Asset) -> Any:
    """A schedule on an asset's doorbell, backed up by a slow sweep (PIPELINE_SWEEP_CRON; empty: no sweep)."""
    sweep = os.environ.get("PIPELINE_SWEEP_CRON", "*/20 * * * *")
    if not sweep:
        return [asset]
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(sweep, timezone="UTC"), assets=[asset])


@contextmanager
def judged() -> Iterator[None]:
    """Turn the error that ends a task into its verdict in VERDICTS; any other error is left to Airflow's retries."""
    try:
        yield
    except Exception as error:
        for kind in type(error).__mro__:
            if verdict := VERDICTS.get(f"{kind.__module__}.{kind.__qualname__}"):
                raise verdict(str(error)) from error
        raise
