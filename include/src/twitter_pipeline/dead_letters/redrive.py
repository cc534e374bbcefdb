"""Re-drive a dead letter: after a fix, try its own bytes again under its own coordinates.

Loading is the same merge as for every observation, so a letter that is re-driven twice gives one row. A letter of
transform is resolved in the transaction that loads it. A letter of another stage is in MongoDB: its rows are committed
first, then its raw document, then the letter is resolved. If that is interrupted, re-driving again has the same result.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.sink import EnvelopeSink, MessageTooLarge
from tweet_envelope.writing import Message
from twitter_pipeline import stages
from twitter_pipeline.dead_letters.letters import DeadLetters, Letter, coordinates_of_key
from twitter_pipeline.landing.documents import Unlandable, raw_document
from twitter_pipeline.landing.raw_store import DURABLE
from twitter_pipeline.transform.engine import Unreadable
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.faults import Fault, fault_of
from twitter_pipeline.transform.load import Loader

Result = Literal["loaded", "produced", "removed", "refused", "not possible", "resolved already"]
DEADLOCK_TRIES = 5
CONFLICT = "coordinate_conflict"
LANDED_TO = """
select next_offset from pipeline.cursors where stage = 'land' and topic_id = %s and partition = %s
"""


@dataclass(frozen=True)
class Outcome:
    """The outcome for one letter; the detail says why it stays open, if it does."""

    id: str
    result: Result
    detail: str = ""

    @property
    def is_resolved(self) -> bool:
        return self.result not in {"refused", "not possible"}


class Redriver:
    """Re-drives letters over open connections (`warehouse`: autocommit mode, role pipeline_loader).

    `kafka` and `topic`: where a letter of extract is produced again if it fits into a message. Server errors are raised,
    and the letter stays as it was.
    """

    def __init__(
        self,
        raw: Database[Any],
        warehouse: psycopg.Connection,
        kafka: Mapping[str, Any],
        topic: str,
        by: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._raw, self._warehouse, self._kafka, self._topic, self._by = raw, warehouse, kafka, topic, by
        self._letters, self._loader, self._sleep = DeadLetters(raw, warehouse), Loader(warehouse), sleep
        self._documents = raw.raw_tweets.with_options(write_concern=DURABLE)

    def redrive(self, letter_id: str) -> Outcome:
        """Try one letter again. Raises UnknownLetter, and the errors of the servers."""
        letter, payload = self._letters.get(letter_id)
        if letter.resolved_at is not None:
            return Outcome(letter.id, "resolved already", letter.resolution or "")
        if payload is None:
            return Outcome(letter.id, "refused", "it has no bytes; settle it")
        if letter.reason == CONFLICT:
            return Outcome(
                letter.id,
                "not possible",
                "another payload has its coordinate; compare the two, then settle it",
            )
        match letter.stage:
            case stages.TRANSFORM.name:
                return self._of_transform(letter, payload)
            case stages.LAND.name | stages.LAND.former_name:
                return self._of_landing(letter, payload)
            case stages.EXTRACT.name:
                return self._of_extract(letter, payload)
        return Outcome(
            letter.id, "not possible", "fix the line and import the file again, then settle the letter"
        )

    def _of_transform(self, letter: Letter, payload: bytes) -> Outcome:
        at = coordinates_of_key(letter.id.removeprefix("transform/"), letter.id)
        document = self._documents.find_one({"_id": at.key})
        if document is not None and document.get("removed_at") is not None:
            self._letters.settle(letter.id, "removed", self._by)
            return Outcome(letter.id, "removed")
        return self._load(letter, document or {"envelope": payload}, at, claimed=at)

    def _of_landing(self, letter: Letter, payload: bytes) -> Outcome:
        at = coordinates_of_key(letter.id, letter.id)
        row = self._warehouse.execute(LANDED_TO, (at.topic_id, at.partition)).fetchone()
        if row is None or row[0] <= at.offset:
            return Outcome(
                letter.id, "refused", "landing has not passed its offset yet; try again when it has"
            )
        return self._land_and_load(letter, payload, at)

    def _of_extract(self, letter: Letter, payload: bytes) -> Outcome:
        """Through Kafka if it fits by now; otherwise directly into raw and the tables, outside all real offsets."""
        try:
            with EnvelopeSink(self._kafka, self._topic) as sink:
                sink.produce([Message(letter.id.rpartition("/")[2].encode(), payload)])
        except MessageTooLarge:
            pass
        else:
            self._letters.settle(letter.id, "produced", self._by)
            return Outcome(letter.id, "produced")
        source, _, tweet_id = letter.id.rpartition("/")
        if not tweet_id.isdecimal():
            return Outcome(letter.id, "refused", "its id does not end in a tweet id")
        return self._land_and_load(letter, payload, Coordinate(source, 0, int(tweet_id)))

    def _land_and_load(self, letter: Letter, payload: bytes, at: Coordinate) -> Outcome:
        try:
            document = raw_document(payload, at, datetime.now(UTC))
        except Unlandable as why:
            return Outcome(letter.id, "refused", f"{why.reason}: {why}")
        outcome = self._load(letter, document, at, claimed=None)
        if outcome.result != "loaded":
            return outcome
        with suppress(DuplicateKeyError):  # an earlier attempt was killed after this
            self._documents.insert_one(document)
        self._letters.settle(letter.id, "loaded", self._by)
        return outcome

    def _load(
        self, letter: Letter, document: Mapping[str, Any], at: Coordinate, *, claimed: Coordinate | None
    ) -> Outcome:
        batch = Batch()
        try:
            batch.add_document(document, at)
        except Unreadable as why:
            return Outcome(letter.id, "refused", f"{why.reason}: {why}")
        try:
            done = self._redrive(batch, claimed)
        except psycopg.Error as refused:
            if fault_of(refused) in {Fault.SERVER, Fault.TOO_SLOW}:
                raise
            return Outcome(letter.id, "refused", str(refused).strip().splitlines()[0])
        return Outcome(letter.id, "loaded" if done else "resolved already")

    def _redrive(self, batch: Batch, claimed: Coordinate | None) -> bool:
        for attempt in range(1, DEADLOCK_TRIES):
            try:
                return self._loader.redrive(batch, claimed, self._by)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                self._sleep(0.05 * 2**attempt)
        return self._loader.redrive(batch, claimed, self._by)
