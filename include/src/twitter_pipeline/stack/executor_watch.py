"""Notices that the scheduler's executor is stuck, and ends the scheduler so that the supervisor restarts it.

LocalExecutor's idle workers wait on one queue, and the worker that waits holds the queue's lock. If it is killed there
(by the kernel's OOM killer or an operator), the lock is never released: the executor starts new workers, none of which
ever gets a task, while the scheduler's heartbeat stays healthy. Only the effect is visible: tasks are queued, slots are
free, nothing starts, and no worker is active. On a busy machine, too, nothing may start for minutes, but then workers use
CPU time, or have started a task's process and wait for the API's answer.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from twitter_pipeline.stack.servers import Movement

log = logging.getLogger(__name__)

STILL_SECONDS = 30  # without CPU time: a live worker gets some within a few seconds, even at load 30
GRACE_SECONDS = 60  # a newly started scheduler first adopts what the last one left
# Tasks queued by an earlier scheduler were never given to this one's executor: they wait for adoption.
STUCK = """
with scheduler as (
    select id, start_date from job where job_type = 'SchedulerJob' and state = 'running' order by start_date desc limit 1
)
select count(*) filter (
        where task.state = 'queued' and queued_dttm < now() - make_interval(secs => %(seconds)s)
        and queued_by_job_id = scheduler.id
    ) > 0
    and coalesce(max(task.start_date) < now() - make_interval(secs => %(seconds)s), true)
    and count(*) filter (where task.state = 'running') < %(slots)s,
    count(*) filter (where task.state = 'running')
from task_instance task, scheduler
where (task.state in ('queued', 'running') or task.start_date > now() - interval '1 hour')
    and scheduler.start_date < now() - make_interval(secs => %(grace)s)
"""


@dataclass
class ExecutorWatch:
    """Reads Airflow's database (never writes to it); `restart` ends the scheduler and everything it started.

    `workers` returns the scheduler's descendants: the executor's workers and the tasks in them.
    """

    metadata_dsn: str = field(repr=False)
    slots: int
    stuck_seconds: int
    restart: Callable[[], None]
    workers: Callable[[], Iterable[psutil.Process]]
    clock: Callable[[], float] = time.monotonic
    _restarted_at: float | None = None
    _suspected: Movement | None = None  # of the workers, since nothing starts

    def look(self) -> bool:
        """Restart a stuck executor; returns whether it did. Raises OSError if the database does not answer."""
        grace = max(GRACE_SECONDS, self.stuck_seconds)
        if self._restarted_at is not None and self.clock() - self._restarted_at < grace:
            return False
        try:
            with psycopg.connect(self.metadata_dsn, connect_timeout=5) as connection:
                row = connection.execute(
                    STUCK, {"seconds": self.stuck_seconds, "slots": self.slots, "grace": grace}
                ).fetchone()
        except psycopg.errors.UndefinedTable:
            return False
        except psycopg.Error as error:
            raise ConnectionError(f"Airflow's database: {type(error).__name__}") from error
        if row is None or not row[0]:
            self._suspected = None
            return False
        if self._suspected is None:
            self._suspected = Movement(self.workers, Path(os.devnull), self.clock)
        if self._suspected.still_seconds() < STILL_SECONDS or self._busy_workers() > row[1]:
            return False
        log.error(
            "executor stuck: tasks queued for over %d s, slots free, none started, workers idle; restarting",
            self.stuck_seconds,
        )
        self.restart()
        self._restarted_at, self._suspected = self.clock(), None
        return True

    def _busy_workers(self) -> int:
        """How many workers have started a task's process, whether or not Airflow already counts it as running."""
        parents = {}
        for process in self.workers():
            with contextlib.suppress(psutil.Error):
                parents[process.pid] = process.ppid()
        workers = {pid for pid, parent in parents.items() if parent not in parents}
        return len(workers & set(parents.values()))
