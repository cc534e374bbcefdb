"""A stuck executor is noticed by its effect in Airflow's database, and a busy one is left alone."""

import sys
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest

from twitter_pipeline.stack.executor_watch import GRACE_SECONDS, STILL_SECONDS, ExecutorWatch
from twitter_pipeline.stack.servers import wait_until

TABLES = """
create table task_instance (state text, queued_dttm timestamptz, start_date timestamptz);
create table job (job_type text, state text, start_date timestamptz);
insert into job values ('SchedulerJob', 'running', now() - interval '1 hour');
"""


class Watched:
    """A watch over a database with Airflow's columns; `restarts` counts, `now` is its clock."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.restarts, self.now = 0, 0.0
        self.workers: list[psutil.Process] = []
        self.watch = ExecutorWatch(
            dsn,
            slots=2,
            stuck_seconds=20,
            restart=self._restart,
            workers=lambda: self.workers,
            clock=lambda: self.now,
        )

    def looks(self) -> bool:
        """Look, and again when workers that are stuck have stood still for long enough."""
        first = self.watch.look()
        self.now += STILL_SECONDS
        return self.watch.look() or first

    def _restart(self) -> None:
        self.restarts += 1

    def task(self, state: str, queued_seconds: int, started_seconds: int | None = None) -> None:
        self.connection.execute(
            "insert into task_instance values (%s, now() - make_interval(secs => %s), now() - make_interval(secs => %s))",
            (state, queued_seconds, started_seconds),
        )


@pytest.fixture
def watched(postgres: Any) -> Iterator[Watched]:
    watched = Watched(postgres.superuser_dsn)
    with watched.connection:
        yield watched


def test_no_tables_yet_is_no_trouble(watched: Watched) -> None:
    """Airflow's database may still be on its way."""
    assert not watched.looks()


def test_queued_tasks_that_nobody_starts_while_slots_are_free_restart_the_scheduler_once(
    watched: Watched,
) -> None:
    """And the new scheduler gets time before it is judged again."""
    watched.connection.execute(TABLES)
    watched.task("queued", 40)
    watched.task("running", 300, 290)
    assert watched.looks()
    assert not watched.looks()
    watched.now += GRACE_SECONDS
    assert watched.looks()
    assert watched.restarts == 2


def test_a_busy_machine_is_not_a_stuck_executor(watched: Watched) -> None:
    """Nothing starts for minutes, but a worker takes CPU time: it is left alone, until that stands still too."""
    watched.connection.execute(TABLES)
    watched.task("queued", 400)
    busy = psutil.Popen([sys.executable, "-c", "while True: pass"])
    try:
        watched.workers.append(busy)
        assert not watched.watch.look()
        for _ in range(3):
            before = busy.cpu_times().user
            wait_until(lambda before=before: busy.cpu_times().user > before + 0.6, 60, "CPU time")  # type: ignore[misc]
            watched.now += STILL_SECONDS
            assert not watched.watch.look()
        busy.suspend()
        assert watched.looks() or watched.looks()
    finally:
        busy.kill()
        busy.wait()


@pytest.mark.parametrize(
    "tasks",
    [
        [("queued", 5, None)],
        [("queued", 40, None), ("success", 60, 3)],
        [("queued", 40, None), ("running", 90, 80), ("running", 90, 80)],
        [("running", 400, 390)],
    ],
    ids=["just queued", "others start", "all slots busy", "only a long task"],
)
def test_a_busy_executor_is_left_alone(watched: Watched, tasks: list[tuple[str, int, int | None]]) -> None:
    """Waiting for a slot, or a moment, is no fault."""
    watched.connection.execute(TABLES)
    for task in tasks:
        watched.task(*task)
    assert not watched.looks()


def test_a_scheduler_that_was_just_started_is_left_alone(watched: Watched) -> None:
    """It first adopts what the last one left, whoever restarted it."""
    watched.connection.execute(TABLES)
    watched.task("queued", 40)
    watched.connection.execute(
        "insert into job values ('SchedulerJob', 'running', now() - interval '5 seconds')"
    )
    assert not watched.looks()
