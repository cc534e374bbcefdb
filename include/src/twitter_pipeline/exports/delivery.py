"""Delivers an export into a folder: data under a temporary name, renamed when complete, and a manifest last.

A folder is any pathlib-like object: a local path, or a path in an object store (fsspec, Airflow's ObjectStoragePath).
Once the manifest is there, the data is complete; it states the data's size and checksum.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

import psycopg

from twitter_pipeline.exports.destination import Refused, written
from twitter_pipeline.exports.formats import Format
from twitter_pipeline.exports.rows import COLUMNS, Progress
from twitter_pipeline.exports.tweets import FILTERS, export_tweets
from twitter_pipeline.serving.selection import Selection


@dataclass(frozen=True)
class Manifest:
    """What was delivered; as JSON, it is the manifest file."""

    file: str
    format: str
    tweets: int
    bytes: int
    sha256: str
    columns: list[str]
    filters: dict[str, Any]
    exported_at: str


class _Summed(io.RawIOBase, BinaryIO):
    """A stream that passes writes on and keeps the length and checksum of what was written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._position, self._digest = stream, 0, hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(data)
        self._digest.update(data)
        size = memoryview(data).nbytes
        self._position += size
        return size

    def tell(self) -> int:
        return self._position


def deliver(
    connection: psycopg.Connection,
    folder: Any,
    file_format: Format,
    selection: Selection,
    *,
    name: str | None = None,
    now: datetime | None = None,
    progress: Progress = lambda exported: None,
) -> Manifest:
    """Export into `folder` as `name` (default: tweets-<time>) and return the manifest, which is written last.

    Raises Refused if a file with that name exists. If interrupted, no file has the final name.
    """
    now = now or datetime.now(UTC)
    stem = name or f"tweets-{now:%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    final, told = folder / f"{stem}.{file_format}", folder / f"{stem}.manifest.json"
    if told.exists():
        raise Refused(f"{told} already exists; give the export another name")
    with written(final) as stream:
        summed = _Summed(stream)
        done = export_tweets(connection, summed, file_format, selection, progress)
    manifest = Manifest(
        file=final.name,
        format=file_format,
        tweets=done.tweets,
        bytes=summed.tell(),
        sha256=summed.sha256,
        columns=list(COLUMNS),
        filters={
            key: value.isoformat() if isinstance(value, datetime) else value
            for key, value in selection.stated(FILTERS).items()
        },
        exported_at=now.isoformat(),
    )
    with written(told) as stream:
        stream.write(json.dumps(asdict(manifest), indent=1).encode())
    return manifest
