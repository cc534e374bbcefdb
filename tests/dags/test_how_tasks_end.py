"""One table says how a task ends by its error: skipped, failed for good, or left to Airflow's retries."""

import importlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-dag-tests-"))
sys.path.append(str(Path(__file__).parents[2] / "dags"))

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pipeline_policies import VERDICTS, judged
from twitter_pipeline.collection import asking
from twitter_pipeline.collection.collect import CollectionFailed
from twitter_pipeline.collection.lease import LeaseHeld, RuleStopped, RuleWaits
from twitter_pipeline.streaming.bad_record_breaker import TooManyBadRecords


def test_the_table_names_errors_that_exist() -> None:
    """An error that moved would be retried in silence."""
    for name in VERDICTS:
        module, _, error = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), error), Exception), name


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (LeaseHeld("r"), AirflowSkipException),
        (RuleStopped("r"), AirflowSkipException),
        (RuleWaits("r"), AirflowSkipException),
        (TooManyBadRecords("bad"), AirflowFailException),
        (asking.CredentialsRefused("401", 401), AirflowFailException),
        (asking.TryAgain("503"), asking.TryAgain),
        (asking.XError("too large"), asking.XError),
        (CollectionFailed("r", [ValueError("one item")]), CollectionFailed),
        (OSError("away"), OSError),
    ],
)
def test_an_error_ends_its_task_as_the_table_says(error: Exception, end: type[Exception]) -> None:
    """The message stays the same; subclasses count as their base class, and errors not in the table are retried."""
    with pytest.raises(end) as ended, judged():
        raise error
    assert str(error) in str(ended.value)
    assert end is type(error) or ended.value.__cause__ is error


def test_every_refusal_of_x_that_no_retry_can_help_is_in_the_table() -> None:
    """Of the errors in `asking`, only outages, rate limits (returned earlier) and oversized answers are retried."""
    errors = {
        each for each in vars(asking).values() if isinstance(each, type) and issubclass(each, Exception)
    }
    judged_ones = {each for each in errors if f"{each.__module__}.{each.__qualname__}" in VERDICTS}
    retried = {asking.XError, asking.TryAgain, asking.RateLimited}
    assert errors - judged_ones == retried
