"""All collected tweets as CSV or JSON Lines straight out of PostgreSQL's COPY, or as Parquet; one row each.

CSV is RFC 4180 (CRLF, quotes doubled), UTF-8 without a byte order mark, null is an empty cell and an empty text is
"". Spreadsheets run cells that begin with = + - @, tab, CR or LF as formulas, so a text cell that begins with one
of them, or with an apostrophe, gets an apostrophe in front. Undo: take one leading apostrophe away from every
text cell that has one. JSON Lines need no such guard and have none. Lists are separated by spaces in CSV.

`text` is as X sends it, with `&amp;`, `&lt;` and `&gt;` in it; `text_unescaped` is what people read.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import BinaryIO, Literal, Self

import psycopg
from psycopg import sql

from twitter_pipeline.collection.rules import NAME
from twitter_pipeline.text import normal_username

Format = Literal["csv", "jsonl", "parquet"]

TWEETS = resources.files(__package__).joinpath("tweets.sql").read_text()
TEXTS = ("author_username", "author_name", "text", "note_text", "lang", "source", "text_unescaped")
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
    "text_unescaped",
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

    @classmethod
    def of(cls, *, rule: str | None, author: str | None, since: str | None, until: str | None) -> Self:
        """Filters out of texts, empty ones left out. Raises ValueError naming the one that is wrong."""
        if rule and not NAME.fullmatch(rule):
            raise ValueError(f"rule: {rule!r} is no name of a rule (a-z 0-9 _ -)")
        try:
            name = normal_username(author) if author else None
        except ValueError as wrong:
            raise ValueError(f"author: {author!r}: {wrong}") from None
        return cls(rule or None, _instant("since", since), _instant("until", until), name)

    def parameters(self) -> dict[str, object]:
        """What tweets.sql is asked with."""
        return {**asdict(self), "author": normal_username(self.author) if self.author else None}


def _instant(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if instant.tzinfo is None:
        if len(text) > len("2026-01-31"):
            raise ValueError(f"{name}: {text!r} says no time zone; add Z for UTC")
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)


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
    if file_format == "parquet":
        from twitter_pipeline.exports.parquet import export_parquet  # pyarrow takes a moment to import

        return export_parquet(connection, output, filters, progress)
    exported = Exported()
    progress(exported)
    is_csv = file_format == "csv"
    for number, row in enumerate(_rows(connection, COPY_CSV if is_csv else COPY_JSONL, filters)):
        line = row[:-1] + b"\r\n" if is_csv else row
        output.write(line)
        exported.size_bytes += len(line)
        exported.tweets = number if is_csv else number + 1  # CSV begins with a line of names
        if number % 5000 == 0:
            progress(exported)
    return exported


def count_tweets(connection: psycopg.Connection, filters: Filters) -> int:
    """How many tweets pass the filters now. Never writes."""
    statement = sql.SQL("select count(*) from ({tweets}) tweet").format(tweets=sql.SQL(TWEETS))
    row = connection.execute(statement, filters.parameters()).fetchone()
    return 0 if row is None else int(row[0])


def _rows(connection: psycopg.Connection, statement: sql.SQL, filters: Filters) -> Iterator[bytes]:
    """The lines of a COPY: libpq hands them out one by one, with the line breaks inside a cell untouched."""
    copy_statement = statement.format(tweets=sql.SQL(TWEETS), cells=sql.SQL(", ").join(map(_cell, COLUMNS)))
    with connection.cursor() as cursor, cursor.copy(copy_statement, filters.parameters()) as copy:
        for row in copy:
            yield bytes(row)


def _cell(column: str) -> sql.Composable:
    name = sql.Identifier(column)
    if column in LISTS:
        return GUARDED.format(cell=sql.SQL("array_to_string({}, ' ')").format(name), name=name)
    if column in TEXTS:
        return GUARDED.format(cell=name, name=name)
    return sql.SQL("{}::text").format(name)
