"""Where each object of X was seen: from any id to every raw document and dead letter that holds it.

Code that stores bytes records which objects are in them, under the coordinate of the message. A row of kind `envelope`
proves that a message was loaded. Rows merge by union, so writing twice changes nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal

import psycopg

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.ids import LARGEST_ID

Kind = Literal["envelope", "tweet", "included_tweet", "user", "media", "place", "poll", "unread"]

BITS = 64  # offsets in a row
MOST_UNREAD = 500_000
"""Ids recorded of one dead letter: more than the bytes of the largest one can hold, with their names and quotes."""
STAGED = """
create temporary table if not exists staged_observations (
    kind text, object_id bigint, topic_id text collate "C", partition integer, bucket bigint, offsets bigint
) on commit delete rows
"""
COPY = (
    "copy staged_observations (kind, object_id, topic_id, partition, bucket, offsets)"
    " from stdin with (format binary)"
)
NUMBER_TOPICS = """
insert into pipeline.topics (topic_id)
select distinct topic_id from staged_observations staged
where not exists (select from pipeline.topics where topics.topic_id = staged.topic_id) order by 1
on conflict do nothing
"""
# `offset 0` keeps this an index lookup: without statistics the planner would compare all rows with all
MERGE = """
insert into pipeline.observations as known (object_id, bucket, offsets, topic, partition, kind)
select object_id, bucket, offsets, number, partition, kind::pipeline.object_kind
from staged_observations staged
join pipeline.topics using (topic_id)
where not exists (
    select from pipeline.observations same
    where same.kind = staged.kind::pipeline.object_kind and same.object_id = staged.object_id and same.topic = number
        and same.partition = staged.partition and same.bucket = staged.bucket
        and same.offsets & staged.offsets = staged.offsets
    offset 0
)
order by object_id, kind::pipeline.object_kind, number, partition, bucket
on conflict (object_id, kind, topic, partition, bucket) do update set offsets = known.offsets | excluded.offsets
"""
LOADED = """
select bucket, offsets from pipeline.observations
where kind = 'envelope' and object_id = 0
    and topic = (select number from pipeline.topics where topic_id = %s)
    and partition = %s and bucket = any (%s)
"""

_QUOTE = rb'\\{0,3}"'  # JSON inside a string has its quotes escaped
_KEYED = re.compile(
    _QUOTE
    + rb"(?!request_)[a-z_]{0,40}(?:id|ids|id_str|key|keys)"
    + _QUOTE
    + rb"\s*:\s*(?:(?P<list>\[[^\[\]{}]*)|(?:"
    + _QUOTE
    + rb")?(?P<one>[0-9A-Za-z_]{1,40})(?![0-9A-Za-z_]))"
)
_WORD = re.compile(rb"[0-9A-Za-z_]{1,40}")


def object_id(x_id: str | int) -> int:
    """The number under which an id of X is stored; the same as `pipeline.object_id` in PostgreSQL."""
    text = str(x_id)
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= LARGEST_ID:
        return int(text)
    digest = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _ids_in(payload: bytes) -> Iterator[str]:
    """Whatever looks like an id of X in bytes of any encoding, as often as it occurs."""
    for found in _KEYED.finditer(
        payload.replace(b"\0", b"")
    ):  # in UTF-16 and UTF-32, ASCII stands between NULs
        words = [found["one"]] if found["one"] else _WORD.findall(found["list"])
        yield from (word.decode() for word in words)


class Observations:
    """Which objects were seen where in many messages; stored as bits, 64 offsets of an object per number."""

    def __init__(self) -> None:
        self._bits: dict[tuple[Kind, int, str, int, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._bits)

    def note(self, kind: Kind, x_id: str | int, at: Coordinate) -> None:
        """Record that an object is in the message at this coordinate."""
        topic_id, partition, offset = at
        number = x_id if type(x_id) is int and 0 <= x_id <= LARGEST_ID else object_id(x_id)
        key = (kind, number, topic_id, partition, offset >> 6)
        self._bits[key] = self._bits.get(key, 0) | 1 << (offset & 63)

    def note_unread(self, payload: bytes | None, at: Coordinate) -> None:
        """Record whatever looks like an id of X in bytes that are stored here but could not be read."""
        for x_id in islice(_ids_in(payload or b""), MOST_UNREAD):
            self.note("unread", x_id, at)

    def drop(self, kind: Kind) -> None:
        """Remove everything recorded of one kind."""
        self._bits = {key: bits for key, bits in self._bits.items() if key[0] != kind}

    def places(self) -> Iterator[tuple[Kind, int, Coordinate]]:
        """Each object with its coordinate, in the order in which they were recorded."""
        for (kind, number, topic_id, partition, bucket), bits in self._bits.items():
            for bit in range(BITS):
                if bits >> bit & 1:
                    yield kind, number, Coordinate(topic_id, partition, bucket * BITS + bit)

    def merge_into(self, connection: psycopg.Connection[Any]) -> None:
        """Add everything to pipeline.observations in the caller's transaction; what is already known writes nothing.

        The session must have its staging table (`prepare`).
        """
        if not self._bits:
            return
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.set_types(["text", "int8", "text", "int4", "int8", "int8"])
            for key, bits in self._bits.items():
                copy.write_row((*key, bits - (1 << BITS) if bits >> (BITS - 1) else bits))
        connection.execute(NUMBER_TOPICS)
        connection.execute(MERGE)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Create the staging table of this session, which each commit empties."""
    connection.execute(STAGED)


def observe_letters(connection: psycopg.Connection[Any], letters: Iterable[tuple[str, bytes | None]]) -> None:
    """Observe dead letters that have no place in Kafka, given as `_id` and bytes, before they are stored.

    The `_id` stands for the topic, at offset 0 of partition 0. In a transaction of its own; writing twice changes nothing.
    """
    seen = Observations()
    for letter_id, payload in letters:
        seen.note_unread(payload, Coordinate(letter_id, 0, 0))
    if seen:
        prepare(connection)
        with connection.transaction():
            seen.merge_into(connection)


def loaded_offsets(
    connection: psycopg.Connection[Any], topic_id: str, partition: int, offsets: list[int]
) -> set[int]:
    """Those of the offsets whose envelope was loaded. Never writes."""
    buckets = sorted({offset >> 6 for offset in offsets})
    found = dict(connection.execute(LOADED, (topic_id, partition, buckets)).fetchall())
    return {offset for offset in offsets if found.get(offset >> 6, 0) >> (offset & 63) & 1}
