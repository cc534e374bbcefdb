"""Folders and files that only their owner can access, whatever the umask is and whatever was there before."""

import os
from pathlib import Path

from twitter_pipeline.stack.servers import StackError

PRIVATE = 0o700


def private_folder(folder: Path) -> None:
    """Create a folder, or remove group and other permissions from an existing one."""
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    _close(folder)


def private_tree(folder: Path) -> None:
    """The same for a folder and everything in it, for data that an earlier version left readable."""
    private_folder(folder)
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            _close(Path(parent, name))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
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
        return  # a running server's file, which disappeared after it was listed
    except OSError as error:
        raise StackError(
            f"{path} is accessible to other users, and that cannot be changed ({error.strerror}); make it your own file"
        ) from None
