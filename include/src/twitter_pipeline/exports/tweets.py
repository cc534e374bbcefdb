"""All collected tweets in a selection as a file: CSV, JSON Lines or Parquet, one row each.

`text` is as X sends it, with `&amp;`, `&lt;` and `&gt;`; `text_unescaped` is what people read, in NFC.
"""

from typing import BinaryIO

import psycopg

from twitter_pipeline.exports.formats import Format, writer
from twitter_pipeline.exports.rows import Exported, Progress, Rows
from twitter_pipeline.serving.selection import Selection

FILTERS = ("rule", "since", "until", "author")
"""The fields of an export's selection, in the order in which a manifest lists them."""


def export_tweets(
    connection: psycopg.Connection,
    output: BinaryIO,
    file_format: Format,
    selection: Selection,
    progress: Progress = lambda exported: None,
) -> Exported:
    """Write all selected tweets by ascending id, as of one moment.

    The same database gives the same bytes. Memory use does not grow with the number of tweets. Never writes to the
    database. `progress` is called every few thousand tweets. Raises ValueError for a selection by words.
    """
    return writer(file_format)(Rows.of(connection, selection), output, progress)


def count_tweets(connection: psycopg.Connection, selection: Selection) -> int:
    """How many tweets the selection contains now. Never writes."""
    return Rows.of(connection, selection).count()
