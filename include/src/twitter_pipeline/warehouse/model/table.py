"""A table of schema `twitter` as one thing that observations merge into, and the SQL that merges them.

The same declaration drives the merge inside a batch (Python) and the merge into PostgreSQL (SQL), so that the
two cannot drift. Every merge is commutative, associative and idempotent: any step may run twice, late or out of
order, and the tables end the same.

    fixed    least(old, new), nulls ignored: what never changes is filled by whoever has it
    grown    greatest(old, new): lists that only get longer (edit histories)
    newest   groups of columns with a version: the greater version wins as a whole
    any      booleans that are true once one observation says so
    all      booleans that stay true only while every observation says so
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

from twitter_pipeline.warehouse.model.columns import INSTANT, UUID, Column, Group, Merge

LOADED_AT = Column(
    "loaded_at",
    INSTANT,
    "When the row was first written, by PostgreSQL's clock.",
    is_null=False,
    is_served=False,
)


@dataclass(frozen=True, eq=False)
class Table:
    """One table: its meaning, its key, and how each other column merges.

    `groups` are replaced as wholes. `by_database`: columns that no observation fills. `raw_only`: fields of X's object
    that have no column yet; they stay in raw and are no drift. `is_derived`: PostgreSQL makes its rows of another table.
    """

    name: str
    meaning: str
    key_columns: Sequence[Column]
    fixed_columns: Sequence[Column] = ()
    grown_columns: Sequence[Column] = ()
    grouped: Sequence[Group] = ()
    any_columns: Sequence[Column] = ()
    all_columns: Sequence[Column] = ()
    by_database: Sequence[Column] = ()
    raw_only: frozenset[str] = frozenset()
    is_derived: bool = False

    @cached_property
    def described(self) -> tuple[Column, ...]:
        """Every column, each with its merge: key, fixed, grown, groups (columns, then version), booleans, the database's."""
        found = [replace(c, merge=Merge.KEY, is_null=False) for c in self.key_columns]
        found += [replace(c, merge=Merge.FIXED) for c in self.fixed_columns]
        found += [replace(c, merge=Merge.GROWN) for c in self.grown_columns]
        for group in self.grouped:
            found += [replace(c, merge=Merge.NEWEST) for c in group.columns]
            version = Column(group.version, UUID, group.version_meaning, is_null=group.is_null)
            found.append(replace(version, merge=Merge.NEWEST))
        found += [replace(c, merge=Merge.ANY, is_null=False) for c in self.any_columns]
        found += [replace(c, merge=Merge.ALL, is_null=False) for c in self.all_columns]
        return (*found, *self.by_database)

    @cached_property
    def loaded(self) -> tuple[Column, ...]:
        """The columns of a staged row, in its order."""
        return tuple(c for c in self.described if c.merge is not Merge.DATABASE)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a staged row, in its order."""
        return tuple(c.name for c in self.loaded)

    @cached_property
    def copy_types(self) -> list[str]:
        """The types of a staged row, as COPY is told them."""
        return [c.type.copied for c in self.loaded]

    @cached_property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns."""
        return tuple(c.name for c in self.key_columns)

    @cached_property
    def key_of(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        """What returns the key of a row."""
        if len(self.key) > 1:
            return itemgetter(*self.key)
        [name] = self.key
        return lambda row: (row[name],)

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """Names of the columns that never change once they are known."""
        return tuple(c.name for c in self.fixed_columns)

    @cached_property
    def grown(self) -> tuple[str, ...]:
        """Names of the columns whose lists only get longer."""
        return tuple(c.name for c in self.grown_columns)

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the columns that are replaced together, by their version column."""
        return {group.version: tuple(c.name for c in group.columns) for group in self.grouped}

    @cached_property
    def any_of(self) -> tuple[str, ...]:
        """Names of the booleans that are true once one observation says so."""
        return tuple(c.name for c in self.any_columns)

    @cached_property
    def all_of(self) -> tuple[str, ...]:
        """Names of the booleans that stay true only while every observation says so."""
        return tuple(c.name for c in self.all_columns)

    @cached_property
    def known_fields(self) -> frozenset[str]:
        """The fields of X's object that are no drift: those that columns are made of, and those that only raw keeps."""
        return self.raw_only | {path[0] for column in self.described for path in column.paths}

    @property
    def staging(self) -> str:
        """Name of the temporary table that a batch is copied into."""
        return f"staged_{self.name}"

    @cached_property
    def _blank(self) -> dict[str, Any]:
        return (
            dict.fromkeys(self.columns) | dict.fromkeys(self.any_of, False) | dict.fromkeys(self.all_of, True)
        )

    def blank(self, *key: Any) -> dict[str, Any]:
        """A row that says nothing yet but its key; merging it changes nothing that is known."""
        row = self._blank.copy()
        row.update(zip(self.key, key, strict=True))
        return row

    def merge(self, into: dict[str, Any], new: Mapping[str, Any]) -> None:
        """Merge one observation of a row into another of the same key, as the SQL does."""
        for column in self.fixed:
            if (value := new[column]) is not None and (into[column] is None or value < into[column]):
                into[column] = value
        for column in self.grown:
            if (value := new[column]) is not None and (into[column] is None or value > into[column]):
                into[column] = value
        for version, columns in self.groups.items():
            if (value := new[version]) is not None and (into[version] is None or value > into[version]):
                into[version] = value
                for column in columns:
                    into[column] = new[column]
        for column in self.any_of:
            into[column] = into[column] or new[column]
        for column in self.all_of:
            into[column] = into[column] and new[column]

    def stage_sql(self) -> str:
        """Create the staging table of this session, empty at each commit."""
        return (
            f"create temporary table if not exists {self.staging} on commit delete rows as "
            f"select {', '.join(self.columns)} from twitter.{self.name} with no data"
        )

    def copy_sql(self) -> str:
        """Fill the staging table."""
        return f"copy {self.staging} ({', '.join(self.columns)}) from stdin with (format binary)"

    def upsert_sql(self) -> str:
        """Merge the staging table. Rows that change nothing are taken out first, so that a replay writes nothing."""
        same_key = " and ".join(f"known.{c} = staged.{c}" for c in self.key)
        statement = (
            f"insert into twitter.{self.name} as known ({', '.join(self.columns)})\n"
            f"select {', '.join(self.columns)} from {self.staging} staged\n"
            f"where not exists (select from twitter.{self.name} known where {same_key}{self._nothing_new()})\n"
            f"order by {', '.join(self.key)}\n"
            f"on conflict ({', '.join(self.key)}) do "
        )
        assignments = self._assignments()
        return statement + (
            f"update set\n  {f',{chr(10)}  '.join(assignments)}" if assignments else "nothing"
        )

    def _nothing_new(self) -> str:
        tests = [f"coalesce(known.{c} <= staged.{c}, staged.{c} is null)" for c in self.fixed]
        tests += [
            f"coalesce(known.{c} >= staged.{c}, staged.{c} is null)" for c in (*self.grown, *self.groups)
        ]
        tests += [f"(known.{c} or not staged.{c})" for c in self.any_of]
        tests += [f"(staged.{c} or not known.{c})" for c in self.all_of]
        return "".join(f"\n  and {test}" for test in tests)

    def _assignments(self) -> list[str]:
        sets = [f"{c} = least(known.{c}, excluded.{c})" for c in self.fixed]
        sets += [f"{c} = greatest(known.{c}, excluded.{c})" for c in self.grown]
        for version, columns in self.groups.items():
            # rows from before a group had a version have columns and none: only a stated group replaces them
            newer = f"excluded.{version} is not null and coalesce(excluded.{version} > known.{version}, true)"
            sets += [f"{c} = case when {newer} then excluded.{c} else known.{c} end" for c in columns]
            sets.append(f"{version} = greatest(known.{version}, excluded.{version})")
        sets += [f"{c} = known.{c} or excluded.{c}" for c in self.any_of]
        sets += [f"{c} = known.{c} and excluded.{c}" for c in self.all_of]
        return sets
