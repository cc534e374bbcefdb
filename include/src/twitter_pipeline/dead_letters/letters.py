"""The dead letters of all stages, from both stores: those of transform in PostgreSQL, the others in MongoDB.

Each letter has one id, wherever it is stored: the `_id` of its document, or `transform/` and its coordinate. It is open
until it is resolved: loaded by a re-drive, or settled by a person with a reason. Resolved letters stay stored and no
longer count as trouble.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from pymongo import WriteConcern
from pymongo.database import Database

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline import stages

DURABLE = WriteConcern(w="majority", j=True)
TRANSFORM = stages.TRANSFORM.name
STAGES = (stages.EXTRACT.name, "import", stages.LAND.name, TRANSFORM)
FIND = """
select topic_id, partition, "offset", reason, detail, failed_at, resolved_at, resolution, resolved_by
from pipeline.dead_letters
where stage = 'transform' and (%(reason)s::text is null or reason = %(reason)s)
    and (%(resolved)s or resolved_at is null)
order by failed_at desc, topic_id, partition, "offset" limit %(limit)s
"""
GET = """
select topic_id, partition, "offset", reason, detail, failed_at, resolved_at, resolution, resolved_by, payload
from pipeline.dead_letters
where stage = 'transform' and topic_id = %s and partition = %s and "offset" = %s
"""
SETTLE = """
update pipeline.dead_letters set resolved_at = now(), resolution = %s, resolved_by = %s
where stage = 'transform' and topic_id = %s and partition = %s and "offset" = %s and resolved_at is null
"""


class UnknownLetter(LookupError):
    """There is no dead letter with this id; `twitter-pipeline dead-letters list` shows them."""


@dataclass(frozen=True)
class Letter:
    """One dead letter without its bytes. Times are UTC; `resolution` says how it was resolved."""

    id: str
    stage: str
    reason: str
    detail: str
    failed_at: datetime | None
    resolved_at: datetime | None = None
    resolution: str | None = None
    resolved_by: str | None = None


class DeadLetters:
    """The letters of both stores; `warehouse` in autocommit mode."""

    def __init__(self, raw: Database[Any], warehouse: psycopg.Connection) -> None:
        self._documents = raw.dead_letters.with_options(write_concern=DURABLE)
        self._warehouse = warehouse

    def find(
        self,
        *,
        stage: str | None = None,
        reason: str | None = None,
        resolved: bool = False,
        limit: int = 100,
    ) -> list[Letter]:
        """At most `limit` letters, newest first; only open ones unless `resolved`."""
        found: list[Letter] = []
        if stage in {None, TRANSFORM}:
            bounds = {"reason": reason, "resolved": resolved, "limit": limit}
            found += [_of_row(row) for row in self._warehouse.execute(FIND, bounds).fetchall()]
        if stage != TRANSFORM:
            wanted: dict[str, Any] = {} if stage is None else {"stage": {"$in": _names_of(stage)}}
            wanted |= {} if reason is None else {"reason": reason}
            wanted |= {} if resolved else {"resolved_at": None}
            documents = self._documents.find(wanted, {"payload": 0}).sort("failed_at", -1).limit(limit)
            found += [_of_document(document) for document in documents]
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda letter: letter.failed_at or oldest, reverse=True)[:limit]

    def get(self, letter_id: str) -> tuple[Letter, bytes | None]:
        """One letter and its bytes. Raises UnknownLetter."""
        if (at := coordinates(letter_id)) is not None:
            row = self._warehouse.execute(GET, at).fetchone()
            if row is not None:
                return _of_row(row[:-1]), None if row[-1] is None else bytes(row[-1])
        elif (document := self._documents.find_one({"_id": letter_id})) is not None:
            payload = document.get("payload")
            return _of_document(document), None if payload is None else bytes(payload)
        raise UnknownLetter(
            f"there is no dead letter {letter_id!r}; `twitter-pipeline dead-letters list` shows them"
        )

    def settle(self, letter_id: str, resolution: str, by: str) -> bool:
        """Mark an open letter as resolved; False if it already was. Raises UnknownLetter."""
        if (at := coordinates(letter_id)) is not None:
            changed = self._warehouse.execute(SETTLE, (resolution, by, *at)).rowcount
        else:
            now = {"resolved_at": datetime.now(UTC), "resolution": resolution, "resolved_by": by}
            changed = self._documents.update_one(
                {"_id": letter_id, "resolved_at": None}, {"$set": now}
            ).modified_count
        if not changed:
            self.get(letter_id)
        return bool(changed)

    def open_ids(self, *, stage: str | None, reason: str | None, limit: int) -> Iterator[str]:
        """The ids of the newest `limit` open letters, oldest first: the order in which they arrived."""
        return (letter.id for letter in reversed(self.find(stage=stage, reason=reason, limit=limit)))


def _names_of(stage: str) -> list[str]:
    """The names under which letters of a stage may be stored: the current one, and that of older versions."""
    return [stage, stages.LAND.former_name] if stage == stages.LAND.name else [stage]


def coordinates(letter_id: str) -> Coordinate | None:
    """The coordinate of a letter of transform; None for letters of other stages. Raises UnknownLetter."""
    stage, _, key = letter_id.partition("/")
    return coordinates_of_key(key, letter_id) if stage == TRANSFORM else None


def coordinates_of_key(key: str, letter_id: str) -> Coordinate:
    """Parse the coordinate in a key. Raises UnknownLetter."""
    try:
        return Coordinate.of_key(key)
    except ValueError:
        raise UnknownLetter(f"{letter_id!r} does not contain TOPIC/PARTITION/OFFSET") from None


def _of_row(row: tuple[Any, ...]) -> Letter:
    topic_id, partition, offset, *rest = row
    return Letter(f"{TRANSFORM}/{Coordinate(topic_id, partition, offset).key}", TRANSFORM, *rest)


def _of_document(document: dict[str, Any]) -> Letter:
    return Letter(
        str(document["_id"]),
        str(document.get("stage")),
        str(document.get("reason")),
        str(document.get("detail")),
        _aware(document.get("failed_at")),
        _aware(document.get("resolved_at")),
        document.get("resolution"),
        document.get("resolved_by"),
    )


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant
