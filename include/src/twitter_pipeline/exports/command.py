"""`twitter-pipeline export` and `twitter-pipeline search`: what a person sees of them."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import psycopg

from twitter_pipeline import settings
from twitter_pipeline.collection.rules import NAME, USERNAME
from twitter_pipeline.exports.destination import Refused, check, written_whole
from twitter_pipeline.exports.search import Found, Search, search_tweets, table
from twitter_pipeline.exports.tweets import Exported, Filters, Format, export_tweets

STANDARD_OUTPUT = "-"
PROGRESS_SECONDS = 2.0


def _rule(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter("use lower-case letters, digits, - and _")
    return value


def _username(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    name = value.removeprefix("@") if value is not None else None
    if name is not None and not USERNAME.fullmatch(name):
        raise click.BadParameter(f"{value!r} is no name of an account")
    return name


def _instant(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if instant.tzinfo is None:
        if len(value) > len("2026-01-31"):
            raise click.BadParameter(f"{value!r} says no time zone; add Z for UTC")
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)


@click.command()
@click.option("--format", "file_format", type=click.Choice(["csv", "jsonl"]), required=True)
@click.option(
    "--output", default=STANDARD_OUTPUT, show_default=True, metavar="FILE", help="- is standard output."
)
@click.option("--rule", callback=_rule, help="Only tweets that this rule brought.")
@click.option("--since", callback=_instant, metavar="T", help="Only tweets created at T (UTC) or later.")
@click.option("--until", callback=_instant, metavar="T", help="Only tweets created before T (UTC).")
@click.option("--author", callback=_username, metavar="USERNAME", help="Only tweets of this account.")
@click.option("--force", is_flag=True, help="Replace FILE.")
def export(
    file_format: Format,
    output: str,
    rule: str | None,
    since: datetime | None,
    until: datetime | None,
    author: str | None,
    force: bool,
) -> None:
    """Write all collected tweets as CSV or JSON Lines, one each, by ascending id.

    FILE appears only when it is complete. In CSV a text that a spreadsheet would run as a formula (first character
    = + - @, tab, CR, LF) or that begins with an apostrophe has an apostrophe put in front; to undo, take one
    leading apostrophe away from each text cell. JSON Lines hold the texts as they are.
    """
    if since and until and since >= until:
        raise click.UsageError("--since must be before --until")
    filters, ticker = Filters(rule, since, until, author), _Ticker()
    try:
        if output != STANDARD_OUTPUT:
            check(Path(output), replace=force)
        with _reader("export") as connection:
            # an export may take as long as it takes, whatever the role allows a query of a dashboard
            connection.execute("set statement_timeout = 0")
            if output == STANDARD_OUTPUT:
                done = export_tweets(connection, sys.stdout.buffer, file_format, filters, ticker.tell)
                sys.stdout.buffer.flush()
            else:
                with written_whole(Path(output), replace=force) as stream:
                    done = export_tweets(connection, stream, file_format, filters, ticker.tell)
    except Refused as refused:
        raise click.UsageError(str(refused)) from refused
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(
            f"{output}: {error.strerror or error}; nothing was left at that name"
        ) from error
    ticker.conclude(done)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--rule", callback=_rule, help="Only tweets that this rule brought.")
@click.option("--author", callback=_username, metavar="USERNAME", help="Only tweets of this account.")
@click.option("--hashtag", help="Only tweets with this hashtag.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", type=click.IntRange(1, 2**63 - 1), metavar="ID", help="Go on below this id.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; ids are strings.")
def search(
    words: tuple[str, ...],
    rule: str | None,
    author: str | None,
    hashtag: str | None,
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """Show the newest collected tweets that have all WORDS in them, in any case."""
    for text in (*words, hashtag or ""):
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise click.UsageError(f"{text!r} has characters that cannot be searched for")
    with _reader("search") as connection:
        wanted = Search(words, rule, author, hashtag, limit, before)
        found = search_tweets(connection, wanted)
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


def _as_json(found: Found) -> dict[str, object]:
    next_before = None if found.next_before is None else str(found.next_before)
    return {"tweets": [tweet.as_json() for tweet in found.tweets], "next_before": next_before}


@contextmanager
def _reader(name: str) -> Iterator[psycopg.Connection]:
    dsn = settings.load().need("postgres_reader_dsn")
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name=name) as connection:
            yield connection
    except psycopg.OperationalError as error:
        first = str(error).strip().splitlines()[0]
        raise click.ClickException(f"PostgreSQL: {first}. Is the stack up (`make up`)?") from error
    except psycopg.errors.UndefinedTable as error:
        raise click.ClickException("the database has no tables yet; `make up` makes them") from error


class _Ticker:
    """Progress on standard error, every two seconds, and a last line."""

    def __init__(self) -> None:
        self._started = self._told_at = time.monotonic()

    def tell(self, exported: Exported) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self.conclude(exported)

    def conclude(self, exported: Exported) -> None:
        seconds = max(time.monotonic() - self._started, 1e-6)
        click.echo(
            f"{exported.tweets:,} tweets, {exported.size_bytes / 1e6:,.1f} MB in {seconds:,.1f} s"
            f" ({exported.tweets / seconds:,.0f} tweets/s)",
            err=True,
        )
