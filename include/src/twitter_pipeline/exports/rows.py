"""The rows that an export writes: all collected tweets in a selection, by ascending id, as of one moment."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
from psycopg import sql

from twitter_pipeline.serving import columns, search
from twitter_pipeline.serving.selection import Selection
from twitter_pipeline.serving.statements import filled, for_psycopg

COLUMNS = tuple(column.name for column in columns.EXPORTED)
"""The columns of every format, in order; programs rely on them, so new ones go at the end."""


@dataclass
class Exported:
    """How much has been written so far."""

    tweets: int = 0
    size_bytes: int = 0


Progress = Callable[[Exported], None]


@dataclass(frozen=True)
class Rows:
    """The rows of a selection, read over an open connection. Never writes to the database."""

    connection: psycopg.Connection
    query: sql.SQL
    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, connection: psycopg.Connection, selection: Selection) -> Self:
        """The rows of the selected tweets. Raises ValueError for a selection by words."""
        if selection.words:
            raise ValueError("words: an export cannot select by words; use the command `search` or the API")
        conditions = search.resolved(connection, selection)
        text = conditions.over_all(filled("export", columns=columns.cells(columns.EXPORTED)))
        return cls(connection, sql.SQL(for_psycopg(text).decode()), conditions.values())

    def count(self) -> int:
        """How many rows there are now."""
        statement = sql.SQL("select count(*) from ({rows}) tweet").format(rows=self.query)
        row = self.connection.execute(statement, self.values).fetchone()
        return 0 if row is None else int(row[0])

    def copied(self, statement: sql.SQL, **parts: sql.Composable) -> Iterator[bytes]:
        """The lines of a COPY statement in which these rows replace `{rows}`.

        libpq returns them one by one, with line breaks inside a cell unchanged.
        """
        copy_statement = statement.format(rows=self.query, **parts)
        with self.connection.cursor() as cursor, cursor.copy(copy_statement, self.values) as copy:
            for row in copy:
                yield bytes(row)
