"""What must hold before anything is started, said in words that name the thing and the setting to change."""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from twitter_pipeline.stack.servers import LOOPBACK, StackError

NEEDED_MEGABYTES = 2000  # PostgreSQL 150, Kafka 100, Airflow's logs, and a day of tweets


def check_home(home: Path, needed_megabytes: int = NEEDED_MEGABYTES) -> None:
    """Create the folder of all data, or raise: not writable, or too little space."""
    try:
        for folder in (home, home / "run", home / "logs", home / "logs" / "airflow"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * 65536)
            probe.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StackError(
                f"the disk of {home} is full; free {needed_megabytes} MB or set PIPELINE_HOME"
            ) from None
        raise StackError(
            f"{home} cannot be written ({error.strerror}); make it writable or set PIPELINE_HOME to another folder"
        ) from None
    free = shutil.disk_usage(home).free // 1_000_000
    if free < needed_megabytes:
        raise StackError(
            f"the disk of {home} has {free} MB free, and {needed_megabytes} MB are needed; free some space "
            "or set PIPELINE_HOME to a folder on another disk"
        )


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise when a port of the stack is taken, naming all that are, by whom, and the setting that moves them."""
    seen: dict[int, str] = {}
    troubles = []
    for name, port in ports.items():
        setting = f"PIPELINE_PORT_{name.upper()}"
        if port in seen:
            troubles.append(f"port {port} is given to both {seen[port]} and {name}; change {setting}")
        elif not _free(port):
            troubles.append(
                f"port {port} for {name} is taken by {_owner(port)}; set {setting} or PIPELINE_PORT_BASE"
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


def _owner(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"
