"""A circuit breaker that stops a stage when most of its records are bad.

A single bad record goes to the dead letters and the stage goes on. When most of what arrives is bad, X or a producer
has changed, and going on would drain the topic into the dead letters: the stage stops before it moves a cursor.

Imported records do not count, because X did not send them: an import has a breaker of its own, and a bad archive does
not stop the live stages.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tweet_envelope.schema import IMPORT


class TooManyBadRecords(RuntimeError):
    """Too many records of a stage are bad. The cursor has not moved past the last batch; look at the newest dead letters."""


@dataclass
class BadRecordBreaker:
    """Trips when more than `ratio` of the records are bad, once at least `least` were seen; ratio 1.0 never trips."""

    stage: str
    ratio: float = 0.5
    least: int = 50
    _seen: int = 0
    _bad: int = 0

    def check_live(self, seen: Iterable[str | None], bad: Iterable[str | None]) -> None:
        """Count a batch by the sources of its records, without imported ones. Raises TooManyBadRecords."""
        self.check(sum(source != IMPORT for source in seen), sum(source != IMPORT for source in bad))

    def check(self, seen: int, bad: int) -> None:
        """Count a batch. Raises TooManyBadRecords."""
        self._seen += seen
        self._bad += bad
        if self._seen >= self.least and self._bad > self.ratio * self._seen:
            raise TooManyBadRecords(
                f"{self.stage}: {self._bad} of {self._seen} records are bad (limit {self.ratio:.0%}). The stage stopped"
                " without moving its cursor; fix the source, or set PIPELINE_FLOOD_RATIO=1 to let them into the dead letters"
            )
