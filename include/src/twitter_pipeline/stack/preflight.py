"""Checks before anything is started; their errors name the problem and the setting to change."""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from twitter_pipeline.stack.leftover_processes import DYING_SECONDS
from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import LOOPBACK, StackError

# what the stack creates in its home
OWN = {
    "airflow",
    "exports",
    "kafka",
    "logs",
    "mongo",
    "monitoring",
    "postgres",
    "run",
    "secrets",
    "simulator",
}
NEEDED_MEGABYTES = 2000  # PostgreSQL 150, Kafka 100, Airflow's logs, and a day of tweets


def check_home(home: Path, needed_megabytes: int = NEEDED_MEGABYTES) -> None:
    """Create the folder for all data, private to its owner. Raises StackError if not writable or short of space.

    PIPELINE_HOME may be a folder with other things in it; then only the stack's own files are made private.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = {path.name for path in home.iterdir()}
        if there <= OWN:
            private_folder(home)
        for name in OWN & there:
            private_folder(home / name)
        for folder in (home / "run", home / "logs", home / "logs" / "airflow"):
            private_folder(folder)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * 65536)
            probe.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StackError(
                f"the disk of {home} is full; free {needed_megabytes} MB or set PIPELINE_HOME to a folder on another disk"
            ) from None
        raise StackError(
            f"{home} is not writable ({error.strerror}); make it writable or set PIPELINE_HOME to another folder"
        ) from None
    free = shutil.disk_usage(home).free // 1_000_000
    if free < needed_megabytes:
        raise StackError(
            f"the disk of {home} has {free} MB free, but {needed_megabytes} MB are needed; free some space "
            "or set PIPELINE_HOME to a folder on another disk"
        )


def check_ports(ports: Mapping[str, int], dying_seconds: float = DYING_SECONDS) -> None:
    """Raise StackError if ports of the stack are taken, naming each, its owner, and the setting that moves it.

    A killed process keeps its ports for a moment after it can no longer be found: such a port is waited for.
    """
    deadline = time.monotonic() + dying_seconds
    while any(not _free(port) and _owner(port) is None for port in ports.values()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    seen: dict[int, str] = {}
    troubles = []
    for name, port in ports.items():
        setting = f"PIPELINE_PORT_{name.upper()}"
        if port in seen:
            troubles.append(f"port {port} is assigned to both {seen[port]} and {name}; change {setting}")
        elif not _free(port):
            troubles.append(
                f"port {port} for {name} is taken by {_owner(port) or 'another process'}; set {setting} or PIPELINE_PORT_BASE"
            )
        seen[port] = name
    if troubles:
        raise StackError("; ".join(troubles))


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise StackError(f"port {port} cannot be used: {os.strerror(error.errno or 0)}") from None
    return True


def _owner(port: int) -> str | None:
    """The process that listens on a port; None if it cannot be found, for example because it is ending."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                if not process.cmdline():  # it has freed its memory but not yet its ports
                    break
                return f"{process.name()} (pid {connection.pid})"
    return None
