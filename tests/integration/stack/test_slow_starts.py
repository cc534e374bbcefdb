"""A start may take as long as the machine needs; only a server that neither answers nor moves is given up."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from twitter_pipeline.stack import launcher, settings
from twitter_pipeline.stack.leftover_processes import marked_processes
from twitter_pipeline.stack.servers import (
    LOOPBACK,
    Movement,
    RunningServer,
    StackError,
    free_port,
    wait_until,
)
from twitter_pipeline.stack.services import Service, Stack, assemble
from twitter_pipeline.stack.settings import LauncherSettings

BUSY = "while True: pass"
IDLE = "import time; time.sleep(600)"
WITH_A_BUSY_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


@pytest.fixture
def start() -> Iterator[Callable[[str], psutil.Popen]]:
    """Starts Python programs; each and its children are ended after the test."""
    started: list[psutil.Popen] = []

    def begin(program: str) -> psutil.Popen:
        started.append(psutil.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        for each in [*process.children(recursive=True), process]:
            each.kill()
        process.wait()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _cpu_seconds(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


@pytest.mark.parametrize("program", [BUSY, WITH_A_BUSY_CHILD], ids=["itself", "its child"])
def test_what_takes_cpu_time_moves(start, tmp_path: Path, program: str) -> None:
    """A process that works, or has a child that works, is not stuck, however long it does not answer."""
    process, clock = start(program), Clock()
    movement = Movement(lambda: [process], tmp_path / "log", clock)
    for _ in range(3):
        before = _cpu_seconds(process)
        wait_until(lambda before=before: _cpu_seconds(process) > before + 0.3, 60, "some CPU time")  # type: ignore[misc]
        clock.now += 10
        assert movement.still_seconds() == 0


def test_what_sleeps_stands_still(start, tmp_path: Path) -> None:
    """A process that does nothing is recognised by the time since it last moved."""
    process, clock = start(IDLE), Clock()
    wait_until(lambda: process.status() == psutil.STATUS_SLEEPING, 60, "sleep")
    movement = Movement(lambda: [process], tmp_path / "log", clock)
    clock.now += 10
    movement.still_seconds()  # what its own start took
    clock.now += 300
    assert movement.still_seconds() >= 300


def test_a_log_that_grows_and_a_new_process_are_movement(start, tmp_path: Path) -> None:
    """A server that waits for a disk still writes its log, and a restart counts as movement."""
    processes, clock, log = [start(IDLE)], Clock(), tmp_path / "log"
    movement = Movement(lambda: processes, log, clock)
    log.write_text("recovering 1 of 20\n")
    clock.now += 100
    assert movement.still_seconds() == 0
    assert "recovering 1 of 20" in str(movement)
    processes[0] = start(IDLE)
    clock.now += 100
    assert movement.still_seconds() == 0
    processes.clear()
    clock.now += 100
    assert movement.still_seconds() == 100


@dataclass(frozen=True)
class Late:
    """A server whose program is given; it answers when it listens."""

    program: str
    port: int
    name: str = "late"

    def prepare(self) -> None: ...

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program, str(self.port)]

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


WORKS_FIRST = """
import socket, sys, time
while time.process_time() < 8: pass
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[LauncherSettings]:
    """Settings under which a second without any movement is too long."""
    home = {"PIPELINE_HOME": str(tmp_path / "home"), "PIPELINE_BROKER": "tansu"}
    given = settings.load(home, launched=False, root=tmp_path).model_copy(update={"stalled_seconds": 1})
    yield given
    launcher.down(given, lambda _: None)
    assert marked_processes(str(given.home)) == []


def _only(server: Late, log: Path) -> Callable[[LauncherSettings], Stack]:
    service = Service(server, "a server", log=log)
    return lambda given: replace(assemble(given), services=(service,), steps=())


def test_up_waits_for_what_is_slow_and_says_what_it_does(impatient: LauncherSettings, tmp_path: Path) -> None:
    """A service that works for many times the bound before it answers is started, and people see that it works."""
    said: list[str] = []
    late = Late(WORKS_FIRST, free_port())
    launcher.up(impatient, said.append, _only(late, tmp_path / "late.log"))
    assert late.ready()
    assert any("waiting for late" in line and "s of CPU" in line for line in said)


def test_up_gives_up_on_what_neither_answers_nor_moves(impatient: LauncherSettings, tmp_path: Path) -> None:
    """The error names the service and the setting, and nothing is left running."""
    with pytest.raises(StackError, match=r"late has neither answered nor moved.*PIPELINE_STALLED_SECONDS"):
        launcher.up(impatient, lambda _: None, _only(Late(IDLE, free_port()), tmp_path / "late.log"))


def test_a_single_server_is_waited_for_in_the_same_way(tmp_path: Path) -> None:
    """Servers started by tests tolerate a busy machine, and fail with the reason when they are stuck."""
    with RunningServer(Late(WORKS_FIRST, free_port()), tmp_path / "log", stalled_seconds=1):
        pass
    with pytest.raises(StackError, match="neither answered nor moved"):
        RunningServer(Late(IDLE, free_port()), tmp_path / "log", stalled_seconds=1).start()
