"""Staying warm: how long a drain goes on asking for more.

A run of Airflow costs about a second before the first message is touched, so a drain stays until a deadline
that all drains of a run share, and leaves earlier only when the whole stage is quiet: one that left while its
siblings still worked would leave its partitions without anybody until they ended.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Warmth:
    """How long to stay: at most `stay_seconds`, and no longer than `quiet_seconds` after the stage's last move."""

    stay_seconds: float = 55.0
    quiet_seconds: float = 5.0


def stay_warm(step: Callable[[], int], idle_for: Callable[[], float], warmth: Warmth) -> int:
    """Call `step` until the deadline or until all is quiet; returns the sum of what the steps moved.

    `step` returns how many records it moved and waits a little by itself when there are none; `idle_for` tells
    how many seconds ago the stage as a whole moved. Backlog beyond the deadline is left to the next run.
    """
    deadline = time.monotonic() + warmth.stay_seconds
    total = 0
    while time.monotonic() < deadline:
        moved = step()
        total += moved
        if moved == 0 and idle_for() >= warmth.quiet_seconds:
            break
    return total
