"""Finding the records of an archive, whatever it looks like, without ever holding more than one."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
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
    """One value per line, arrays, and documents over many lines all give the same records."""
    assert good(body) == [A, B]


def test_small_array_on_one_line() -> None:
    """A small array on one line is one record; its contents are examined later."""
    assert good(json.dumps([A, B]).encode()) == [[A, B]]


PRETTY = json.dumps(A, indent=1).encode()
ONE, TWO = json.dumps(A).encode(), json.dumps(B).encode()


@pytest.mark.parametrize(
    "body",
    [
        ONE + TWO,
        ONE + b", " + TWO + b",",
        ONE + b",\n" + TWO + b",\n",
        ONE + b"\t" + TWO,
        b"\x1e" + ONE + b"\n\x1e" + TWO + b"\n",
        b"\x1e" + ONE + b"\x1e" + TWO,
        b"\x1e" + PRETTY + b"\n\x1e" + TWO + b"\n",
        PRETTY + TWO,
        PRETTY + b",\n" + json.dumps(B, indent=1).encode() + b"\n",
        ONE + b"\n" + json.dumps(B, indent="\t").encode(),
        json.dumps(A, indent=0).encode() + b"\n" + json.dumps(B, indent=0).encode(),
        PRETTY.replace(b",\n", b"\n,") + b"\n" + TWO,
        lines(A, B).replace(b"\n", b"\r"),
        PRETTY.replace(b"\n", b"\r") + b"\r" + TWO,
        b"[" + ONE + b"]\n[" + TWO + b"]",
        b"[" + ONE + b"][\n" + TWO + b"\n]",
        b"\xef\xbb\xbf" + ONE + b"\r\n\xef\xbb\xbf" + TWO,
        b"\xef\xbb\xbf" + ONE + b"\xef\xbb\xbf" + TWO + b"\xef\xbb\xbf",
        ONE + b"\0\0\0\n" + b"\0" * 5000 + TWO + b"\0" * 5000,
        b"\0" * 9 + ONE + b"\n" + TWO,
        b"\n\n" + ONE + b"\n\n\n" + TWO,
    ],
    ids=[
        "concatenated",
        "commas",
        "commas at line ends",
        "tab between",
        "RFC 7464",
        "record separators on one line",
        "RFC 7464, pretty",
        "pretty, then on its last line",
        "pretty with commas",
        "line, then pretty",
        "pretty without indentation",
        "commas first",
        "carriage returns",
        "pretty by carriage returns",
        "arrays by line",
        "arrays one after the other",
        "byte order marks at lines",
        "byte order marks between",
        "padded with NULs",
        "NULs before",
        "blank lines before",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pieces", [10_000_000, 7], ids=["in one", "in pieces"])
def test_forms(body: bytes, encoding: str, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any separator between two values, in any encoding, gives the same records and no refusals."""
    if encoding != "utf-8" and body.startswith(b"\0"):
        pytest.skip("NULs in front of UTF-16 look like UTF-32")
    if encoding != "utf-8":
        body = body.decode().encode(encoding)
    monkeypatch.setattr("twitter_pipeline.archives.reading.PIECE_BYTES", pieces)
    monkeypatch.setattr("twitter_pipeline.archives.unpacking.CHUNK", min(pieces, 262_144))
    found = read(body)
    assert [record.refused for record in found] == [None] * len(found)
    values = [json.loads(record.body) for record in found]
    assert [one for value in values for one in (value if isinstance(value, list) else [value])] == [A, B]


def test_lines_are_counted_in_each_form() -> None:
    """A record knows its first and last line, whether they end in LF, CRLF or CR."""
    for end in (b"\n", b"\r\n", b"\r"):
        body = end.join([ONE, b"", *PRETTY.split(b"\n"), TWO])
        assert [(r.from_line, r.to_line) for r in read(body)] == [(1, 1), (3, 6), (7, 7)]


def test_surrogates_of_utf_16() -> None:
    """A lone surrogate in UTF-16 becomes its JSON escape; half a character at the end is refused."""
    text = '{"text": "half \ud83d and whole \U0001f600"}\n'
    [record] = read(b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass"))
    assert json.loads(record.body)["text"] == "half \ud83d and whole \U0001f600"
    *_, last = read(b"\xff\xfe" + ONE.decode().encode("utf-16-le") + b"{")
    assert last.refused is not None
    assert last.refused.reason == "truncated"


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_utf_32_is_refused_by_name(encoding: str) -> None:
    """One refusal for the file, with the command that converts it."""
    [record] = read(lines(A, B).decode().encode(encoding))
    assert record.refused is not None
    assert record.refused.reason == "encoding"
    assert "iconv -f UTF-32" in str(record.refused)


@pytest.mark.parametrize(
    "array",
    [
        lambda item, count: b"[" + b", ".join([item] * count) + b"]",
        lambda item, count: b"[" + item + b"," + b", ".join([item] * (count - 1)) + b"]\n[]",
        lambda item, count: item * count,
    ],
    ids=["array", "array and more", "concatenated"],
)
def test_a_long_line_is_read_in_bounded_memory(array: Any) -> None:
    """An array on one line of many times the largest record is read element by element."""
    item = json.dumps({"id": "1", "text": "x" * 2000, "more": [{"a": "[{"}] * 20}).encode()
    body = io.BytesIO(array(item, 4_000))
    tracemalloc.start()
    try:
        count = sum(
            record.refused is None and record.body == item for record in records(body, max_bytes=100_000)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 4_000
    assert len(body.getvalue()) > 9_000_000
    assert peak < 5_000_000


def test_string_without_end() -> None:
    """A string larger than the maximum record costs its line; the next line is read."""
    body = ONE + b'\n{"id": "1", "text": "' + b"x" * 5_000_000 + b"\n" + TWO
    found = list(records(io.BytesIO(body), max_bytes=1_500_000))
    assert [(r.from_line, r.refused and r.refused.reason) for r in found] == [
        (1, None),
        (2, "too_large"),
        (3, None),
    ]


def test_brackets_without_end() -> None:
    """A line of nothing but opening brackets affects only itself, whatever its length."""
    for hostile in (b"[" * 30_000, b'{"a":' * 30_000):
        found = read(ONE + b"\n" + hostile + b"\n" + TWO)
        assert [r.refused and r.refused.reason for r in found] == [None, "nesting", None]
        assert json.loads(found[-1].body) == B


def test_what_follows_a_killed_writer() -> None:
    """A truncated value is refused once; what begins after it is read, indented or not."""
    for cut in (
        PRETTY[:20],
        json.dumps([A, B], indent=1).encode()[:60],
        b'{"data": [\n',
        b'{"id": 16',
        b'{"a": {"b":',
    ):
        for after in (
            lines(A, B),
            PRETTY + b"\n" + TWO,
            b"\xef\xbb\xbf" + ONE + b"\n" + TWO,
            b"\x1e" + ONE + b"\n" + TWO,
        ):
            found = read(ONE + b"\n" + cut.rstrip(b"\n") + b"\n" + after)
            values = [json.loads(r.body) for r in found if r.refused is None]
            assert [v for v in values if v in (A, B)][-2:] == [A, B], (cut, after)
            assert len([r for r in found if r.refused]) == 1, (cut, after)


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b'window.YTD.tweets.part0 = [\n  {"tweet": {"id_str": "1"}}\n]', "vocabulary", "window.YTD"),
        (b'window.YTD.tweet.part12=[{"tweet":{}}]', "vocabulary", "owner"),
        (b"id,created_at,author_id,author_username,author_name,text\r\n1,,,,,x\r\n", "own_export", "CSV"),
        (b"PK\x03\x04" + b"\0" * 100, "container", "unzip"),
        (b"PAR1" + b"\0" * 100, "container", "Parquet"),
        (b"SQLite format 3\0" + b"\0" * 100, "container", "SQLite"),
        (b"\x04\x22\x4d\x18" + b"\0" * 100, "container", "lz4 -d"),
        (b"Rar!\x1a\x07\x01\0" + b"\0" * 100, "container", "unrar"),
    ],
)
def test_files_that_are_known_by_their_beginning(body: bytes, reason: str, says: str) -> None:
    """A file of another kind is refused once, by name, with advice."""
    for packed in (body, gzip.compress(body)):
        [record] = read(packed)
        assert record.refused is not None
        assert record.refused.reason == reason
        assert says in str(record.refused)


def test_tar() -> None:
    """A tar archive is refused by name, compressed or not."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("tweets.jsonl")
        member.size = len(ONE)
        archive.addfile(member, io.BytesIO(ONE))
    for packed in (tar.getvalue(), gzip.compress(tar.getvalue()), lzma.compress(tar.getvalue())):
        [record] = read(packed)
        assert record.refused is not None
        assert "tar -xf" in str(record.refused)


def test_pretty_page_is_one_record() -> None:
    """An answer from X saved with indentation is one record that knows its lines."""
    page = {"data": [A, B], "meta": {"result_count": 2}}
    body = b"\n" + json.dumps(page, indent=2).encode()
    [record] = read(body)
    assert json.loads(record.body) == page
    assert (record.from_line, record.to_line) == (2, 1 + len(json.dumps(page, indent=2).splitlines()))


@pytest.mark.parametrize(
    "broken", [b'{"id": "1', b"<html>", b'{"data":[{"id":"1","text":"x"},', b"}", b'{"id": "1",', b'"']
)
def test_broken_line_costs_itself(broken: bytes) -> None:
    """A truncated line, or one that is not JSON at all, does not affect the lines around it, even at the beginning."""
    for body in (broken + b"\n" + lines(A, B), lines(A) + broken + b"\n" + lines(B)):
        assert [r.body.strip() for r in read(body) if r.body.strip() != broken] == lines(A, B).splitlines()


def test_document_that_ends_early() -> None:
    """In a truncated document, the elements before the cut are read and the rest is refused."""
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
    """A record over the maximum is refused, and the next one is read."""
    large = {"id": "1", "text": "x" * 3000, "more": ["y" * 50] * 40}
    body = lines(large, A) if indent is None else json.dumps([large, A], indent=indent).encode()
    refused, after = read(body, max_bytes=2000)
    assert refused.refused is not None
    assert refused.refused.reason == "too_large"
    assert json.loads(after.body) == A


class Endless(io.RawIOBase):
    """Two hundred megabytes without a line break, then a tweet; records how much is read at once."""

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
    """A line of any length is skipped in small pieces; only its beginning is kept."""
    source = Endless()
    [record] = list(records(io.BufferedReader(source), max_bytes=1_000_000))
    assert record.refused is not None
    assert len(record.body) <= 1_000_000
    assert source.largest <= 4_000_000


def zstandard(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstandard": zstandard,
}
TWEETS = lines(*[{"id": str(n), "text": f"{n * 7919 % 104729:05} " * 8} for n in range(1, 9000)])


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressions_are_known_by_content(name: str, tmp_path: Path) -> None:
    """The name of a file does not matter, nor how many compressed parts it has, nor how often it is packed."""
    compress = COMPRESSIONS[name]
    half = TWEETS.index(b"\n", len(TWEETS) // 2) + 1
    for packed in (
        compress(TWEETS),
        compress(TWEETS[:half]) + compress(TWEETS[half:]),
        compress(TWEETS[: half + 9]) + compress(b"") + compress(TWEETS[half + 9 :]),
        gzip.compress(compress(TWEETS)),
    ):
        file = tmp_path / "tweets.txt"
        file.write_bytes(packed)
        with opened(str(file)) as stream:
            found = list(records(stream))
        assert b"".join(r.body for r in found) == TWEETS
    assert read(compress(b"")) == []


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_what_comes_before_a_damage_is_read(name: str) -> None:
    """If a compressed file is truncated or overwritten, all that could be unpacked is read, followed by one refusal."""
    packed = COMPRESSIONS[name](TWEETS)
    middle = len(packed) // 2
    whole = set(TWEETS.splitlines())
    for damaged in (
        packed[:-9],
        packed[: middle * 5 // 3],
        packed[:middle] + b"\xaa" * 400 + packed[middle + 400 :],
    ):
        *before, last = read(damaged)
        assert last.refused is not None
        assert last.refused.reason == f"damaged_{name}"
        if len(damaged) < len(packed):
            assert last.from_line == len(before) + 1
            assert [r.refused for r in before] == [None] * len(before)
        if damaged == packed[:-9]:
            assert len(before) > (5000 if name == "zstandard" else 8900)  # which gives out whole blocks
        assert sum(r.body.strip() in whole for r in before) >= len(before) - 60


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_what_follows_the_compressed_data(name: str) -> None:
    """NULs after the end are padding; anything else is refused, and everything before it is read."""
    packed = COMPRESSIONS[name](TWEETS)
    if name != "zstandard":
        assert b"".join(r.body for r in read(packed + b"\0" * 1024)) == TWEETS
    *before, last = read(packed + b"and a signature")
    assert b"".join(r.body for r in before) == TWEETS
    assert last.refused is not None
    assert last.refused.reason == f"damaged_{name}"


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_hardly_anything_of_a_compressed_file(name: str) -> None:
    """A file that ends within its header is damaged and not empty."""
    for size in (12, 20):
        [record] = read(COMPRESSIONS[name](TWEETS)[:size])
        assert record.refused is not None
        assert record.refused.reason == f"damaged_{name}"


def test_damage_in_a_pretty_document() -> None:
    """A multi-line document cut off by damage is one refusal, after everything that is complete."""
    packed = gzip.compress(lines(A) + json.dumps({"data": [B] * 4000}, indent=1).encode())
    first, last = read(packed[:-20])
    assert json.loads(first.body) == A
    assert last.refused is not None
    assert (last.refused.reason, last.from_line) == ("damaged_gzip", 2)


def test_unpacking_is_bounded() -> None:
    """Megabytes of NULs and of one line, packed into a few kilobytes, are skipped with little memory."""
    packed = gzip.compress(gzip.compress(b"\0" * 30_000_000) + gzip.compress(b"x" * 20_000_000))
    tracemalloc.start()
    try:
        [record] = records(io.BytesIO(packed), max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert record.refused is not None
    assert peak < 8_000_000


def test_empty() -> None:
    """An empty file holds no records."""
    assert read(b"") == read(b"\n \n") == []
