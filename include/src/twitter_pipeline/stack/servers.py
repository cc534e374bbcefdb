"""What all embedded servers have in common, and how to run a single one.

The launcher hands servers to the process supervisor; a test runs one with `RunningServer`. Both use the same `Server`,
so tests run what `make up` starts.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil

from twitter_pipeline.deployment.errors import DeploymentError

LOOPBACK = "127.0.0.1"
FREE_PORTS = (20_000, 32_000)
ASK_SECONDS = 10  # a busy machine takes seconds for one answer
MOVEMENT_LOOK_SECONDS = 5.0
IDLE_SHARE_OF_A_CORE = (
    0.02  # CPU share that timers use in a waiting process; a starting process gets more, even at load 20
)
_given_ports: set[int] = set()
_dice = random.SystemRandom()  # processes with identically seeded generators must not try the same ports


class StackError(DeploymentError):
    """The embedded stack cannot do something; the message says what happened and what to do."""


class Server(Protocol):
    """One real server: where it listens, how it is prepared, and how to ask whether it is ready."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> int: ...

    def prepare(self) -> None:
        """Create data and credentials before the first start; a later call changes nothing."""

    def command(self) -> list[str]:
        """The program and its arguments; never contains a secret, since any user can list processes."""

    def environment(self) -> dict[str, str]:
        """What the process needs in addition to the environment that it inherits."""

    def ready(self) -> bool:
        """Ask the server itself, over its own protocol, whether it works; returns within seconds."""


def free_port() -> int:
    """A loopback port that nothing listens on and that this process has not been given before.

    It is below the range that the system uses for outgoing connections: there, while a killed server is away, a client's
    own connection could get its port or connect to itself.
    """
    while True:
        port = _dice.randrange(*FREE_PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


def wait_until(
    ready: Callable[[], bool], seconds: float, what: str, alive: Callable[[], bool] | None = None
) -> None:
    """Poll until ready. Raises StackError after `seconds`, or once `alive` returns false."""
    deadline = time.monotonic() + seconds
    while not ready():
        if alive is not None and not alive():
            raise StackError(f"{what} ended before it was ready")
        if time.monotonic() > deadline:
            raise StackError(f"{what} was not ready within {seconds:.0f} s")
        time.sleep(0.05)


class Movement:
    """Whether a server that does not answer yet is doing anything: being started, using CPU time, writing its log.

    On a busy machine a start may take any time, so the clock alone cannot tell slow from stuck. `processes` returns the
    server's own process or processes, whose children are found; `clock` is monotonic.
    """

    def __init__(
        self,
        processes: Callable[[], Iterable[psutil.Process]],
        log: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = processes
        self._log = log
        self._clock = clock
        self._looked_at = self._moved_at = clock()
        self._cpu_of: dict[tuple[int, float], float] = {}
        self._log_bytes = self._size_of_log()
        self._look()

    def still_seconds(self) -> float:
        """For how long nothing has moved, as of the last check; a check is made every few seconds."""
        now = self._clock()
        if now - self._looked_at >= MOVEMENT_LOOK_SECONDS and self._look(now - self._looked_at):
            self._moved_at = now
        return self._looked_at - self._moved_at

    def __str__(self) -> str:
        """What it is doing, for people: its CPU time and the last line of its log."""
        lines = tail(self._log, 1).strip()
        said = f"log: {lines[:100]}" if self._log_bytes and lines else "its log is empty"
        return f"{sum(self._cpu_of.values()):.0f} s of CPU, {said}"

    def _look(self, elapsed: float = 0) -> bool:
        used = 0.0
        is_new = False
        for process in self._all_processes():
            with contextlib.suppress(psutil.Error):
                key = (process.pid, process.create_time())
                times = process.cpu_times()
                cpu = times.user + times.system
                is_new = is_new or key not in self._cpu_of
                used += cpu - self._cpu_of.get(key, 0.0)
                self._cpu_of[key] = cpu
        size = self._size_of_log()
        grown = size != self._log_bytes
        self._log_bytes = size
        self._looked_at = self._clock()
        return is_new or grown or used > elapsed * IDLE_SHARE_OF_A_CORE

    def _all_processes(self) -> list[psutil.Process]:
        found = []
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                found += [process, *process.children(recursive=True)]
        return found

    def _size_of_log(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


class RunningServer:
    """A server run by this process, in its own process group; leaving the context ends all of it.

    It may start as slowly as the machine requires, as long as something moves within `stalled_seconds`.
    """

    def __init__(
        self,
        server: Server,
        log: Path,
        stalled_seconds: float = 120,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.server = server
        self._environment = environment or {}
        self.log = log
        self._stalled_seconds = stalled_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise StackError(f"{self.server.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Prepare and start the server; returns once it is ready."""
        self.server.prepare()
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                self.server.command(),
                env={**os.environ, **self.server.environment(), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )
        try:
            self._wait_until_ready(process)
        except BaseException as error:
            self.kill()
            if isinstance(error, StackError):
                raise StackError(f"{error}; the end of {self.log}:\n{tail(self.log)}") from None
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        movement = Movement(lambda: [psutil.Process(process.pid)], self.log)
        while not self.server.ready():
            if process.poll() is not None:
                raise StackError(f"{self.server.name} ended before it was ready")
            if movement.still_seconds() > self._stalled_seconds:
                raise StackError(
                    f"{self.server.name} has neither answered nor moved for {self._stalled_seconds:.0f} s"
                )
            time.sleep(0.05)

    def stop(self, seconds: float = 60) -> None:
        """Ask the server to end, and kill its whole group if it does not within `seconds`."""
        if self._process is None:
            return
        self._process.send_signal(getattr(self.server, "stop_signal", signal.SIGTERM))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Kill the server and everything that it started with SIGKILL."""
        if self._process is None:
            return
        started: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # PostgreSQL's children are in their own groups and hold the shared memory, which its next start refuses to share
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        wait_until(lambda: all(map(_has_ended, started)), ASK_SECONDS, "the end of what was killed")
        self._process = None

    def freeze(self) -> None:
        """Suspend the server (SIGSTOP) until `thaw`: it keeps its connections but answers nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error.strerror})"
