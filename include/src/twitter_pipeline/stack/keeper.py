"""Keeps the running stack in order: the topics, the size of the logs, and the scheduler's executor.

This is the service `topics` of the embedded stack, started as a module. Containers run `twitter-pipeline topics keep`
instead: there the container engine rotates logs and restarts what is stuck.
"""

import logging
import os
import time
from collections.abc import Callable

from twitter_pipeline.deployment import topics
from twitter_pipeline.deployment.commands import stopping_on_signal
from twitter_pipeline.deployment.external_servers import METADATA_DSN
from twitter_pipeline.stack import settings as settings_of
from twitter_pipeline.stack.airflow import parallelism
from twitter_pipeline.stack.executor_watch import ExecutorWatch
from twitter_pipeline.stack.leftover_processes import end_processes, marked_processes, started_by
from twitter_pipeline.stack.log_files import trim
from twitter_pipeline.stack.settings import LauncherSettings

TRIM_SECONDS = 60.0


def keep(settings: LauncherSettings, stopping: Callable[[], bool]) -> None:
    """Look after topics, log sizes and the scheduler's executor until told to stop; waits for servers that are away."""
    looks: dict[str, Callable[[], object]] = {"logs": _every(TRIM_SECONDS, lambda: trim(settings.logs))}
    if metadata_dsn := os.environ.get(METADATA_DSN):
        home = str(settings.home)
        looks["executor"] = ExecutorWatch(
            metadata_dsn,
            parallelism(),
            settings.executor_watch_seconds,
            restart=lambda: end_processes(marked_processes(home, "scheduler"), 0),
            workers=lambda: started_by(marked_processes(home, "scheduler")),
        ).look
    topics.keep(settings, stopping, looks)


def _every(seconds: float, look: Callable[[], object]) -> Callable[[], None]:
    """The same check, run at most this often."""
    looked_at = float("-inf")

    def look_when_due() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at > seconds:
            looked_at = time.monotonic()
            look()

    return look_when_due


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    keep(settings_of.load(), stopping_on_signal())
