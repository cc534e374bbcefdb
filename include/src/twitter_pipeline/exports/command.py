"""The commands `twitter-pipeline export`, `search` and `search-index`."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import psycopg

from twitter_pipeline import settings
from twitter_pipeline.exports.delivery import deliver
from twitter_pipeline.exports.destination import Refused, check, written_whole
from twitter_pipeline.exports.formats import MODULES, Format
from twitter_pipeline.exports.rows import Exported
from twitter_pipeline.exports.search import Found, search_tweets, table
from twitter_pipeline.exports.tweets import count_tweets, export_tweets
from twitter_pipeline.serving import parsing
from twitter_pipeline.serving.selection import Selection, Unselectable
from twitter_pipeline.warehouse.search_index import fill_search_columns, fill_search_tags, unfilled_below

STANDARD_OUTPUT = "-"
PROGRESS_SECONDS = 2.0


def _value(name: str, parser: Callable[[Any], Any], text: Any) -> Any:
    try:
        return parser(text)
    except ValueError as wrong:
        raise click.UsageError(f"{name}: {wrong}") from None


def _selection(**texts: str | None) -> Selection:
    try:
        return Selection.of(**texts)
    except Unselectable as wrong:
        raise click.UsageError(str(wrong)) from None


@click.command()
@click.option("--format", "file_format", type=click.Choice(list(MODULES)), required=True)
@click.option(
    "--output",
    default=STANDARD_OUTPUT,
    show_default=True,
    metavar="PLACE",
    help="A file, a folder (existing, or ending in /), or - for standard output.",
)
@click.option("--rule", help="Only tweets found by this rule.")
@click.option("--since", metavar="T", help="Only tweets created at T (UTC) or later.")
@click.option("--until", metavar="T", help="Only tweets created before T (UTC).")
@click.option("--author", metavar="USERNAME", help="Only tweets by this account.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export(
    file_format: Format,
    output: str,
    rule: str | None,
    since: str | None,
    until: str | None,
    author: str | None,
    force: bool,
) -> None:
    """Write all collected tweets as CSV, JSON Lines or Parquet, one row each, by ascending id.

    A file appears only when it is complete. In a folder, the file is named after the current time, and a manifest with
    its size and checksum is written last.

    In CSV, a text that a spreadsheet would run as a formula (first character = + - @, tab, CR, LF) or that begins with
    an apostrophe gets an apostrophe in front; to undo this, remove one leading apostrophe from each text cell. JSON
    Lines and Parquet contain the unchanged texts.
    """
    selection, place = _selection(rule=rule, since=since, until=until, author=author), Path(output)
    is_folder = output != STANDARD_OUTPUT and (output.endswith("/") or place.is_dir())
    if output == STANDARD_OUTPUT and file_format == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet cannot be written to a terminal; give --output")
    try:
        if output != STANDARD_OUTPUT and not is_folder:
            check(place, replace=force)
        with _reader("export") as connection:
            # an export may take as long as it needs, whatever limit the role has for dashboard queries
            connection.execute("set statement_timeout = 0")
            with _Progress(connection, selection) as progress:
                if output == STANDARD_OUTPUT:
                    export_tweets(connection, sys.stdout.buffer, file_format, selection, progress.tell)
                    sys.stdout.buffer.flush()
                elif is_folder:
                    manifest = deliver(connection, place, file_format, selection, progress=progress.tell)
                    click.echo(place / manifest.file)
                else:
                    with written_whole(place, replace=force) as stream:
                        export_tweets(connection, stream, file_format, selection, progress.tell)
    except Refused as refused:
        raise click.UsageError(str(refused)) from refused
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(
            f"{output}: {error.strerror or error}; no file was left at that name"
        ) from error


@click.command()
@click.argument("words", nargs=-1)
@click.option("--rule", help="Only tweets found by this rule.")
@click.option("--author", metavar="USERNAME", help="Only tweets by this account.")
@click.option("--hashtag", help="Only tweets with this hashtag.")
@click.option("--limit", default="20", show_default=True, metavar="N", help="How many to show, up to 1000.")
@click.option("--before", metavar="ID", help="Continue below this id.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; ids are strings.")
def search(
    words: tuple[str, ...],
    rule: str | None,
    author: str | None,
    hashtag: str | None,
    limit: str,
    before: str | None,
    as_json: bool,
) -> None:
    """Show the newest collected tweets that contain all WORDS, in any case."""
    selection = _selection(rule=rule, author=author, hashtag=hashtag)
    if phrases := [text for text in words if text.strip()]:
        selection = replace(selection, words=_value("words", parsing.words, phrases))
    if before is not None:
        selection = replace(selection, below=_value("before", parsing.object_id, before))
    most = _value("limit", parsing.limit, limit)
    with _reader("search") as connection:
        found = search_tweets(connection, selection, most)
    if as_json:
        click.echo(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table(found.tweets, width):
        click.echo(line)
    if not found.tweets:
        click.echo("no tweets found", err=True)
    elif found.next_before is not None:
        click.echo(f"there may be more: --before {found.next_before}", err=True)


@click.group("search-index")
def search_index() -> None:
    """Maintain the index for searches by word and hashtag."""


@search_index.command()
def fill() -> None:
    """Add tweets loaded by an older version to the search index.

    New tweets are indexed as they are loaded; older ones are found more slowly until this has run. It starts with the
    newest, can be interrupted at any time and continues where it stopped; loading need not stop.
    """
    dsn = settings.load().need("postgres_dsn")
    done, told_at = 0, time.monotonic()
    with _connected(dsn, "search-index fill") as connection:
        tags = fill_search_tags(connection)
        while (batch := fill_search_columns(connection)) is not None:
            done += batch
            if time.monotonic() - told_at >= PROGRESS_SECONDS:
                told_at = time.monotonic()
                click.echo(f"{done:,} tweets; continuing below {unfilled_below(connection)}", err=True)
    click.echo(f"{done:,} tweets and {tags:,} hashtags added to the index; none are left")


def _as_json(found: Found) -> dict[str, object]:
    next_before = None if found.next_before is None else str(found.next_before)
    return {"tweets": [tweet.as_json() for tweet in found.tweets], "next_before": next_before}


@contextmanager
def _reader(name: str) -> Iterator[psycopg.Connection]:
    with _connected(settings.load().need("postgres_reader_dsn"), name) as connection:
        yield connection


@contextmanager
def _connected(dsn: str, name: str) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name=name) as connection:
            yield connection
    except psycopg.errors.QueryCanceled as error:
        raise click.ClickException(
            "PostgreSQL: this took too long; narrow it down by --rule, --author or --hashtag"
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise click.ClickException("PostgreSQL: a table is locked by another session; try again") from error
    except psycopg.OperationalError as error:
        first = str(error).strip().splitlines()[0]
        raise click.ClickException(f"PostgreSQL: {first}. Is the stack up (`make up`)?") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
        raise click.ClickException(
            "the database lacks tables of this version; `make up` creates them"
        ) from error


class _Progress:
    """A bar on a terminal, a line every two seconds elsewhere, and a final line; all on standard error."""

    def __init__(self, connection: psycopg.Connection, selection: Selection) -> None:
        self._started = self._told_at = time.monotonic()
        self._last = Exported()
        self._bar: Any = None
        if sys.stderr.isatty():
            total = count_tweets(connection, selection)
            self._bar = click.progressbar(length=total, label="tweets", file=sys.stderr, show_pos=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            if error is None:
                self._bar.update(self._bar.length - self._bar.pos)
            self._bar.__exit__(kind, error, trace)
        if error is None:
            self._say()

    def tell(self, exported: Exported) -> None:
        """Show the progress; the same object grows from call to call."""
        self._last = exported
        if self._bar is not None:
            self._bar.update(exported.tweets - self._bar.pos)
        elif time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self._say()

    def _say(self) -> None:
        done, seconds = self._last, max(time.monotonic() - self._started, 1e-6)
        click.echo(
            f"{done.tweets:,} tweets, {done.size_bytes / 1e6:,.1f} MB in {seconds:,.1f} s"
            f" ({done.tweets / seconds:,.0f} tweets/s)",
            err=True,
        )
