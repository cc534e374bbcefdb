"""Imports archives in ranges of a few megabytes: read, wrap, decode as land and transform will, produce, record.

A range counts once Kafka has acknowledged all of it. Then a row in pipeline.pages says which lines went to which offsets,
so that a log lost before landing is noticed. What cannot be imported goes to MongoDB dead_letters before that. If the
import is killed at any point, simply run it again: ids and rows are derived from the contents.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from bson import Binary
from psycopg.types.json import Jsonb
from pymongo import WriteConcern
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.sink import EnvelopeSink, MessageTooLarge
from tweet_envelope.topic import TopicChanged, TopicError
from twitter_pipeline.archives.envelopes import envelopes_of
from twitter_pipeline.archives.page import ArchivedPage
from twitter_pipeline.archives.pages import pages_of
from twitter_pipeline.archives.reading import KEPT_BYTES, STANDARD_INPUT, Record, records
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.landing.documents import Unlandable, raw_document
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker, TooManyBadRecords
from twitter_pipeline.transform.engine import Unreadable
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.warehouse.observations import observe_letters

STAGE = "import"
RANGE_BYTES = 8_000_000
RANGE_RECORDS = 5_000
DURABLE = WriteConcern(w="majority", j=True)
DUPLICATE_KEY = 11000
NAMED_MEMBERS = 1_000
"""How many members a summary names: an archive may use ids as member names."""
RECORD_RANGE = resources.files(__package__).joinpath("record_range.sql").read_text()


class ImportStopped(RuntimeError):
    """The import stopped early; the text names the lines to import again. Everything before them is recorded."""


class FileStopped(ImportStopped):
    """One file was not read to its end, for a reason that does not affect other files. `summary`: what was imported."""

    def __init__(self, text: str, summary: "FileImported") -> None:
        super().__init__(text)
        self.summary = summary


@dataclass(frozen=True)
class Refusal:
    """A part of a file that was not imported, and why."""

    file: str
    line: int
    why: Unimportable
    body: bytes


@dataclass
class FileImported:
    """The result for one file: records read and refused, tweets and included tweets, messages.

    `unknown`: members for which no table has a place, and how often they occurred; `unreadable`: the same for values
    that do not fit the tables. `stopped`: why the file was not read to its end.
    """

    file: str
    records: int = 0
    tweets: int = 0
    included_tweets: int = 0
    messages: int = 0
    ranges: int = 0
    refused: int = 0
    seconds: float = 0.0
    unknown: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None


@dataclass
class _Range:
    from_line: int
    to_line: int = 0
    size: int = 0
    records: int = 0
    pages: list[tuple[int, ArchivedPage]] = field(default_factory=list)
    tweet_ids: list[int] = field(default_factory=list)
    messages: int = 0
    refused: list[Refusal] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    digest: Any = field(default_factory=hashlib.sha256)


class Importer:
    """Imports files over open connections; `warehouse` in autocommit mode, `sink` to the raw topic.

    `observed_at` is used for records that do not say when X returned them; the tweets are filed under `rule`. `tell` is
    called with each refusal, `progress` after each range.
    """

    def __init__(
        self,
        sink: EnvelopeSink,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        *,
        rule: str | None = None,
        observed_at: datetime | None = None,
        tell: Callable[[Refusal], None] = lambda refusal: None,
        progress: Callable[[FileImported], None] = lambda summary: None,
    ) -> None:
        self._sink, self._warehouse, self._rule, self._observed_at = sink, warehouse, rule, observed_at
        self._dead = raw.dead_letters.with_options(write_concern=DURABLE)
        self._tell, self._progress = tell, progress
        self._topic_id: str | None = None

    def import_file(self, file: str, stream: BinaryIO) -> FileImported:
        """Import one archive. Raises ImportStopped; FileStopped if the reason does not affect other files.

        All files of an importer go to the topic that the first file found. Raises TopicMissing and KafkaUnavailable
        before anything is read.
        """
        started = time.monotonic()
        self._topic_id = self._topic_id or self._sink.check_topic()
        name = "stdin" if file == STANDARD_INPUT else Path(file).name
        summary, breaker = FileImported(name), BadRecordBreaker(STAGE, least=1000)
        for part in self._ranges(file, stream, summary):
            try:
                breaker.check(part.records, min(len(part.refused), part.records))
                self._import_range(name, part, summary)
            except TooManyBadRecords:
                summary.stopped = (
                    f"{file}: most of it is not an archive of tweets (lines up to {part.to_line}); stopped at line"
                    f" {part.from_line}. See the reasons above"
                )
                raise FileStopped(summary.stopped, summary) from None
            except MessageTooLarge as error:
                again = _again(file, part, f"{error}")
                raise ImportStopped(f"{again}; first allow larger messages, or leave that one out") from error
            except TopicError as error:
                raise ImportStopped(_again(file, part, f"{error}")) from error
            except PyMongoError as error:
                raise ImportStopped(_again(file, part, f"MongoDB: {str(error)[:200]}")) from error
            except psycopg.Error as error:
                raise ImportStopped(_again(file, part, f"PostgreSQL: {str(error).strip()[:200]}")) from error
            summary.seconds = round(time.monotonic() - started, 3)
            self._progress(summary)
        return summary

    def _ranges(self, file: str, stream: BinaryIO, summary: FileImported) -> Iterator[_Range]:
        part: _Range | None = None
        unreadable: OSError | None = None
        found = records(stream)
        while True:
            try:
                record = next(found, None)
            except OSError as error:
                record, unreadable = None, error
            if record is None:
                break
            if part is None:
                part = _Range(record.from_line)
            self._add(part, file, record)
            if part.size >= RANGE_BYTES or part.records >= RANGE_RECORDS:
                yield part
                part = None
        if part is not None:
            yield part
        if unreadable is not None:
            what = unreadable.strerror or str(unreadable)
            summary.stopped = f"{file}: could not be read to its end: {what}. What was read has been imported"
            raise FileStopped(summary.stopped, summary) from unreadable

    def _add(self, part: _Range, file: str, record: Record) -> None:
        part.to_line, part.records, part.size = record.to_line, part.records + 1, part.size + len(record.body)
        part.digest.update(record.body.strip() + b"\n")
        try:
            if record.refused is not None:
                raise record.refused
            pages = pages_of(record.body)
        except Unimportable as why:
            self._refuse(part, Refusal(file, record.from_line, why, record.body))
            return
        for page in pages:
            for reason, body in page.refused:
                self._refuse(part, Refusal(file, record.from_line, reason, body))
            part.unknown += page.homeless
            part.pages.append((record.from_line, page))

    def _refuse(self, part: _Range, refusal: Refusal) -> None:
        part.refused.append(refusal)
        self._tell(refusal)

    def _import_range(self, name: str, part: _Range, summary: FileImported) -> None:
        sha256 = part.digest.hexdigest()
        identity = f"{name}\0{part.from_line}\0{self._rule}\0{self._observed_at}\0{sha256}"
        request_id = f"import-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        self._produce(part, request_id, summary.file)
        offsets = self._sink.acknowledged()
        if self._sink.topic_id != self._topic_id:
            raise TopicChanged(
                f"topic {self._sink.topic} was recreated since the import began, and what it held may be gone"
            )
        self._write_dead_letters(name, part.refused)
        if part.messages:
            seen = [page.observed_at or self._observed_at for _, page in part.pages]
            lines = {"file": name, "from_line": part.from_line, "to_line": part.to_line, "sha256": sha256}
            self._warehouse.execute(
                RECORD_RANGE.encode(),
                {
                    "request_id": request_id,
                    "rule": self._rule,
                    "params": Jsonb(lines),
                    "tweet_ids": sorted(set(part.tweet_ids)),
                    "topic": self._sink.topic,
                    "topic_id": self._sink.topic_id,
                    "offsets": Jsonb({str(p): offset for p, offset in offsets.items()}),
                    "observed_at": max((instant for instant in seen if instant), default=None),
                },
            )
        summary.ranges += bool(part.messages)
        summary.records += part.records
        summary.tweets += len(part.tweet_ids)
        summary.included_tweets += sum(page.included_tweets for _, page in part.pages)
        summary.messages += part.messages
        summary.refused += len(part.refused)
        for counts, more in ((summary.unknown, part.unknown), (summary.unreadable, part.unreadable)):
            for member, times in more.items():
                name = member if member in counts or len(counts) < NAMED_MEMBERS else "(others)"
                counts[name] = counts.get(name, 0) + times

    def _produce(self, part: _Range, request_id: str, file: str) -> None:
        for line, page in part.pages:
            observed_at = page.observed_at or self._observed_at
            for message, tweet in envelopes_of(
                page, request_id=request_id, rule=self._rule, observed_at=observed_at
            ):
                try:
                    drift = _decoded_as_by_the_stages(message.value)
                    self._sink.put(message)
                except (Unimportable, MessageTooLarge) as why:
                    reason = why if isinstance(why, Unimportable) else Unimportable("too_large", str(why))
                    body = message.value if tweet is None else tweet.raw
                    self._refuse(part, Refusal(file, line, reason, body))
                    continue
                for (kind, member), times in drift.items():
                    known = member.startswith("(")  # for an object or a value that does not fit its place
                    (part.unreadable if known else part.unknown)[f"{kind}.{member}"] += times
                part.messages += 1
                if tweet is not None:
                    part.tweet_ids.append(int(tweet.value["id"]))

    def _write_dead_letters(self, name: str, refused: Iterable[Refusal]) -> None:
        letters = {letter["_id"]: letter for letter in (_dead_letter(name, r) for r in refused)}
        if not letters:
            return
        observe_letters(self._warehouse, ((_id, bytes(letter["payload"])) for _id, letter in letters.items()))
        try:
            self._dead.insert_many(list(letters.values()), ordered=False)
        except BulkWriteError as error:
            codes = {refusal["code"] for refusal in error.details.get("writeErrors", [])}
            if error.details.get("writeConcernErrors") or codes - {DUPLICATE_KEY}:
                raise


def _decoded_as_by_the_stages(envelope: bytes) -> Mapping[tuple[str, str], int]:
    """What transform would count as drift. Raises Unimportable if a stage would write it to the dead letters."""
    batch, nowhere = Batch(), Coordinate("", 0, 0)
    try:
        raw_document(envelope, nowhere, datetime.now(UTC))
        batch.add_envelope(envelope, nowhere)
    except (Unlandable, Unreadable) as why:
        raise Unimportable(why.reason, str(why)) from None
    return batch.drift


def _dead_letter(name: str, refusal: Refusal) -> dict[str, Any]:
    """The dead_letters document for a refusal; importing the same file again gives the same `_id`."""
    sha256 = hashlib.sha256(refusal.body).hexdigest()
    return {
        "_id": f"{STAGE}/{name}/{refusal.line:09d}/{sha256[:32]}",
        "stage": STAGE,
        "reason": refusal.why.reason,
        "detail": str(refusal.why)[:500],
        "payload": Binary(refusal.body[:KEPT_BYTES]),
        "payload_bytes": len(refusal.body),
        "file": name,
        "line": refusal.line,
        "failed_at": datetime.now(UTC),
    }


def _again(file: str, part: _Range, what: str) -> str:
    lines = f"lines {part.from_line} to {part.to_line}"
    return f"{file}: {lines} do not count as imported: {what}. Import the file again; everything before is recorded"


def total(summaries: Iterable[FileImported]) -> dict[str, Any]:
    """The sums over several files."""
    done = list(summaries)
    names = ("records", "tweets", "included_tweets", "messages", "ranges", "refused")
    sums: dict[str, Any] = {name: sum(getattr(summary, name) for summary in done) for name in names}
    for name in ("unknown", "unreadable"):
        members: Counter[str] = Counter()
        for summary in done:
            members.update(getattr(summary, name))
        sums[name] = dict(members)
    return sums
