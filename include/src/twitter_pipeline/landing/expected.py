"""Which offsets of a range can have a document: all except those known to have none."""

from collections.abc import Iterable, Iterator

import psycopg

KNOWN_WITHOUT_A_RECORD = """
select from_offset, to_offset, true from pipeline.gaps
where kind in ('offsets', 'raw') and topic_id = %(topic_id)s and partition = %(partition)s
    and from_offset < %(to)s and to_offset > %(from)s
union all
select from_offset, to_offset, false from pipeline.empty_ranges
where topic_id = %(topic_id)s and partition = %(partition)s and from_offset < %(to)s and to_offset > %(from)s
order by 1, 2
"""
LANDED_INTO_A_GAP = (
    10_000  # offsets: a landing that died before its cursor moved fills at most this much of a gap
)


def expected_offsets(
    connection: psycopg.Connection, topic_id: str, partition: int, start: int, end: int
) -> Iterator[tuple[int, bool]]:
    """The offsets of [start, end) that can have a document, in order, and whether each must be accounted for.

    Ranges without a record are skipped, however long they are. Of a gap only the beginning is returned, since a landing
    that died before its cursor moved may have filled it: these offsets need not be accounted for.
    """
    position = start
    bounds = {"topic_id": topic_id, "partition": partition, "from": start, "to": end}
    for known_from, known_to, is_gap in connection.execute(KNOWN_WITHOUT_A_RECORD, bounds).fetchall():
        yield from ((offset, True) for offset in range(position, known_from))
        position = max(position, known_from)
        if is_gap:
            filled_to = min(known_to, known_from + LANDED_INTO_A_GAP, end)
            yield from ((offset, False) for offset in range(position, filled_to))
        position = max(position, known_to)
    yield from ((offset, True) for offset in range(position, end))


def runs(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """Offsets as ranges (first, last + 1)."""
    found: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], offset + 1)
        else:
            found.append((offset, offset + 1))
    return found
