"""Remove old log files and the folders that they leave empty."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

DAY_SECONDS = 86_400


def prune(
    folder: Path, days: int, pattern: str = "*.log*", clock: Callable[[], float] = time.time
) -> tuple[int, int]:
    """Remove files in a folder that match `pattern` and were not written to for `days`; returns files and bytes.

    Symbolic links are not followed. A file that vanishes meanwhile, or cannot be removed, is left to the next call.
    """
    files = size = 0
    before = clock() - days * DAY_SECONDS
    folders: list[Path] = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if path.is_dir() and not path.is_symlink():
                # a new folder may be about to get its file
                if status.st_mtime < before:
                    folders.append(path)
            elif path.match(pattern) and status.st_mtime < before:
                path.unlink()
                files, size = files + 1, size + status.st_size
    for path in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    return files, size


def prune_both(tasks: str, services: Path, days: int) -> dict[str, int]:
    """Prune Airflow's task logs, and the rotated logs of the services; returns files and bytes.

    A service's current log stays whatever its age: it is still written to.
    """
    counts = (prune(Path(tasks), days), prune(services, days, "*.log.1"))
    return {"files": sum(files for files, _ in counts), "bytes": sum(size for _, size in counts)}
