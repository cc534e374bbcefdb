"""Notices that the scheduler's executor is stuck, and ends the scheduler so that the supervisor starts it anew.

LocalExecutor's idle workers wait on one queue, and whichever waits holds the queue's lock. Killed there (by the
kernel's memory killer, by an operator), it takes the lock along: the executor starts fresh workers, none of which
ever gets a task, and the scheduler's heartbeat stays healthy all the while. What can be seen is its effect: tasks
are queued, slots are free, nothing starts, and no worker takes CPU time. On a busy machine nothing starts for minutes
either, but then the workers are at it.
"""

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

STILL_SECONDS = 30  # of CPU time not taken: a live worker gets some within a few seconds, at load 30 too
GRACE_SECONDS = 60  # a scheduler that was just started first adopts what the last one left
STUCK = """
select count(*) filter (where state = 'queued' and queued_dttm < now() - make_interval(secs => %(seconds)s)) > 0
    and coalesce(max(start_date) < now() - make_interval(secs => %(seconds)s), true)
    and count(*) filter (where state = 'running') < %(slots)s
    and (select max(start_date) from job where job_type = 'SchedulerJob' and state = 'running')
        < now() - make_interval(secs => %(grace)s)
from task_instance
where state in ('queued', 'running') or start_date > now() - interval '1 hour'
"""


@dataclass
class ExecutorWatch:
    """Looks into Airflow's database (never writes there); `restart` ends the scheduler and all that it started.

    `workers` gives what the scheduler started: the executor's workers and the tasks in them.
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
        """Restart a stuck executor; whether it did. Raises OSError when the database does not answer."""
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
        if self._suspected.still_seconds() < STILL_SECONDS:
            return False
        log.error(
            "executor stuck: tasks queued for over %d s, slots free, none started, workers idle; restarting",
            self.stuck_seconds,
        )
        self.restart()
        self._restarted_at, self._suspected = self.clock(), None
        return True
