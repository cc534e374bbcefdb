"""Unpacks archives: gzip, bzip2, xz and Zstandard, also nested, recognised by their content.

If a file is damaged, everything before the damage is returned first; then Unimportable says where and why. Memory use
does not grow with the file.
"""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from twitter_pipeline.archives.refusals import Unimportable

CHUNK = 256 * 1024
OUTPUT = 64 * 1024
"""How many bytes are unpacked at once."""
SMALL_OUTPUT = 2 * 1024
"""The same if an error discards what was unpacked: at most this much before the damage is lost."""
LAYERS = 3
"""A gzipped file inside a gzipped file is a mistake; more layers than this are a decompression bomb."""


class _Source:
    """Chunks that can be peeked at and put back. An error is raised once everything before it has been read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._kept = chunks, b""
        self._error: Unimportable | None = None

    def read(self) -> bytes:
        """The next chunk; empty only at the end."""
        if kept := self._kept:
            self._kept = b""
            return kept
        if self._error is not None:
            raise self._error
        return next((chunk for chunk in self._chunks if chunk), b"")

    def put_back(self, data: bytes) -> None:
        self._kept = data + self._kept

    def peek(self, size: int) -> bytes:
        try:
            while (
                self._error is None
                and len(self._kept) < size
                and (chunk := next(self._chunks, None)) is not None
            ):
                self._kept += chunk
        except Unimportable as error:
            self._error = error
        return self._kept[:size]


class _Format(NamedTuple):
    name: str
    reason: str
    begins: re.Pattern[bytes]
    unpack: "Callable[[_Format, _Source], Iterator[bytes]]"

    def damaged(self, what: str) -> Unimportable:
        return Unimportable(self.reason, f"{self.name}: {what}; everything before it was read")


def unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """The contents of a file in chunks, without its compression.

    Raises Unimportable: container (before anything else) for a file that holds other files or a table; damaged_gzip,
    damaged_bzip2, damaged_xz, damaged_zstandard (after everything that could be unpacked).
    """
    source = _Source(iter(lambda: stream.read(CHUNK), b""))
    for _ in range(LAYERS):
        beginning = source.peek(512)
        _refuse_container(beginning)
        packed = next((form for form in _FORMATS if form.begins.match(beginning)), None)
        if packed is None:
            yield from iter(source.read, b"")
            return
        source = _Source(packed.unpack(packed, source))
    _refuse_container(source.peek(512))
    if any(form.begins.match(source.peek(512)) for form in _FORMATS):
        raise Unimportable("container", f"compressed more than {LAYERS} times; unpack it first")
    yield from iter(source.read, b"")


def _refuse_container(beginning: bytes) -> None:
    for magic, what in _CONTAINERS.items():
        if beginning.startswith(magic):
            raise Unimportable("container", what)
    if beginning[257:262] == b"ustar":
        raise Unimportable(
            "container", "a tar archive: unpack it (`tar -xf FILE`) and import the files inside"
        )


def _members(make: Callable[[], Any]) -> Callable[[_Format, _Source], Iterator[bytes]]:
    """A reader for a format with consecutive members, perhaps followed by NULs."""

    def unpack(form: _Format, source: _Source) -> Iterator[bytes]:
        while True:
            yield from _member(make(), form, source)
            while (rest := source.read()) and not (rest := rest.lstrip(b"\0")):
                pass
            if not rest:
                return
            source.put_back(rest)
            if not form.begins.match(source.peek(16)):
                raise form.damaged("the compressed data ends here, and something else follows")

    return unpack


def _member(unpacker: Any, form: _Format, source: _Source) -> Iterator[bytes]:
    can_go_back = hasattr(unpacker, "copy")
    size = OUTPUT if can_go_back else SMALL_OUTPUT
    while not unpacker.eof:
        if not (data := source.read()):
            raise form.damaged("the compressed file is cut off here")
        while True:
            before = unpacker.copy() if can_go_back else None
            try:
                out = unpacker.decompress(data, size)
            except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
                if before is not None:
                    yield _up_to_the_error(before, data)
                raise form.damaged(f"the compressed file is damaged here ({error})") from None
            yield out
            # zlib returns what it has not processed yet, the others keep it
            data = getattr(unpacker, "unconsumed_tail", b"")
            if unpacker.eof or (not data and len(out) < size):
                break
    source.put_back(unpacker.unused_data)


def _up_to_the_error(unpacker: Any, data: bytes) -> bytes:
    out = bytearray()
    try:
        while byte := unpacker.decompress(data, 1):
            out += byte
            data = unpacker.unconsumed_tail
    except zlib.error:
        pass
    return bytes(out)


class _AsFile(io.RawIOBase):
    def __init__(self, source: _Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read()
        taken, rest = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(taken)] = taken
        self._source.put_back(rest)
        return len(taken)


def _zstandard(form: _Format, source: _Source) -> Iterator[bytes]:
    import pyarrow as pa  # slow to import, so only for these files

    with pa.CompressedInputStream(pa.PythonFile(_AsFile(source), "r"), "zstd") as stream:
        while True:
            buffer = bytearray(OUTPUT)
            try:
                size = stream.readinto(buffer)
            except OSError as error:
                # the buffer holds what was unpacked before the error, followed by NULs
                yield bytes(buffer.rstrip(b"\0"))
                what = "cut off here" if "runcated" in str(error) else f"damaged here ({error})"
                raise form.damaged(f"the compressed file is {what}") from None
            if not size:
                return
            yield bytes(buffer[:size])


_FORMATS = (
    _Format("gzip", "damaged_gzip", re.compile(rb"\x1f\x8b"), _members(lambda: zlib.decompressobj(wbits=31))),
    _Format(
        "bzip2",
        "damaged_bzip2",
        re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90|$)"),
        _members(bz2.BZ2Decompressor),
    ),
    _Format(
        "xz",
        "damaged_xz",
        re.compile(rb"\xfd7zXZ\0|\x5d\0\0..\xff?", re.DOTALL),
        _members(lzma.LZMADecompressor),
    ),
    _Format(
        "Zstandard",
        "damaged_zstandard",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        _zstandard,
    ),
)
_CONTAINERS = {
    b"PK\x03\x04": "a zip archive: unpack it (`unzip FILE`) and import the files inside",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive: unpack it (`7z x FILE`) and import the files inside",
    b"Rar!\x1a\x07": "a RAR archive: unpack it (`unrar x FILE`) and import the files inside",
    b"\x04\x22\x4d\x18": "compressed with LZ4: unpack it (`lz4 -d FILE`) and import the result",
    b"\x1f\x9d": "compressed with compress: unpack it (`uncompress FILE`) and import the result",
    b"PAR1": "a Parquet file, a table such as this pipeline exports; import the JSON that X returned",
    b"SQLite format 3\0": "an SQLite database; import the JSON that X returned",
    b"%PDF-": "a PDF document",
}
