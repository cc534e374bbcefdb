"""The gate against a flood of bad records.

One bad record goes to the dead letters and the stage goes on. When most of what arrives is bad, X or a producer
has changed, and going on would drain the topic into the dead letters: the stage stops before it moves a cursor.

Imported records are not what X sends: an import has a gate of its own, and a bad archive does not stop what is live.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tweet_envelope.schema import IMPORT


class Flood(RuntimeError):
    """Too many records of a stage are bad. Nothing of the last batch was moved; look at the newest dead letters."""


@dataclass
class FloodGate:
    """Lets records by while at most `ratio` of at least `least` seen ones are bad. ratio 1.0 opens it for good."""

    stage: str
    ratio: float = 0.5
    least: int = 50
    _seen: int = 0
    _bad: int = 0

    def check_live(self, seen: Iterable[str | None], bad: Iterable[str | None]) -> None:
        """Count a batch by the sources of its records, the imported ones left out. Raises Flood."""
        self.check(sum(source != IMPORT for source in seen), sum(source != IMPORT for source in bad))

    def check(self, seen: int, bad: int) -> None:
        """Count a batch. Raises Flood."""
        self._seen += seen
        self._bad += bad
        if self._seen >= self.least and self._bad > self.ratio * self._seen:
            raise Flood(
                f"{self.stage}: {self._bad} of {self._seen} records are bad (limit {self.ratio:.0%}). The stage stopped"
                " without moving on; mend the source, or set PIPELINE_FLOOD_RATIO=1 to let them into the dead letters"
            )
