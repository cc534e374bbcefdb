"""The control door's changes, written to disk before they are answered: kill -9 and a restart give the same world.

One JSON object per line. The first line says which world the changes belong to; a journal of another world is
refused, since replaying it would make no sense. An incomplete last line was never answered and is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class JournalMismatch(RuntimeError):
    """The journal belongs to another seed, epoch or rate, or is damaged."""


class Journal:
    """Append-only. `entries` are the changes found when it was opened."""

    def __init__(self, path: Path, world: dict[str, Any]) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.entries: list[dict[str, Any]] = list(self._read(whole))
        self._file = path.open("r+b" if content else "w+b")
        self._file.truncate(len(whole))
        self._file.seek(0, os.SEEK_END)
        if not self.entries:
            self.write({"world": world})
        elif (kept := self.entries.pop(0).get("world")) != world:
            raise JournalMismatch(
                f"{path} was written for the world {kept}, not {world}; remove it or start that world"
            )

    def write(self, entry: dict[str, Any]) -> None:
        """Return once the entry is on disk."""
        self._file.write(orjson.dumps(entry) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _read(self, content: bytes) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(content.splitlines(), 1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise JournalMismatch(
                    f"{self._path}, line {number}: {error}; the journal is damaged"
                ) from error
