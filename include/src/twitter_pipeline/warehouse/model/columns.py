"""What a column of schema `twitter` is: its type, how observations of it merge, and where X says it.

Types name what a value means and not only how PostgreSQL keeps it: an id, a counter and a position are all integers, and
are read from X, and checked, in different ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any


@dataclass(frozen=True, eq=False)
class Type:
    """One type of column.

    `postgres` as `format_type` says it, `copied` as COPY is told it, `contract` as information_schema and Soda say it;
    `decoded`: what a value of X is decoded into before it is read (None: such a value does not come from X as it is).
    """

    name: str
    postgres: str
    copied: str
    contract: str
    decoded: Any = None
    limits: Mapping[str, int] = field(default_factory=dict)


ID = Type("id", "bigint", "int8", "bigint", str | int | None)
IDS = Type("ids", "bigint[]", "int8[]", "ARRAY", list[str | int] | None)
COUNT = Type("count", "bigint", "int8", "bigint", int | None, limits={"valid_min": 0})
FLAG = Type("flag", "boolean", "bool", "boolean", bool | None)
TEXT = Type("text", "text", "text", "text", str | None)
KEY = Type("key", "text", "text", "text", str | None)
"""A text that an index holds: one too long for that is null."""
CODE = Type("code", "text", "text", "text", str | None)
"""A text of which the empty one says nothing."""
CODES = Type("codes", "text[]", "text[]", "ARRAY", list[str] | None)
INSTANT = Type("instant", "timestamp with time zone", "timestamptz", "timestamp with time zone", str | None)
INTEGER = Type("integer", "integer", "int4", "integer")
INTEGERS = Type("integers", "integer[]", "int4[]", "ARRAY", list[int] | None)
JSON = Type("json", "jsonb", "jsonb", "jsonb")
UUID = Type("uuid", "uuid", "uuid", "uuid")


class Merge(Enum):
    """How observations of a column merge; every way is commutative, associative and idempotent."""

    KEY = "key"
    FIXED = "fixed"
    GROWN = "grown"
    NEWEST = "newest"
    ANY = "any"
    ALL = "all"
    DATABASE = "database"


@dataclass(frozen=True)
class Column:
    """One column: its name, type and meaning; `merge`, which a table and its groups give it by default.

    `source`: where X says it, as a path (`public_metrics.like_count`), several where the two vocabularies (tweet, post)
    differ. A column that has a source and is not `by_code` is read by its path and type alone; the others are filled by
    code of transform. `is_null`: whether it may be null. `limits`: of the values, in Soda's words. `is_served`: whether
    exports and the API show it.
    """

    name: str
    type: Type
    meaning: str
    source: str | tuple[str, ...] = ()
    by_code: bool = False
    is_null: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)
    merge: Merge = Merge.DATABASE
    is_served: bool = True

    @cached_property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The paths under which X says it, each by its steps."""
        sources = (self.source,) if isinstance(self.source, str) else self.source
        return tuple(tuple(path.split(".")) for path in sources)

    @cached_property
    def fields(self) -> frozenset[str]:
        """Every name on the way to the value: what was asked for, or could not be read, bears one of them."""
        return frozenset(step for path in self.paths for step in path)

    @property
    def is_read(self) -> bool:
        """Whether the value is read by path and type alone."""
        return bool(self.source) and not self.by_code


@dataclass(frozen=True)
class Group:
    """Columns that the newest observation replaces together, and the version column that says which that is.

    `is_silent`: an observation without any of the values says nothing, even when they were asked for. `is_null`: whether a
    row may be without a version.
    """

    version: str
    columns: tuple[Column, ...]
    meaning: str = ""
    is_silent: bool = False
    is_null: bool = True

    @property
    def is_read(self) -> bool:
        """Whether all of it is read by paths and types alone."""
        return all(column.is_read for column in self.columns)

    @property
    def version_meaning(self) -> str:
        """What the version column is for."""
        names = ", ".join(column.name for column in self.columns)
        return (
            self.meaning
            or f"Rank of the observation that {names} {'are' if len(self.columns) > 1 else 'is'} of."
        )
