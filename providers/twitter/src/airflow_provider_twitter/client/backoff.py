"""Waits between tries: exponential with full jitter, capped, and only a few tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a call is tried, and how long it waits in between.

    Before try n + 1 it waits a random time between 0 and min(cap, first * 2**(n - 1)) seconds: full jitter, so that
    many clients of a failed server do not come back in step. A wait that the answer itself asked for is a floor, up to
    `longest_floor_seconds`. A floor above `patience_seconds` is not waited for: the failure is raised with its
    `retry_after`, for a caller that can wait without holding anything.
    """

    tries: int = 4
    first_seconds: float = 1.0
    cap_seconds: float = 30.0
    longest_floor_seconds: float = 900.0
    patience_seconds: float = 900.0

    def wait_seconds(self, tries_made: int, random: float, floor_seconds: float = 0.0) -> float:
        """The wait after this many failed tries, for a random number in [0, 1)."""
        ceiling = min(self.cap_seconds, self.first_seconds * 2.0 ** min(tries_made - 1, 30))
        return max(ceiling * random, min(floor_seconds, self.longest_floor_seconds))
