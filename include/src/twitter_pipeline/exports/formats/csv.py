"""CSV after RFC 4180, straight out of PostgreSQL's COPY: CRLF, quotes doubled, UTF-8 without a byte order mark.

Null is an empty cell and an empty text is "". Lists are separated by spaces. Spreadsheets run cells that begin with
= + - @, tab, CR or LF as formulas, so a text cell that begins with one of them, or with an apostrophe, gets an
apostrophe in front. Undo: take one leading apostrophe away from every text cell that has one.
"""

from typing import BinaryIO

from psycopg import sql

from twitter_pipeline.exports.rows import Exported, Progress, Rows
from twitter_pipeline.serving.columns import EXPORTED, Column, Kind

GUARDED = sql.SQL(r"case when {cell} ~ '^[''=+@\t\r\n-]' then '''' || {cell} else {cell} end as {name}")
COPY = sql.SQL("copy (select {cells} from ({rows}) tweet) to stdout (format csv, header)")
TOLD_EVERY = 5_000


def write(rows: Rows, output: BinaryIO, progress: Progress) -> Exported:
    """A line of names, then one for each tweet."""
    exported = Exported()
    progress(exported)
    cells = sql.SQL(", ").join(map(_cell, EXPORTED))
    for number, row in enumerate(rows.copied(COPY, cells=cells)):
        line = row[:-1] + b"\r\n"
        output.write(line)
        exported.size_bytes += len(line)
        exported.tweets = number
        if number % TOLD_EVERY == 0:
            progress(exported)
    return exported


def _cell(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    cell = sql.SQL("array_to_string({}, ' ')").format(name) if column.kind.is_list else name
    if column.kind in {Kind.TEXT, Kind.TEXTS}:
        return GUARDED.format(cell=cell, name=name)
    return sql.SQL("{}::text as {}").format(cell, name)
