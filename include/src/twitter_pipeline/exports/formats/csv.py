"""CSV as in RFC 4180, straight from PostgreSQL's COPY: CRLF, doubled quotes, UTF-8 without a byte order mark.

Null is an empty cell and an empty text is "". List elements are separated by spaces. Spreadsheets run cells that begin
with = + - @, tab, CR or LF as formulas, so a text cell that begins with one of these, or with an apostrophe, gets an
apostrophe in front. To undo this, remove one leading apostrophe from every text cell that has one.
"""

from typing import BinaryIO

from psycopg import sql

from twitter_pipeline.exports.rows import Exported, Progress, Rows
from twitter_pipeline.serving.columns import EXPORTED, Column, Kind

GUARDED = sql.SQL(r"case when {cell} ~ '^[''=+@\t\r\n-]' then '''' || {cell} else {cell} end as {name}")
COPY = sql.SQL("copy (select {cells} from ({rows}) tweet) to stdout (format csv, header)")
TOLD_EVERY = 5_000


def write(rows: Rows, output: BinaryIO, progress: Progress) -> Exported:
    """A header line, then one line per tweet."""
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
