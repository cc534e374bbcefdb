"""JSON Lines: one object per tweet, straight from PostgreSQL's COPY. Ids are strings, lists are lists, texts are
unchanged."""

from typing import BinaryIO

from psycopg import sql

from twitter_pipeline.exports.rows import Exported, Progress, Rows

# JSON text contains no control characters: with two of them as delimiter and quote, a line of this CSV is plain JSON
COPY = sql.SQL(
    r"copy (select row_to_json(tweet) from ({rows}) tweet) to stdout (format csv, delimiter e'\x01', quote e'\x02')"
)
TOLD_EVERY = 5_000


def write(rows: Rows, output: BinaryIO, progress: Progress) -> Exported:
    """One line per tweet."""
    exported = Exported()
    progress(exported)
    for line in rows.copied(COPY):
        output.write(line)
        exported.size_bytes += len(line)
        exported.tweets += 1
        if exported.tweets % TOLD_EVERY == 1:
            progress(exported)
    return exported
