"""`twitter-pipeline import`: the command-line side of an import."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tweet_envelope.sink import EnvelopeSink
from tweet_envelope.topic import KafkaUnavailable, TopicMissing
from twitter_pipeline import settings
from twitter_pipeline.archives.importing import (
    FileImported,
    FileStopped,
    Importer,
    ImportStopped,
    Refusal,
    total,
)
from twitter_pipeline.archives.reading import STANDARD_INPUT, opened
from twitter_pipeline.text import RULE_NAME

SHOWN_REFUSALS = 50
SHOWN_MEMBERS = 20
PROGRESS_SECONDS = 2.0


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--observed-at",
    help="Retrieval time for records that do not state one, e.g. 2023-05-01T00:00:00Z.",
)
@click.option("--rule", help="File the tweets under this rule.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def import_(files: tuple[str, ...], observed_at: str | None, rule: str | None, as_json: bool) -> None:
    """Import archives of tweets.

    Accepts API v2 answers, streams, files from twarc2, 4CAT and academictwitteR, and messages of this pipeline: as JSON
    in any layout, in UTF-8 or UTF-16, optionally compressed with gzip, bzip2, xz or Zstandard.

    FILE may be - for standard input. Importing the same file again changes nothing. Without a retrieval time, from the
    archive or --observed-at, its contents rank as the oldest observation.

    A record that cannot be imported is reported and kept in MongoDB dead_letters; it does not affect other records. A
    file that cannot be read, or is not an archive, does not affect other files. Members without a place in the tables
    are counted by name.

    Exit status: 0 everything was imported; 1 something was refused or has no place in the tables; 2 wrong usage or a
    file that cannot be opened; 3 stopped before the end.
    """
    instant = _instant(observed_at)
    if rule is not None and not RULE_NAME.fullmatch(rule):
        raise click.UsageError(f"--rule {rule!r}: use lower-case letters, digits, - and _")
    if files.count(STANDARD_INPUT) > 1:
        raise click.UsageError("standard input (-) can be given only once")
    if len(files) == 1 and (why := _why_closed(files[0])):
        raise click.UsageError(why)
    given = settings.load()
    outcome = _Outcome()
    kafka = given.kafka()
    try:
        with (
            psycopg.connect(
                given.need("postgres_dsn"), autocommit=True, connect_timeout=10, application_name="import"
            ) as warehouse,
            MongoClient[dict[str, Any]](given.need("mongo_uri"), serverSelectionTimeoutMS=10_000) as mongo,
            EnvelopeSink(kafka, settings.TOPIC) as sink,
        ):
            mongo.admin.command("ping")
            reporter = _Reporter()
            importer = Importer(
                sink,
                mongo[given.mongo_database],
                warehouse,
                rule=rule,
                observed_at=instant,
                tell=reporter.refused,
                progress=reporter.progress,
            )
            for file in files:
                _import_one(importer, file, outcome)
                reporter.file_done()
    except (TopicMissing, KafkaUnavailable) as error:
        outcome.stop(f"{error}. Is the stack up (`make up`)?")
    except ImportStopped as stopped:
        outcome.stop(str(stopped))
    except psycopg.OperationalError as error:
        first = str(error).strip().splitlines()[0]
        outcome.stop(f"PostgreSQL does not answer: {first}. Is the stack up (`make up`)?")
    except PyMongoError as error:
        outcome.stop(f"MongoDB does not answer: {str(error)[:200]}. Is the stack up (`make up`)?")
    outcome.tell(as_json)
    sys.exit(outcome.exit_status)


def _import_one(importer: Importer, file: str, outcome: "_Outcome") -> None:
    if why := _why_closed(file):
        outcome.closed(file, why)
        return
    try:
        with opened(file) as stream:
            outcome.read(importer.import_file(file, stream))
    except FileStopped as stopped:
        outcome.read(stopped.summary)
    except OSError as error:
        outcome.closed(file, f"{file} could not be opened: {error.strerror or error}")


def _why_closed(file: str) -> str | None:
    """Why this file cannot be opened; None if it can."""
    if file == STANDARD_INPUT:
        return None
    if not Path(file).exists():
        return f"{file} does not exist"
    if Path(file).is_dir():
        return f"{file} is a folder; give the files in it"
    if not os.access(file, os.R_OK):
        return f"{file} is not readable; check its permissions"
    return None


class _Outcome:
    """The results for all files, and the exit status that follows from them."""

    def __init__(self) -> None:
        self._files: list[FileImported] = []
        self._stopped: str | None = None
        self.exit_status = 0

    def read(self, file: FileImported) -> None:
        """Note a file that was opened, though perhaps not read to its end."""
        self._files.append(file)
        if file.stopped:
            click.echo(file.stopped, err=True)
            self._at_least(3)
        elif file.refused or file.unknown:
            self._at_least(1)

    def closed(self, file: str, why: str) -> None:
        """Note a file that could not be opened."""
        self._files.append(FileImported(Path(file).name, stopped=why))
        click.echo(why, err=True)
        self._at_least(2)

    def stop(self, why: str) -> None:
        """Note that the import stopped, whatever files were still to come."""
        self._stopped = why
        click.echo(f"Error: {why}", err=True)
        self._at_least(3)

    def _at_least(self, status: int) -> None:
        self.exit_status = max(self.exit_status, status)

    def tell(self, as_json: bool) -> None:
        sums = total(self._files)
        if as_json:
            files = [asdict(file) for file in self._files]
            click.echo(json.dumps({**sums, "stopped": self._stopped, "files": files}, indent=2))
            return
        for file in self._files if len(self._files) > 1 else ():
            click.echo(
                f"{file.file}: {_counts(asdict(file))}{'; not read to its end' if file.stopped else ''}"
            )
        click.echo(f"{_counts(sums)}; {len(self._files)} files")
        for name, what in (
            ("unknown", "have no place in the tables"),
            ("unreadable", "have values that do not fit the tables"),
        ):
            if members := sums[name]:
                most = sorted(members.items(), key=lambda pair: (-pair[1], pair[0]))
                listed = ", ".join(f"{member} {times:,}" for member, times in most[:SHOWN_MEMBERS])
                click.echo(f"members that {what}, with counts: {listed}")


def _counts(counted: Mapping[str, Any]) -> str:
    return (
        f"{counted['tweets']:,} tweets and {counted['included_tweets']:,} included ones from {counted['records']:,}"
        f" records; {counted['refused']:,} refused"
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"--observed-at {text!r} is not a time; write it like 2023-05-01T00:00:00Z"
        ) from None
    if instant.tzinfo is None:
        raise click.UsageError(f"--observed-at {text!r} has no time zone; add Z for UTC")
    if instant > datetime.now(UTC):
        raise click.UsageError(f"--observed-at {text!r} is in the future")
    return instant.astimezone(UTC)


class _Reporter:
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
