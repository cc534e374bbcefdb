"""All collected tweets as CSV or JSON Lines, one row each, straight out of PostgreSQL's COPY.

CSV is RFC 4180 (CRLF, quotes doubled), UTF-8 without a byte order mark, null is an empty cell and an empty text is
"". Spreadsheets run cells that begin with = + - @, tab, CR or LF as formulas, so a text cell that begins with one
of them, or with an apostrophe, gets an apostrophe in front. Undo: take one leading apostrophe away from every
text cell that has one. JSON Lines need no such guard and have none. Lists are separated by spaces in CSV.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import resources
from typing import BinaryIO, Literal

import psycopg
from psycopg import sql

Format = Literal["csv", "jsonl"]

TWEETS = resources.files(__package__).joinpath("tweets.sql").read_text()
TEXTS = ("author_username", "author_name", "text", "note_text", "lang", "source")
LISTS = ("hashtags", "mentions", "urls", "media_keys", "rules")
COLUMNS = (
    "id",
    "created_at",
    "author_id",
    "author_username",
    "author_name",
    "text",
    "note_text",
    "lang",
    "source",
    "conversation_id",
    "in_reply_to_user_id",
    "replied_to_tweet_id",
    "quoted_tweet_id",
    "retweeted_tweet_id",
    "hashtags",
    "mentions",
    "urls",
    "media_keys",
    "possibly_sensitive",
    "retweet_count",
    "reply_count",
    "like_count",
    "quote_count",
    "bookmark_count",
    "impression_count",
    "metrics_observed_at",
    "rules",
)
"""The columns of both formats in their order; programs rely on them, new ones come at the end."""

GUARDED = sql.SQL(r"case when {cell} ~ '^[''=+@\t\r\n-]' then '''' || {cell} else {cell} end as {name}")
COPY_CSV = sql.SQL("copy (select {cells} from ({tweets}) tweet) to stdout (format csv, header)")
# JSON text has no control characters, so with two of them as delimiter and quote a line of this CSV is the JSON itself
COPY_JSONL = sql.SQL(
    r"copy (select row_to_json(tweet) from ({tweets}) tweet) to stdout (format csv, delimiter e'\x01', quote e'\x02')"
)


@dataclass(frozen=True)
class Filters:
    """Which tweets: of a rule; created at or after `since` and before `until`; by the account of that name."""

    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    author: str | None = None


@dataclass
class Exported:
    """How much went out so far."""

    tweets: int = 0
    size_bytes: int = 0


def export_tweets(
    connection: psycopg.Connection,
    output: BinaryIO,
    file_format: Format,
    filters: Filters,
    progress: Callable[[Exported], None] = lambda exported: None,
) -> Exported:
    """Write every collected tweet that passes the filters, by ascending id, as of one moment.

    The same database gives the same bytes. Memory does not grow with the number of tweets. Never writes to the
    database. `progress` is called every few thousand tweets.
    """
    exported = Exported()
    is_csv = file_format == "csv"
    for number, row in enumerate(_rows(connection, COPY_CSV if is_csv else COPY_JSONL, filters)):
        line = row[:-1] + b"\r\n" if is_csv else row
        output.write(line)
        exported.size_bytes += len(line)
        exported.tweets = number if is_csv else number + 1  # CSV begins with a line of names
        if number % 5000 == 0:
            progress(exported)
    return exported


def _rows(connection: psycopg.Connection, statement: sql.SQL, filters: Filters) -> Iterator[bytes]:
    """The lines of a COPY: libpq hands them out one by one, with the line breaks inside a cell untouched."""
    copy_statement = statement.format(tweets=sql.SQL(TWEETS), cells=sql.SQL(", ").join(map(_cell, COLUMNS)))
    author = filters.author.lower() if filters.author else None
    with (
        connection.cursor() as cursor,
        cursor.copy(copy_statement, {**asdict(filters), "author": author}) as copy,
    ):
        for row in copy:
            yield bytes(row)


def _cell(column: str) -> sql.Composable:
    name = sql.Identifier(column)
    if column in LISTS:
        return GUARDED.format(cell=sql.SQL("array_to_string({}, ' ')").format(name), name=name)
    if column in TEXTS:
        return GUARDED.format(cell=name, name=name)
    return sql.SQL("{}::text").format(name)
