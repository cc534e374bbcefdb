"""The text of an archive as UTF-8, whatever Unicode encoding it was saved in: Windows tools write UTF-16."""

import codecs
from collections.abc import Iterator

from twitter_pipeline.archives.refusals import Unimportable

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True) * 2: "UTF-32",
    (True, True, True, False) * 2: "UTF-32",
    (False, True) * 4: "utf-16-le",
    (True, False) * 4: "utf-16-be",
}
"""Which of the first eight bytes are zero if a JSON text, which begins with ASCII, has no byte order mark."""


def as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8; a lone UTF-16 surrogate becomes its JSON escape.

    Raises Unimportable: encoding (UTF-32), truncated (UTF-16 with half a character at its end).
    """
    beginning = b""
    for chunk in chunks:
        beginning += chunk
        if len(beginning) >= 8:
            break
    encoding = _encoding(beginning)
    if encoding == "UTF-32":
        raise Unimportable(
            "encoding", "UTF-32: convert it (`iconv -f UTF-32 -t UTF-8 FILE`) and import the result"
        )
    if encoding is None:
        if beginning:
            yield beginning
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    yield decoder.decode(beginning).encode("utf-8", "backslashreplace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "backslashreplace")
    try:
        yield decoder.decode(b"", final=True).encode("utf-8", "backslashreplace")
    except UnicodeDecodeError:
        raise Unimportable("truncated", f"the file ends inside a character of {encoding.upper()}") from None


def _encoding(beginning: bytes) -> str | None:
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    return _ZEROS.get(tuple(byte == 0 for byte in beginning[:8]))
