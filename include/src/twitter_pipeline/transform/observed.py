"""One object of X as an observation states it, and how the model alone turns its plain fields into columns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from tweet_envelope.ids import LARGEST_ID, BadId, read_id
from tweet_envelope.instants import read_plausible_time
from twitter_pipeline.transform.engine import Drift
from twitter_pipeline.transform.values import LONGEST_KEY
from twitter_pipeline.warehouse.model import Column, Group, Table

SMALL = 2**31


@dataclass(slots=True)
class Observed:
    """One object as X returned it, decoded, with the rank of this observation and the requested fields.

    `unread` are fields that were present but could not be read; `landed_at` is the upper bound of every time it states.
    """

    name: str
    object: Any
    version: UUID
    observed_at: datetime
    landed_at: datetime
    requested: frozenset[str] | None
    is_data: bool
    is_sanitized: bool
    unread: set[str]
    drift: Drift

    def states(self, value: object, fields: frozenset[str]) -> bool:
        """Whether this observation says anything about a value found under these `fields`.

        It does if the value is present; if not, only if one of the fields was requested, because X omits empty values.
        A field that was present but could not be read says nothing about the value.
        """
        if value is not None:
            return True
        if self.requested is None or self.requested.isdisjoint(fields):
            return False
        return self.unread.isdisjoint(fields)

    def misfit(self, field: str) -> None:
        """Count a value that does not fit and becomes null."""
        self.unread.add(field)
        self.drift[self.name, f"(unreadable {field})"] += 1

    def id(self, value: object, field: str) -> int | None:
        """An id outside the key; anything that is not an id becomes null."""
        if value is None or value == "":
            return None
        try:
            return read_id(value, field)
        except BadId:
            self.misfit(field)
            return None

    def ids(self, values: Iterable[object] | None, field: str) -> list[int] | None:
        """The valid ids of a list, in ascending order."""
        return sorted(i for v in values or () if (i := self.id(v, field)) is not None) or None

    def key(self, value: str | None, field: str) -> str | None:
        """A text that fits into an index; one that is too long becomes null, never cut."""
        if value is not None and len(value) > LONGEST_KEY:
            self.misfit(field)
            return None
        return value

    def time(self, value: str | None, field: str) -> datetime | None:
        """A plausible instant; any other becomes null."""
        instant = read_plausible_time(value, self.landed_at)
        if instant is None and value is not None:
            self.misfit(field)
        return instant

    def count(self, value: int | None, field: str) -> int | None:
        """A counter; an invalid one (negative, beyond 64 bits) becomes null, never cut."""
        if value is not None and not 0 <= value <= LARGEST_ID:
            self.misfit(field)
            return None
        return value

    def code(self, value: str | None, field: str) -> str | None:
        """A text; an empty one states nothing and becomes None."""
        return value or None

    def codes(self, values: list[str] | None, field: str) -> list[str] | None:
        """A list without the empty strings that some writers use for null; None if it is empty."""
        return [value for value in values if value] or None if values else None

    def integers(self, values: list[int], field: str) -> list[int] | None:
        """A list of integers of 32 bits; one with another number in it, or none at all, is null."""
        if all(-SMALL <= value < SMALL for value in values):
            return values or None
        self.misfit(field)
        return None

    def read_fixed(self, table: Table, row: dict[str, Any]) -> None:
        """Fill the columns that never change, or only grow, and that are read by path and type alone."""
        found = self.object
        for name, field, value_of, reading in _fixed(table):
            if (value := value_of(found)) is not None:
                row[name] = value if reading is None else reading(self, value, field)

    def read_along(self, table: Table, version: str, row: dict[str, Any]) -> None:
        """Fill the columns of one group that are read by path and type alone, whatever becomes of the others."""
        found = self.object
        for name, field, value_of, reading in _along(table, version):
            value = value_of(found)
            row[name] = value if reading is None or value is None else reading(self, value, field)

    def read_groups(self, table: Table, row: dict[str, Any]) -> None:
        """Fill the groups that this observation states, with its rank, if they are read by path and type alone."""
        found, rank = self.object, self.version
        for version, is_silent, fields, columns in _groups(table):
            is_stated = False
            for name, field, value_of, reading in columns:
                if (value := value_of(found)) is not None and (
                    reading is None or (value := reading(self, value, field)) is not None
                ):
                    row[name] = value
                    is_stated = True
            if is_stated or (not is_silent and self.states(None, fields)):
                row[version] = rank


_Get = Callable[[Any], Any]
_Reading = Callable[[Observed, Any, str], Any]
_READINGS: dict[str, _Reading] = {
    "id": Observed.id,
    "ids": Observed.ids,
    "count": Observed.count,
    "key": Observed.key,
    "code": Observed.code,
    "codes": Observed.codes,
    "integers": Observed.integers,
    "instant": Observed.time,
}


def _getter(paths: tuple[tuple[str, ...], ...]) -> _Get:
    """A function that reads a value; if the vocabularies differ, from the first path that has it."""
    if len(paths) > 1:
        of_one, of_others = _getter(paths[:1]), _getter(paths[1:])

        def first(found: Any) -> Any:
            value = of_one(found)
            return of_others(found) if value is None or value == [] else value

        return first
    (path,) = paths
    if len(path) == 1:
        return attrgetter(path[0])
    parent_of, value_of = attrgetter(path[0]), attrgetter(path[1])

    def within(found: Any) -> Any:
        parent = parent_of(found)
        return None if parent is None else value_of(parent)

    return within


_Read = tuple[str, str, _Get, _Reading | None]


def _read(column: Column) -> _Read:
    return column.name, column.paths[0][-1], _getter(column.paths), _READINGS.get(column.type.name)


@cache
def _fixed(table: Table) -> tuple[_Read, ...]:
    return tuple(_read(c) for c in (*table.fixed_columns, *table.grown_columns) if c.is_read)


@cache
def _along(table: Table, version: str) -> tuple[_Read, ...]:
    [group] = [group for group in table.grouped if group.version == version]
    return tuple(_read(column) for column in group.columns if column.is_read)


@cache
def _groups(table: Table) -> tuple[tuple[str, bool, frozenset[str], tuple[_Read, ...]], ...]:
    return tuple(_read_group(group) for group in table.grouped if group.is_read)


def _read_group(group: Group) -> tuple[str, bool, frozenset[str], tuple[_Read, ...]]:
    fields = frozenset(field for column in group.columns for field in column.fields)
    return group.version, group.is_silent, fields, tuple(map(_read, group.columns))
