"""Finds the processes of a stack by marks in their environment, and ends exactly those.

Unlike process ids and groups, the marks survive a killed supervisor, a killed parent or a new session.
"""

import contextlib

import psutil

HOME_MARK = "PIPELINE_STACK"
SERVICE_MARK = "PIPELINE_STACK_SERVICE"
DYING_SECONDS = 30  # a killed process frees its memory before it is gone, which takes time on a busy machine


def marks(home: str, service: str) -> dict[str, str]:
    """The environment variables by which a service's processes are found."""
    return {HOME_MARK: home, SERVICE_MARK: service}


def marked_processes(home: str, service: str | None = None) -> list[psutil.Process]:
    """The living processes of the stack in `home`, or those of one of its services."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marks = process.environ()
            if marks.get(HOME_MARK) != home or service not in {None, marks.get(SERVICE_MARK)}:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def started_by(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of a service's processes that were started by another one of them."""
    pids = {process.pid for process in processes}
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.ppid() in pids:
                found.append(process)
    return found


def end_processes(processes: list[psutil.Process], seconds: float) -> None:
    """Ask the processes to end (SIGTERM), and kill those that do not within `seconds`; 0 kills at once."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate() if seconds else process.kill()
    _, alive = psutil.wait_procs(processes, timeout=seconds or DYING_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=DYING_SECONDS)
