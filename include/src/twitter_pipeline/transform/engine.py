"""The interface of transform's engines: documents in; rows, and all else that the same transaction writes, out.

`engines/rows.py` is the engine in use, and the reference for any later one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.warehouse import model
from twitter_pipeline.warehouse.observations import Observations

Drift = Counter[tuple[str, str]]
Rows = dict[tuple[Any, ...], dict[str, Any]]


class Unreadable(ValueError):
    """An envelope that cannot become rows; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class DeadLetter:
    """A landed envelope that cannot be loaded: its coordinate, the reason, and its bytes."""

    at: Coordinate
    reason: str
    detail: str
    payload: bytes


@dataclass
class Prepared:
    """What a batch of documents becomes.

    `rows` are merged, per table and key; `observations` say where each object was seen; `drift` counts what was not
    understood; `removed` counts documents that were stubs of removed ones.
    """

    rows: dict[str, Rows] = field(default_factory=lambda: {t.name: {} for t in model.IN_LOADING_ORDER})
    observations: Observations = field(default_factory=Observations)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    drift: Drift = field(default_factory=Counter)
    removed: int = 0

    def refuse(self, letter: DeadLetter) -> None:
        """Record an envelope that cannot be loaded, and whatever looks like an id in it."""
        self.dead_letters.append(letter)
        self.observations.note_unread(letter.payload, letter.at)


class Engine(Protocol):
    """Turns raw documents of one partition into what transform loads."""

    def __call__(self, documents: Sequence[Mapping[str, Any]], topic_id: str, partition: int) -> Prepared:
        """Prepare documents; one that cannot be read becomes a dead letter and does not affect the others. Never raises
        because of a document's contents."""
        ...
