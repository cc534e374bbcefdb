"""The records of an archive file: one JSON value each, with the lines that it stands on.

Archives come as one JSON value a line (then a broken line costs itself only) or as JSON documents spread over
many lines (a saved answer, an array of tweets), gzipped or not, from a file or from standard input. Either way
one record at a time is in memory, and none larger than `MAX_RECORD_BYTES`.
"""

import gzip
import io
import itertools
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

MAX_RECORD_BYTES = 50_000_000
KEPT_BYTES = 1_000_000
"""How much of a record beyond the maximum is kept for its dead letter."""

STANDARD_INPUT = "-"
BOM = b"\xef\xbb\xbf"


class Unimportable(ValueError):
    """A record, or one object of it, that cannot be imported; `reason` is a stable code, the text says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Record:
    """One JSON value of an archive, not yet decoded, and its lines (counted from 1, both included).

    `refused` is set where the reading already failed; then `body` may be only the beginning.
    """

    body: bytes
    from_line: int
    to_line: int
    refused: Unimportable | None = None


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """The bytes of a file ("-": standard input), unpacked when they are gzipped."""
    if file == STANDARD_INPUT:
        yield _unpacked(cast(io.BufferedReader, sys.stdin.buffer))
        return
    with Path(file).open("rb") as stream:
        yield _unpacked(stream)


def _unpacked(stream: io.BufferedReader) -> BinaryIO:
    if stream.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), buffer_size=1 << 18)
    return stream


def records(stream: BinaryIO, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[Record]:
    """All records of an archive, in order. Blank lines are none."""
    lines = (line for line in _lines(stream, max_bytes) if line.refused or line.body.strip())
    first, second = next(lines, None), next(lines, None)
    beginning = [line for line in (first, second) if line is not None]
    everything = itertools.chain(beginning, lines)
    if first and second and _begins_a_document(first.body.strip(), second.body.strip()):
        return _documents(everything, max_bytes)
    return everything


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[Record]:
    for number in itertools.count(1):
        try:
            line = stream.readline(max_bytes + 1)
            if not line:
                return
            if len(line) > max_bytes and not line.endswith(b"\n"):
                while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                    pass
                yield Record(line[:KEPT_BYTES], number, number, _too_large(max_bytes))
                continue
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            why = f"the compressed file is damaged or cut off here, the rest was not read: {error}"
            yield Record(b"", number, number, Unimportable("damaged_gzip", why))
            return
        yield Record(line.removeprefix(BOM) if number == 1 else line, number, number)


_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')


def _begins_a_document(first: bytes, second: bytes) -> bool:
    """Whether a JSON value goes on beyond the first line, rather than the first of many being cut off.

    Inside a JSON value a line ends after a bracket, comma or colon. One that was cut off there by accident is
    told by its neighbour, which is whole.
    """
    if _open_brackets(first) <= 0 or first[-1:] not in (b"[", b"{", b",", b":"):
        return False
    cut_off = first[:1] == b"{" and first[-1:] in (b",", b":")
    return not (cut_off and second[:1] == b"{" and second[-1:] == b"}" and _open_brackets(second) == 0)


def _open_brackets(line: bytes) -> int:
    marks = [token.group() for token in _TOKEN.finditer(line)]
    return sum((m in (b"{", b"[")) - (m in (b"}", b"]")) for m in marks)


def _documents(lines: Iterator[Record], max_bytes: int) -> Iterator[Record]:
    """The documents that follow each other in these lines; an array is taken apart into its elements.

    Cuts by brackets and strings only, so that an element with an odd value costs itself. JSON has no string
    with a line break in it, so no token goes over a line's end.
    """
    splitter = _Splitter(max_bytes)
    for line in lines:
        if line.refused:
            yield from splitter.spoil(line)
        else:
            yield from splitter.feed(line.body, line.from_line)
    yield from splitter.end()


class _Splitter:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._depth = 0  # brackets open
        self._base = 0  # 1 inside an array of records
        self._parts: list[bytes] = []
        self._size = 0
        self._from_line = 0
        self._line = 0

    @property
    def _is_inside(self) -> bool:
        return self._depth > self._base

    def feed(self, line: bytes, number: int) -> Iterator[Record]:
        self._line = number
        done = 0
        for token in _TOKEN.finditer(line):
            mark = token.group()
            if mark in (b"{", b"["):
                if not self._is_inside:
                    yield from self._strays(line[done : token.start()])
                    done = token.start()
                    if mark == b"[" and self._base == 0:
                        self._base = self._depth = 1
                        done = token.end()
                        continue
                    self._from_line = number
                self._depth += 1
            elif mark in (b"}", b"]"):
                was_inside = self._is_inside
                if not was_inside:
                    yield from self._strays(line[done : token.start()])
                    yield from () if self._base else self._strays(mark)
                    self._base = self._depth = 0
                    done = token.end()
                    continue
                self._depth -= 1
                if not self._is_inside:
                    yield self._take(line[done : token.end()])
                    done = token.end()
        if self._is_inside:
            self._keep(line[done:])
        else:
            yield from self._strays(line[done:])

    def spoil(self, line: Record) -> Iterator[Record]:
        """Take a line that could not be read: it spoils the record that it belongs to."""
        if self._is_inside and line.refused and line.refused.reason == "too_large":
            self._keep(line.body)
            self._size += self._max_bytes
        else:
            yield line

    def end(self) -> Iterator[Record]:
        if self._is_inside:
            why = Unimportable("truncated", "the JSON document ends too early")
            yield Record(b"".join(self._parts)[:KEPT_BYTES], self._from_line, self._line, why)

    def _keep(self, part: bytes) -> None:
        if self._size <= self._max_bytes:
            self._parts.append(part)
        self._size += len(part)

    def _take(self, part: bytes) -> Record:
        self._keep(part)
        body, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if size > self._max_bytes:
            too_large = _too_large(self._max_bytes)
            return Record(body[:KEPT_BYTES], self._from_line, self._line, too_large)
        return Record(body, self._from_line, self._line)

    def _strays(self, text: bytes) -> Iterator[Record]:
        if text := text.strip(b" \t\r\n,"):
            why = Unimportable("not_json", "stands between the records and is none")
            yield Record(text[:KEPT_BYTES], self._line, self._line, why)


def _too_large(max_bytes: int) -> Unimportable:
    return Unimportable("too_large", f"more than {max_bytes:,} bytes in one record")
