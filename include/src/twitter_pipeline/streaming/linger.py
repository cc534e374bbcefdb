"""How long a drain lingers for more records.

An Airflow run takes about a second before the first message is touched, so a drain stays until a deadline that all
drains of a run share. It leaves earlier only when the whole stage is quiet: if it left while its siblings still worked,
nobody would read its partitions until they ended.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Linger:
    """How long to stay: at most `stay_seconds`, and at most `quiet_seconds` after a cursor of the stage last moved."""

    stay_seconds: float = 55.0
    quiet_seconds: float = 5.0


def drain_while_busy(step: Callable[[], int], idle_for: Callable[[], float], linger: Linger) -> int:
    """Call `step` until the deadline or until the stage is quiet; returns how many records were moved in total.

    `step` returns how many records it moved, and itself waits briefly when there are none; `idle_for` returns how many
    seconds ago the stage as a whole last moved. Whatever remains at the deadline is left to the next run.
    """
    deadline = time.monotonic() + linger.stay_seconds
    total = 0
    while time.monotonic() < deadline:
        moved = step()
        total += moved
        if moved == 0 and idle_for() >= linger.quiet_seconds:
            break
    return total
