"""The records of an archive file: one JSON value each, with the lines it is on.

JSON values may be one per line, span many lines, or share a line; they may be separated by commas, record separators
(RFC 7464), byte order marks or NULs, and may or may not be in an array. They are found by brackets and strings, so that a
broken one does not affect others. No JSON string extends past the end of a line. Only one record at a time is in memory,
none larger than `MAX_RECORD_BYTES`; an array is split into its elements, so it may be of any size.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec

from twitter_pipeline.archives.encodings import as_utf8
from twitter_pipeline.archives.formats.vocabularies import refuse_by_first_line
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.archives.unpacking import unpacked

MAX_RECORD_BYTES = 50_000_000
KEPT_BYTES = 1_000_000
"""How much of a record beyond the maximum is kept for its dead letter."""
PIECE_BYTES = 1_000_000
"""Longer lines are read in pieces."""
MAX_DEPTH = 10_000

STANDARD_INPUT = "-"
BOM = b"\xef\xbb\xbf"
RECORD_SEPARATOR = b"\x1e"


@dataclass(frozen=True)
class Record:
    """One JSON value of an archive, not yet decoded, and its lines (counted from 1, both inclusive).

    `refused` is set if reading already failed; `body` may then be only the beginning.
    """

    body: bytes
    from_line: int
    to_line: int
    refused: Unimportable | None = None


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """The unchanged bytes of a file ("-": standard input)."""
    if file == STANDARD_INPUT:
        yield cast(BinaryIO, sys.stdin.buffer)
        return
    with Path(file).open("rb") as stream:
        yield stream


def records(stream: BinaryIO, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[Record]:
    """All records of an archive, in order, unpacked and as UTF-8. Raises OSError if the file cannot be read.

    If a file is damaged, or does not consist of records, the last record is refused and says so.
    """
    splitter = _Splitter(max_bytes)
    try:
        for piece in _pieces(as_utf8(unpacked(stream))):
            yield from splitter.feed(piece)
    except Unimportable as why:
        yield from splitter.end(why)
    else:
        yield from splitter.end()


class _Piece(NamedTuple):
    """A line with its line ending, or part of a long line; `is_cut_off` if the file is damaged after it."""

    text: bytes
    line: int
    begins_line: bool = True
    ends_line: bool = True
    is_cut_off: bool = False


def _pieces(chunks: Iterator[bytes]) -> Iterator[_Piece]:
    rest, line, begins = b"", 1, True
    try:
        for chunk in chunks:
            data = rest + chunk
            # the line feed that belongs to a carriage return may be the first byte of the next chunk
            pending = b"\r" if data.endswith(b"\r") else b""
            lines = data[: len(data) - len(pending)].splitlines(keepends=True)
            rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
            for text in lines:
                yield _Piece(text, line, begins)
                line, begins = line + 1, True
            if len(rest) > PIECE_BYTES:
                yield _Piece(rest, line, begins, ends_line=False)
                rest, begins = b"", False
            rest += pending
    except Unimportable:
        yield _Piece(rest, line, begins, is_cut_off=True)
        raise
    if rest or not begins:
        yield _Piece(rest, line, begins)


_TO_A_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}]?)', re.DOTALL)
"""Everything up to the next bracket outside a string; if there is none, up to the end or an unterminated string."""
_WHITE = b" \t\r\n"
_BETWEEN = _WHITE + b",\0" + RECORD_SEPARATOR
_validate = msgspec.json.Decoder(msgspec.Raw).decode


def _bare(text: bytes) -> bytes:
    """The text without what may separate two records."""
    text = text.strip(_BETWEEN)
    while text.startswith(BOM):
        text = text.removeprefix(BOM).lstrip(_BETWEEN)
    return text


def _is_whole(text: bytes) -> bool:
    try:
        _validate(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


class _Part(NamedTuple):
    text: bytes
    line: int
    is_line: bool


class _Splitter:
    """Splits pieces into records.

    Between records, a line that is one JSON value is a record as it is. Elsewhere brackets are counted. A record that
    never ends, because its writer was killed, is recognised by what follows: it is given up when a line begins a new
    value that JSON does not allow there, or at the end of the file; complete lines in it then become records.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._array: int | None = None  # the line on which a still open array of records began
        self._was_array = False  # there was an array, which may or may not end
        self._open = bytearray()  # the open brackets of the record
        self._parts: list[_Part] = []
        self._size = 0
        self._last = b""  # its last byte that is not white space
        self._from_line = self._line = 1
        self._unfinished = b""  # a string that continues in the next piece
        self._stray = bytearray()  # text on this line that is not part of a record
        self._stray_size = 0
        self._has_records = False  # on this line
        self._passes_over = False  # the rest of this line

    def feed(self, piece: _Piece) -> Iterator[Record]:
        """The records that end in this piece. Raises Unimportable if the file should not be read further."""
        self._line = piece.line
        if piece.begins_line:
            self._has_records = self._passes_over = False
            if self._open and self._begins_anew(piece.text):
                yield from self._give_up()
            if not self._open:
                bare = _bare(piece.text)
                if not bare:
                    return
                if bare[:1] not in (b"{", b"["):
                    refuse_by_first_line(bare)
                elif piece.ends_line and len(bare) <= self._max_bytes and _is_whole(bare):
                    is_as_it_was = len(bare) == len(piece.text.strip())
                    yield Record(piece.text if is_as_it_was else bare, piece.line, piece.line)
                    return
        if piece.is_cut_off:
            self._keep(piece.text, piece)
            return
        if not self._passes_over:
            text, self._unfinished = self._unfinished + piece.text, b""
            first, *others = text.split(RECORD_SEPARATOR)
            yield from self._scan(first, piece, is_last=not others)
            for number, other in enumerate(others, start=1):
                if self._open:
                    yield from self._give_up()
                yield from self._scan(other, piece, is_last=number == len(others))
        if piece.ends_line:
            yield from self._set_aside_strays()

    def end(self, why: Unimportable | None = None) -> Iterator[Record]:
        """The remaining records at the end of the file; `why`: what is wrong with the rest of it."""
        yield from self._set_aside_strays()
        if self._open or self._parts:
            yield from self._give_up(why)
        elif why is not None or self._array is not None:
            why = why or Unimportable("truncated", "the file ends before its array of records does")
            yield Record(b"", self._line, self._line, why)

    def _begins_anew(self, line: bytes) -> bool:
        if line.startswith(BOM):
            return True
        if line[:1] not in (b"{", b"["):
            return False
        may_follow = self._last == b":" if self._open.endswith(b"{") else self._last in (b"[", b",")
        return not may_follow

    def _scan(self, text: bytes, piece: _Piece, *, is_last: bool) -> Iterator[Record]:
        begins = position = 0  # of the record, or of what is between two records
        while bracket := (found := cast(re.Match[bytes], _TO_A_BRACKET.match(text, position)))[1]:
            position = found.end()
            if bracket in (b"{", b"["):
                if not self._open:
                    yield from self._between(text[begins : position - 1])
                    begins = position - 1
                    self._has_records = True
                    if bracket == b"[" and self._array is None:
                        self._array, begins = piece.line, position
                        continue
                    self._from_line = piece.line
                self._open += bracket
                if len(self._open) > MAX_DEPTH:
                    self._keep(text[begins:position], piece)
                    nesting = Unimportable("nesting", f"more than {MAX_DEPTH:,} nested brackets")
                    yield self._refused_with_its_line(nesting)
                    return
            elif self._open:
                self._open.pop()
                if not self._open:
                    self._keep(text[begins:position], piece)
                    yield self._record()
                    begins = position
            else:
                yield from self._between(text[begins : position - 1])
                begins = position
                if bracket == b"]" and (self._array is not None or self._was_array):
                    self._array, self._was_array = None, False
                else:
                    yield from self._between(bracket)
        unfinished = found.end()
        if unfinished < len(text) and is_last and not piece.ends_line:
            self._unfinished, text = text[unfinished:], text[:unfinished]
        if self._open:
            self._keep(text[begins:], piece)
        else:
            yield from self._between(text[begins:])
        if len(self._unfinished) > self._max_bytes:
            self._from_line = self._from_line if self._open else piece.line
            self._keep(self._unfinished, piece)
            self._unfinished = b""
            yield self._refused_with_its_line(_too_large(self._max_bytes))
        elif unfinished < len(text) and self._open and self._from_line == piece.line:
            # a string that does not end on its line: the line was cut off and is not the first of many
            yield self._record()

    def _refused_with_its_line(self, why: Unimportable) -> Record:
        """What was kept so far, as a refusal; skips the rest of its line."""
        body = b"".join(part.text for part in self._parts)[:KEPT_BYTES]
        self._forget()
        self._passes_over = True
        if self._array == self._line:
            self._array = None  # its end is on this line too, if anywhere
        return Record(body, self._from_line, self._line, why)

    def _keep(self, text: bytes, piece: _Piece) -> None:
        if self._size <= self._max_bytes:
            is_line = piece.begins_line and piece.ends_line and text == piece.text
            self._parts.append(_Part(text, piece.line, is_line))
        self._size += len(text)
        self._last = text.rstrip(_WHITE)[-1:] or self._last

    def _record(self) -> Record:
        body, size = b"".join(part.text for part in self._parts), self._size
        self._forget()
        if size > self._max_bytes:
            return Record(body[:KEPT_BYTES], self._from_line, self._line, _too_large(self._max_bytes))
        return Record(body, self._from_line, self._line)

    def _give_up(self, why: Unimportable | None = None) -> Iterator[Record]:
        """Refuse a record that does not end, except for lines in it that are records themselves."""
        first, *others = self._parts
        # it is no longer known whether the array continues
        self._was_array, self._array = self._was_array or self._array is not None, None
        self._forget()
        refused = [first]
        whole: list[_Part] = []
        for part in others:
            is_record = part.is_line and part.text[:1] == b"{" and _is_whole(part.text)
            (whole if is_record else refused).append(part)
        body = b"".join(part.text for part in refused)[:KEPT_BYTES]
        yield Record(
            body,
            first.line,
            refused[-1].line,
            why or Unimportable("truncated", "incomplete JSON: it ends too early"),
        )
        for part in whole:
            yield Record(part.text, part.line, part.line)

    def _forget(self) -> None:
        self._open.clear()
        self._parts, self._size, self._last = [], 0, b""

    def _between(self, text: bytes) -> Iterator[Record]:
        if text := _bare(text):
            if len(self._stray) < KEPT_BYTES:
                self._stray += text[:KEPT_BYTES]
            self._stray_size += len(text)
        if self._has_records:
            yield from self._set_aside_strays()

    def _set_aside_strays(self) -> Iterator[Record]:
        if not self._stray:
            return
        body, size = bytes(self._stray[:KEPT_BYTES]), self._stray_size
        self._stray.clear()
        self._stray_size = 0
        if size > self._max_bytes:
            yield Record(body, self._line, self._line, _too_large(self._max_bytes))
        elif self._has_records or self._array is not None or size > KEPT_BYTES:
            why = Unimportable("not_json", "text between the records that is not JSON")
            yield Record(body, self._line, self._line, why)
        else:
            yield Record(body, self._line, self._line)


def _too_large(max_bytes: int) -> Unimportable:
    return Unimportable("too_large", f"more than {max_bytes:,} bytes in one record")
