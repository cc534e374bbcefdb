"""Assets form one line from rules to tweets, but cause no runs: only doorbells start Dags."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    """What two Dags led to that make assets of the pipeline, beside the pipeline's own Dags."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_outlets.py"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return dict(json.loads(run.stdout.splitlines()[-1]))


def test_a_task_that_leaves_its_asset_to_the_doorbell_wakes_nobody(runs: dict[str, Any]) -> None:
    """No event is emitted for an asset with a doorbell, whether its task is mapped or not; others work as usual."""
    assert runs["leaves_to_doorbells"] == {"states": ["success"] * 4, "told": ["tweets"], "woken": []}


def test_without_that_each_end_of_a_task_would_be_a_run(runs: dict[str, Any]) -> None:
    """What the other test would see: Airflow wakes whoever is scheduled on an outlet."""
    assert runs["tells_at_the_end"] == {
        "states": ["success"],
        "told": ["produced_tweets"],
        "woken": ["tweet_landing"],
    }
