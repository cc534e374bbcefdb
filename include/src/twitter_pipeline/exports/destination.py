"""A file that is either complete or not there.

It is written under another name in the same folder, forced to disk, then renamed: a file with the final name is
complete, even after a kill or on a full disk.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class Refused(ValueError):
    """The file will not be written; the text says why and what to do. Nothing was changed."""


def check(path: Path, *, replace: bool) -> None:
    """Raise Refused if `path` cannot or should not be written; `replace` allows replacing a regular file."""
    if path.is_symlink():
        raise Refused(f"{path} is a symbolic link; name the file it points to")
    if path.is_dir():
        raise Refused(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise Refused(f"{path} is not a regular file; name another one")
    if path.exists() and not replace:
        raise Refused(f"{path} already exists; --force replaces it")
    if not path.parent.is_dir():
        raise Refused(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Refused(f"the folder {path.parent} is not writable; name another one")


@contextmanager
def written_whole(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """A stream whose contents become `path` if the block succeeds, and are discarded if it raises.

    Raises Refused before anything is written, or at the end if `path` was created in the meantime.
    """
    check(path, replace=replace)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise Refused(f"{path} could not be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        check(path, replace=replace)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def written(path: Any) -> Iterator[BinaryIO]:
    """The same for a file in any store: a local path or a similar object (fsspec, ObjectStoragePath).

    In an object store, too, nothing half-written has the final name; a crash may leave a `.part` object.
    """
    if isinstance(path, Path):
        with written_whole(path) as stream:
            yield stream
        return
    if path.exists():
        raise Refused(f"{path} already exists; give the export another name")
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with beside.open("wb") as stream:
            yield stream
        beside.rename(path)
    except BaseException:
        if beside.exists():
            beside.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
