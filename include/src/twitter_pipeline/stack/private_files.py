"""Folders and files that only their owner may enter, whatever the umask is and whatever was there before."""

import os
from pathlib import Path

from twitter_pipeline.stack.servers import StackError

PRIVATE = 0o700


def private_folder(folder: Path) -> None:
    """Create a folder, or take from an existing one what group and others may do with it."""
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    _close(folder)


def private_tree(folder: Path) -> None:
    """The same for a folder and everything in it: for data that an earlier version left readable."""
    private_folder(folder)
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            _close(Path(parent, name))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _close(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
        if mode & 0o077 and not path.is_symlink():
            path.chmod(mode & PRIVATE)
    except FileNotFoundError:
        return  # a file of a server that runs, gone since it was listed
    except OSError as error:
        raise StackError(
            f"{path} is open to other users and cannot be closed ({error.strerror}); make it yours"
        ) from None
