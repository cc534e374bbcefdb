"""The services' log files: written by the services themselves and kept from growing without bound.

Services write to their files and not to a pipe of the supervisor: if it is killed, they continue undisturbed instead of
failing at their next line.
"""

import contextlib
import os
import shutil
from pathlib import Path

LARGEST_MEGABYTES = 20


def write_to(log: Path) -> None:
    """Make a log file the standard output and error of this process and of the program that replaces it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def trim(folder: Path, largest_megabytes: int = LARGEST_MEGABYTES) -> None:
    """Move the content of each log file that grew too large to NAME.log.1 and truncate it.

    The writers keep their file, so a line written between the copy and the truncation is lost; that is acceptable for
    logs.
    """
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            if log.stat().st_size > largest_megabytes * 1_000_000:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
