"""The stack's process supervisor: its configuration, and how to communicate with it.

supervisord keeps every service alive: one that dies is restarted, one that dies at once is restarted after
1, 2, 3… seconds. It listens on a Unix socket that only its owner may open, never on a port.
"""

import hashlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from twitter_pipeline.stack.leftover_processes import HOME_MARK, SERVICE_MARK
from twitter_pipeline.stack.private_files import private_folder, write_private
from twitter_pipeline.stack.servers import ASK_SECONDS, StackError, tail, wait_until
from twitter_pipeline.stack.services import Service

SETTLED_SECONDS = 10  # dying earlier than this counts as a failed start and leads to a longer pause
DAEMON_SECONDS = 120  # to open or close one socket, on a busy machine
STARTER = "twitter_pipeline.stack.exec_service"  # the module through which each service is started
FAILED_STARTS = 100  # pauses grow by a second each: more than an hour of retries


class Supervisor:
    """The supervisor of the stack in one home folder; at most one runs."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._run = home / "run"

    @property
    def launch_file(self) -> Path:
        return self._run / "launch.json"

    @property
    def log(self) -> Path:
        return self._home / "logs" / "supervisord.log"

    @property
    def socket(self) -> Path:
        path = self._run / "supervisor.sock"
        if len(os.fsencode(path)) < 90:  # the system's limit is 108 bytes, including a suffix
            return path
        short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"twitter-pipeline-{os.geteuid()}" / f"{short}.sock"

    def start(self, services: Sequence[Service]) -> None:
        """Write the configuration and start supervisord with every service stopped."""
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.geteuid():
            raise StackError(f"{self.socket.parent} belongs to another user; set a shorter PIPELINE_HOME")
        private_folder(self.socket.parent)
        configuration = self._run / "supervisord.conf"
        write_private(configuration, self._configuration(services))
        result = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env=os.environ | {HOME_MARK: str(self._home), SERVICE_MARK: "supervisor"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise StackError(f"supervisord did not start: {result.stderr.strip() or tail(self.log)}")
        wait_until(self.answers, DAEMON_SECONDS, "supervisord")

    def _configuration(self, services: Sequence[Service]) -> str:
        sections: dict[str, dict[str, object]] = {
            "unix_http_server": {"file": self.socket, "chmod": "0600"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            "supervisord": {
                "logfile": self.log,
                "logfile_maxbytes": "5MB",
                "logfile_backups": 1,
                "pidfile": self._run / "supervisord.pid",
                "directory": self._home,
                "umask": "077",
            },
        }
        for service in services:
            words = [
                sys.executable,
                "-m",
                STARTER,
                str(self.launch_file),
                service.name,
            ]
            sections[f"program:{service.name}"] = {
                "command": shlex.join(words),
                "autostart": "false",
                "autorestart": "true",
                "startsecs": SETTLED_SECONDS,
                "startretries": FAILED_STARTS,
                "stopsignal": service.stop_signal,
                "stopwaitsecs": service.stop_seconds,
                "stopasgroup": str(not service.stops_alone).lower(),
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": "NONE",  # services open their logs themselves
            }
        return "".join(
            f"[{section}]\n"
            + "".join(f"{key}={str(value).replace('%', '%%')}\n" for key, value in options.items())
            for section, options in sections.items()
        )

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def answers(self) -> bool:
        """Whether supervisord runs and answers."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(ASK_SECONDS)
                probe.connect(str(self.socket))
            return bool(self._rpc().getState()["statename"] == "RUNNING")
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows about each service: statename, pid, start, description."""
        return {info["name"]: info for info in self._rpc().getAllProcessInfo()}

    def start_service(self, name: str) -> None:
        """Start a service; does not wait until it is ready."""
        try:
            self._rpc().startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise StackError(f"{name} could not be started: {fault.faultString}") from None

    def stop_service(self, name: str) -> None:
        """Stop a service with its own signal and timeout; returns when it has ended."""
        try:
            self._rpc().stopProcess(name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in {Faults.NOT_RUNNING, Faults.BAD_NAME}:
                raise StackError(f"{name} could not be stopped: {fault.faultString}") from None

    def shut_down(self) -> None:
        """End supervisord, after its services have been stopped."""
        self._rpc().shutdown()
        wait_until(lambda: not self.answers(), DAEMON_SECONDS, "the end of supervisord")
