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
create table task_instance (state text, queued_dttm timestamptz, start_date timestamptz, queued_by_job_id int);
create table job (id serial, job_type text, state text, start_date timestamptz);
insert into job (job_type, state, start_date) values ('SchedulerJob', 'running', now() - interval '1 hour');
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
        """Check, and check again once stuck workers have stood still for long enough."""
        first = self.watch.look()
        self.now += STILL_SECONDS
        return self.watch.look() or first

    def _restart(self) -> None:
        self.restarts += 1

    def task(
        self, state: str, queued_seconds: int, started_seconds: int | None = None, scheduler: int = 1
    ) -> None:
        self.connection.execute(
            "insert into task_instance"
            " values (%s, now() - make_interval(secs => %s), now() - make_interval(secs => %s), %s)",
            (state, queued_seconds, started_seconds, scheduler),
        )


@pytest.fixture
def watched(postgres: Any) -> Iterator[Watched]:
    watched = Watched(postgres.superuser_dsn)
    with watched.connection:
        yield watched


def test_no_tables_yet_is_no_trouble(watched: Watched) -> None:
    """Airflow's database may still be starting."""
    assert not watched.looks()


def test_queued_tasks_that_nobody_starts_while_slots_are_free_restart_the_scheduler_once(
    watched: Watched,
) -> None:
    """The new scheduler gets time before it is checked again."""
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
    """Waiting for a slot, or for a moment, is not a fault."""
    watched.connection.execute(TABLES)
    for task in tasks:
        watched.task(*task)
    assert not watched.looks()


def test_a_scheduler_that_was_just_started_is_left_alone(watched: Watched) -> None:
    """It first adopts what the last one left, whoever restarted it."""
    watched.connection.execute(TABLES)
    watched.task("queued", 40)
    watched.connection.execute(
        "insert into job (job_type, state, start_date) values ('SchedulerJob', 'running', now() - interval '5 seconds')"
    )
    assert not watched.looks()


def test_a_worker_that_waits_for_the_api_is_not_stuck(watched: Watched) -> None:
    """A worker may have started the task's process and use no CPU time before Airflow calls the task running."""
    watched.connection.execute(TABLES)
    watched.task("queued", 400)
    wait = "import time; time.sleep(600)"
    worker = psutil.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}])"]
    )
    try:
        wait_until(lambda: bool(worker.children()), 120, "the task's process")
        (task,) = worker.children()
        watched.workers += [worker, task]
        for _ in range(5):
            assert not watched.looks()
        watched.task("running", 300, 290)  # the process is that of a task that runs: none is being started
        assert watched.looks() or watched.looks()
    finally:
        for process in (*worker.children(), worker):
            process.kill()
        worker.wait()


def test_tasks_that_an_earlier_scheduler_queued_are_not_held_against_this_one(watched: Watched) -> None:
    """Tasks of an earlier scheduler were never given to its executor; a slow scheduler adopts them eventually."""
    watched.connection.execute(TABLES)
    watched.task("queued", 400, scheduler=0)
    assert not watched.looks()
    watched.task("queued", 40)
    assert watched.looks()
