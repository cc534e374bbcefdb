"""Remove old runs, events and records from Airflow's database with Airflow's own command `airflow db clean`.

A task in Airflow 3 has no access to that database; a command that is given its address does. The table `trigger` is left
out: Airflow removes unused triggers itself, and the age of a doorbell says nothing about its use.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

DSN = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
EVENTS = ("asset_event",)
RECORDS = (
    "callback",
    "dag_run",
    "deadline",
    "import_error",
    "job",
    "log",
    "task_instance",
    "task_instance_history",
    "task_reschedule",
    "xcom",
)
BATCH_ROWS = 10_000
COMMAND_SECONDS = 1500
_FOUND = re.compile(r"^Found (\d+) rows meeting deletion criteria", re.MULTILINE)
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")


class PruneFailed(RuntimeError):
    """`airflow db clean` failed; the text is the end of its output. What it had already removed stays removed."""


@dataclass(frozen=True)
class AirflowDatabase:
    """The address of Airflow's database (SQLAlchemy), and the environment that Airflow's commands need."""

    address: str = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def prune_by_age(self, events_days: int, runs_days: int) -> dict[str, int]:
        """Remove events and all other records by age; returns how many rows of each. Raises PruneFailed."""
        now = datetime.now(UTC)
        return {
            "events": self.prune(EVENTS, now - timedelta(days=events_days)),
            "records": self.prune(RECORDS, now - timedelta(days=runs_days)),
        }

    def prune(self, tables: tuple[str, ...], before: datetime) -> int:
        """Remove what is older than `before` (aware) from these tables; returns how many rows. Raises PruneFailed.

        The newest scheduled run of each Dag is kept.
        """
        words = ["db", "clean", "--clean-before-timestamp", before.isoformat(), "--tables", ",".join(tables)]
        words += ["--skip-archive", "--yes", "--batch-size", str(BATCH_ROWS), "--error-on-cleanup-failure"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", *words],
                env={**self.environment, DSN: self.address},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PruneFailed(f"`airflow db clean` did not end within {COMMAND_SECONDS} s") from None
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
            raise PruneFailed(_PASSWORD.sub(r"\1***@", said))
        return sum(map(int, _FOUND.findall(done.stdout)))
