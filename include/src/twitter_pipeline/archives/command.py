"""`twitter-pipeline import`: what a person sees of an import."""

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from twitter_pipeline import settings
from twitter_pipeline.archives.importing import FileImported, Importer, ImportStopped, Refusal, total
from twitter_pipeline.archives.producing import Batches
from twitter_pipeline.archives.reading import STANDARD_INPUT, opened
from twitter_pipeline.collection.rules import NAME
from twitter_pipeline.streaming.log import LogUnavailable, TopicMissing

SHOWN_REFUSALS = 50
PROGRESS_SECONDS = 2.0


class _Stopped(click.ClickException):
    exit_code = 3


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--observed-at", help="When X gave what does not say so itself, e.g. 2023-05-01T00:00:00Z.")
@click.option("--rule", help="File the tweets under this rule.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def import_(files: tuple[str, ...], observed_at: str | None, rule: str | None, as_json: bool) -> None:
    """Import archives of tweets: answers of API version 2, twarc2 files, one tweet a line; gzipped or not.

    FILE may be - for standard input. Importing the same file again changes nothing. Without a retrieval time,
    from the archive or --observed-at, what it says ranks as the oldest observation.

    A line that cannot be imported is reported, kept in MongoDB dead_letters, and costs only itself.
    Exit status: 0 all went, 1 something was refused, 2 wrong usage, 3 stopped before the end.
    """
    instant = _instant(observed_at)
    if rule is not None and not NAME.fullmatch(rule):
        raise click.UsageError(f"--rule {rule!r}: use lower-case letters, digits, - and _")
    _check(files)
    given = settings.load()
    summaries: list[FileImported] = []
    kafka = given.kafka()
    try:
        with (
            psycopg.connect(
                given.need("postgres_dsn"), autocommit=True, connect_timeout=10, application_name="import"
            ) as warehouse,
            MongoClient[dict[str, Any]](given.need("mongo_uri"), serverSelectionTimeoutMS=10_000) as mongo,
        ):
            mongo.admin.command("ping")
            batches = Batches(kafka, settings.TOPIC)
            try:
                teller = _Teller()
                importer = Importer(
                    batches,
                    mongo[given.mongo_database],
                    warehouse,
                    rule=rule,
                    observed_at=instant,
                    tell=teller.refused,
                    progress=teller.progress,
                )
                for file in files:
                    with opened(file) as stream:
                        summaries.append(importer.import_file(file, stream))
                    teller.file_done()
            finally:
                batches.close()
    except ImportStopped as stopped:
        raise _Stopped(str(stopped)) from stopped
    except (TopicMissing, LogUnavailable) as error:
        raise _Stopped(f"{error}. Is the stack up (`make up`)?") from error
    except psycopg.OperationalError as error:
        first = str(error).strip().splitlines()[0]
        raise _Stopped(f"PostgreSQL does not answer: {first}. Is the stack up (`make up`)?") from error
    except PyMongoError as error:
        raise _Stopped(
            f"MongoDB does not answer: {str(error)[:200]}. Is the stack up (`make up`)?"
        ) from error
    except OSError as error:
        raise _Stopped(f"{error.filename or 'reading'}: {error.strerror or error}") from error
    _conclude(summaries, as_json)


def _conclude(summaries: list[FileImported], as_json: bool) -> None:
    sums = total(summaries)
    if as_json:
        click.echo(json.dumps({**sums, "files": [asdict(summary) for summary in summaries]}, indent=2))
    else:
        click.echo(
            f"{sums['tweets']:,} tweets and {sums['included_tweets']:,} included ones from {sums['records']:,} records"
            f" in {len(summaries)} files; {sums['refused']:,} refused"
        )
    if sums["refused"]:
        sys.exit(1)


def _check(files: tuple[str, ...]) -> None:
    if files.count(STANDARD_INPUT) > 1:
        raise click.UsageError("standard input (-) can be read only once")
    for file in files:
        if file == STANDARD_INPUT:
            continue
        if not Path(file).exists():
            raise click.UsageError(f"{file} does not exist")
        if Path(file).is_dir():
            raise click.UsageError(f"{file} is a folder; name its files")
        if not os.access(file, os.R_OK):
            raise click.UsageError(f"{file} may not be read")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--observed-at {text!r} is no time such as 2023-05-01T00:00:00Z") from None
    if instant.tzinfo is None:
        raise click.UsageError(f"--observed-at {text!r} says no time zone; add Z for UTC")
    if instant > datetime.now(UTC):
        raise click.UsageError(f"--observed-at {text!r} is yet to come")
    return instant.astimezone(UTC)


class _Teller:
    """Refusals and progress on standard error: each of the first refusals of a file, then their number."""

    def __init__(self) -> None:
        self._refusals = 0
        self._told_at = time.monotonic()

    def refused(self, refusal: Refusal) -> None:
        self._refusals += 1
        if self._refusals <= SHOWN_REFUSALS:
            why = f"{refusal.why.reason}: {refusal.why}"
            click.echo(f"{refusal.file}:{refusal.line}: {why}", err=True)

    def progress(self, summary: FileImported) -> None:
        if (now := time.monotonic()) - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            speed = summary.tweets / summary.seconds if summary.seconds else 0
            click.echo(
                f"{summary.file}: {summary.records:,} records, {summary.tweets:,} tweets, {summary.refused:,} refused,"
                f" {speed:,.0f} tweets/s",
                err=True,
            )

    def file_done(self) -> None:
        if self._refusals > SHOWN_REFUSALS:
            more = self._refusals - SHOWN_REFUSALS
            click.echo(f"and {more:,} more; all of them are in MongoDB dead_letters (stage import)", err=True)
        self._refusals = 0
