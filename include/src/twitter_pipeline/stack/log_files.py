"""The services' log files: written by the services themselves, kept from growing without end.

Services write to their files and not into a pipe of the supervisor: when that is killed they go on undisturbed,
instead of failing at their next line.
"""

import contextlib
import os
import shutil
from pathlib import Path

LARGEST_MEGABYTES = 20


def write_to(log: Path) -> None:
    """Make a log file the standard output and error of this process and of what it becomes."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def trim(folder: Path, largest_megabytes: int = LARGEST_MEGABYTES) -> None:
    """Move the content of each log file that grew too large to NAME.log.1 and begin it anew.

    The writers keep their file, so a line written between the copy and the cut is lost; logs bear that.
    """
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            if log.stat().st_size > largest_megabytes * 1_000_000:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
