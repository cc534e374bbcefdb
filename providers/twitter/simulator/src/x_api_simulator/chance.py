"""Repeatable chance: choices drawn from a number instead of from a random stream.

What a tweet looks like must not depend on the order of requests, so everything that is decided late (how many likes,
which media lack an include) is drawn from the id of the object itself.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


def draw(number: int, salt: int, sides: int) -> int:
    """A die with `sides` sides that always gives the same result for the same number and salt (splitmix64)."""
    z = (number + salt * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) % sides


class Weighted(Generic[T]):
    """Picks items by weight, using a given random stream."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self._items = items
        self._edges = list(accumulate(weights))
        self._total = self._edges[-1]

    @classmethod
    def zipf(cls, items: Sequence[T], flat: float = 0.0) -> Weighted[T]:
        """The n-th item has weight 1/(n + flat): a few are common, most are rare; `flat` evens out the first."""
        return cls(items, [1 / (rank + flat) for rank in range(1, len(items) + 1)])

    def pick(self, rng: Random) -> T:
        return self._items[min(bisect(self._edges, rng.random() * self._total), len(self._items) - 1)]
