"""Finding the records of an archive, whatever it looks like, without ever holding more than one."""

import gzip
import io
import json
from pathlib import Path
from typing import BinaryIO

import pytest

from twitter_pipeline.archives.reading import MAX_RECORD_BYTES, Record, opened, records

A = {"id": "11", "text": 'one { [ " \\ tricky'}
B = {"id": "12", "text": "two"}


def read(body: bytes, max_bytes: int = MAX_RECORD_BYTES) -> list[Record]:
    return list(records(io.BytesIO(body), max_bytes))


def good(body: bytes) -> list[object]:
    return [json.loads(r.body) for r in read(body) if r.refused is None]


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


@pytest.mark.parametrize(
    "body",
    [
        lines(A, B),
        lines(A, B).replace(b"\n", b"\r\n\r\n"),
        lines(A, B).rstrip(b"\n"),
        b"\xef\xbb\xbf" + lines(A, B),
        json.dumps([A, B], indent=2).encode(),
        json.dumps([A, B], indent="\t").encode() + b"\n",
        b"[\n" + json.dumps(A).encode() + b",\n" + json.dumps(B).encode() + b"\n]\n",
        json.dumps(A, indent=1).encode() + b"\n" + json.dumps(B, indent=1).encode(),
        b"[" + json.dumps(A).encode() + b",\n" + json.dumps(B).encode() + b"]",
    ],
    ids=[
        "lines",
        "crlf and blank lines",
        "no last newline",
        "bom",
        "pretty array",
        "tabs",
        "array by line",
        "documents",
        "array over lines",
    ],
)
def test_shapes(body: bytes) -> None:
    """One value a line, arrays and documents over many lines all give the same records."""
    assert good(body) == [A, B]


def test_array_on_one_line() -> None:
    """An array on one line is one record; what is in it is looked at later."""
    assert good(json.dumps([A, B]).encode()) == [[A, B]]


def test_pretty_page_is_one_record() -> None:
    """An answer of X saved with indentation is one record that knows its lines."""
    page = {"data": [A, B], "meta": {"result_count": 2}}
    body = b"\n" + json.dumps(page, indent=2).encode()
    [record] = read(body)
    assert json.loads(record.body) == page
    assert (record.from_line, record.to_line) == (2, 1 + len(json.dumps(page, indent=2).splitlines()))


@pytest.mark.parametrize(
    "broken", [b'{"id": "1', b"<html>", b'{"data":[{"id":"1","text":"x"},', b"}", b'{"id": "1",', b'"']
)
def test_broken_line_costs_itself(broken: bytes) -> None:
    """A line that was cut off, or is no JSON at all, leaves the lines around it whole, at the beginning too."""
    for body in (broken + b"\n" + lines(A, B), lines(A) + broken + b"\n" + lines(B)):
        assert [r.body.strip() for r in read(body) if r.body.strip() != broken] == lines(A, B).splitlines()


def test_document_that_ends_early() -> None:
    """Of a document that was cut off, the elements before the cut are read and the rest is refused."""
    body = json.dumps([A, B, A], indent=2).encode()[:-30]
    found = read(body)
    assert [json.loads(r.body) for r in found[:2]] == [A, B]
    assert [r.refused.reason for r in found[2:] if r.refused] == ["truncated"]


def test_strays_in_a_document() -> None:
    """Something between the elements of an array is refused with its line; the elements are read."""
    found = read(b'[\n{"a": 1},\n17,\n{"b": 2}\n]\n')
    assert [(r.from_line, r.refused and r.refused.reason) for r in found] == [
        (2, None),
        (3, "not_json"),
        (4, None),
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_record_beyond_the_maximum(indent: int | None) -> None:
    """A record over the maximum is refused, and the one behind it is read."""
    large = {"id": "1", "text": "x" * 3000, "more": ["y" * 50] * 40}
    body = lines(large, A) if indent is None else json.dumps([large, A], indent=indent).encode()
    refused, after = read(body, max_bytes=2000)
    assert refused.refused is not None
    assert refused.refused.reason == "too_large"
    assert json.loads(after.body) == A


class Endless(io.RawIOBase):
    """Two hundred megabytes without a line break, then a tweet; counts what was asked for at once."""

    def __init__(self) -> None:
        self.left, self.largest = 200_000_000, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        size = min(len(buffer), self.left)
        self.largest = max(self.largest, len(buffer))
        if self.left == 0:
            return 0
        self.left -= size
        buffer[:size] = b"x" * size
        return size


def test_endless_line_is_not_kept() -> None:
    """A line of any length is passed over in small pieces; only its beginning is kept."""
    source = Endless()
    [record] = list(records(io.BufferedReader(source), max_bytes=1_000_000))
    assert record.refused is not None
    assert len(record.body) <= 1_000_000
    assert source.largest <= 4_000_000


def test_gzip_and_cut_off_gzip(tmp_path: Path) -> None:
    """A gzipped file is known by its content, not its name; where it is cut off, what came before is read."""
    body = lines(*[{"id": str(n), "text": "z" * 50} for n in range(1, 5000)])
    whole, cut = tmp_path / "tweets.jsonl", tmp_path / "cut.jsonl.gz"
    whole.write_bytes(gzip.compress(body))
    cut.write_bytes(gzip.compress(body)[:-4000])

    def of(file: Path) -> list[Record]:
        stream: BinaryIO
        with opened(str(file)) as stream:
            return list(records(stream))

    assert b"".join(r.body for r in of(whole)) == body
    *before, last = of(cut)
    assert body.startswith(b"".join(r.body for r in before))
    assert len(before) > 100
    assert last.refused is not None
    assert last.refused.reason == "damaged_gzip"
    assert last.from_line == len(before) + 1


def test_empty() -> None:
    """Nothing holds nothing."""
    assert read(b"") == read(b"\n \n") == []
