"""`up`, `down` and `clean`: start the whole stack or nothing, and stop all of it.

Everything is idempotent and may be interrupted: data stays, and a second `up` continues where the first one stopped.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import psutil

from twitter_pipeline.settings import write_environment_file
from twitter_pipeline.stack import airflow, preflight
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.leftover_processes import end_processes, marked_processes
from twitter_pipeline.stack.private_files import private_folder, write_private
from twitter_pipeline.stack.servers import Movement, StackError, tail
from twitter_pipeline.stack.services import Service, Stack, Step, assemble, starts_file
from twitter_pipeline.stack.settings import LauncherSettings
from twitter_pipeline.stack.supervision import STARTER, Supervisor

Say = Callable[[str], None]
REMINDER_SECONDS = 5
GIVEN_UP_STARTS = 4


@contextlib.contextmanager
def sole(home: Path) -> Iterator[None]:
    """Hold the lock for starting, stopping or removing a stack. Raises StackError if another process holds it."""
    path = home / "run" / "lock"
    private_folder(path.parent)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another command"
            raise StackError(f"{holder} is working on {home}; wait until it has ended") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield
        lock.truncate(0)


def up(
    settings: LauncherSettings, say: Say, assembled: Callable[[LauncherSettings], Stack] = assemble
) -> Stack:
    """Start every part of the stack that is not running; returns once all of them are ready.

    On StackError nothing is left half-started: what this call started is stopped again.
    """
    preflight.check_home(settings.home)
    with sole(settings.home):
        stack = assembled(settings)
        say(f"X API: {stack.x.url} ({stack.x.why})")
        say(f"Kafka: {stack.broker.kind} ({stack.broker.why})")
        if stack.broker.warning:
            say(f"  {stack.broker.warning}")
        if stack.not_on_this_machine:
            say("Monitoring: some programs are not installed, so they are left out. To install them:")
            for name, way in stack.not_on_this_machine.items():
                say(f"  {name}: {way}")
        supervisor = Supervisor(settings.home)
        if supervisor.answers():
            launch, running = _launch(stack), read_launch(supervisor)
            if _differs(launch, running):
                say("settings or the installation changed since the stack was started: restarting it")
                _stop_everything(settings.home, say)
            elif outdated := _with_old_code(launch, running):
                say(
                    f"the code changed since {', '.join(sorted(outdated))} started: restarting with the new code"
                )
                _stop_everything(settings.home, say, outdated)
                _write(supervisor.launch_file, launch)
        fresh = not supervisor.answers()
        if fresh:
            if left := marked_processes(str(settings.home)):
                say(f"{len(left)} processes from an earlier launch have no supervisor: stopping them first")
                _stop_everything(settings.home, say)
            preflight.check_ports(stack.ports())
        started: list[str] = []
        try:
            if fresh:
                _write(supervisor.launch_file, _launch(stack))
                write_environment_file(settings.run / "environment", stack.environment)
                supervisor.start(stack.services)
            _Launch(stack, supervisor, say, started).run()
            _look_at_dags(stack, say)
        except BaseException as error:
            if fresh or started:
                say("stopping what was started")
                _stop_everything(settings.home, say, None if fresh else set(started))
            if isinstance(error, KeyboardInterrupt):
                raise StackError("interrupted; nothing was left half-started") from None
            raise
        return stack


def _launch(stack: Stack) -> dict[str, Any]:
    """The record of a launch: how each service is started, and how to stop them all in order."""
    return {
        "home": str(stack.settings.home),
        "installation": _installation(),
        "starter": STARTER,
        "x": {"url": stack.x.url, "is_simulator": stack.x.is_simulator, "why": stack.x.why},
        "broker": {
            "kind": stack.broker.kind,
            "why": stack.broker.why,
            "bootstrap": stack.broker.server.bootstrap,
        },
        "services": {
            service.name: {
                "command": service.server.command(),
                "environment": service.server.environment(),
                "needs": sorted(_needed_services(stack, service)),
                "stop_signal": service.stop_signal,
                "stop_seconds": service.stop_seconds,
                "log": str(service.log),
                "code": service.code,
            }
            for service in stack.services
        },
    }


def _differs(launch: Mapping[str, Any], running: Mapping[str, Any]) -> bool:
    """Whether anything but our own code differs, so that the supervisor needs another configuration."""

    def without_code(of: Mapping[str, Any]) -> dict[str, Any]:
        services = of.get("services", {})
        return {name: {**service, "code": None} for name, service in services.items()}

    of_supervisor = (
        "installation",
        "starter",
    )  # it starts services through the module that was configured at its own start
    return any(launch[key] != running.get(key) for key in of_supervisor) or (
        without_code(launch) != without_code(running)
    )


def _with_old_code(launch: Mapping[str, Any], running: Mapping[str, Any]) -> set[str]:
    """The services whose processes still run an old version of our code; third-party servers keep running."""
    services = launch["services"].items()
    return {name for name, service in services if service["code"] != running["services"][name].get("code")}


def _installation() -> str:
    """Which installation this is: running processes keep the code they started with."""
    try:
        return (Path(sys.prefix) / "installed").read_text()  # the stamp of bootstrap.py
    except OSError:
        return ""


def _needed_services(stack: Stack, node: Service | Step) -> set[str]:
    needed: set[str] = set()
    for name in node.needs:
        need = stack.nodes[name]
        needed |= _needed_services(stack, need) | ({name} if isinstance(need, Service) else set())
    return needed


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(content))


def read_launch(supervisor: Supervisor) -> dict[str, Any]:
    """The record of the last launch; {} if there was none."""
    try:
        return dict(json.loads(supervisor.launch_file.read_text()))
    except (OSError, ValueError):
        return {}


class _Launch:
    """Runs services and steps in the order of their dependencies, independent ones in parallel."""

    def __init__(self, stack: Stack, supervisor: Supervisor, say: Say, started: list[str]) -> None:
        self._stack = stack
        self._supervisor = supervisor
        self._say = say
        self._started = started
        self._nodes = stack.nodes
        self._abandoned = threading.Event()
        self._does: dict[str, str] = {}  # what each service that does not answer yet is doing

    def run(self) -> None:
        """Return when everything is ready; raise the first failure and abandon the rest."""
        began: dict[str, float] = {}
        done: set[str] = set()
        running: dict[Future[None], str] = {}
        reminded = time.monotonic()
        with ThreadPoolExecutor(len(self._nodes)) as pool:
            try:
                while len(done) < len(self._nodes):
                    for name, node in self._nodes.items():
                        if name not in began and done.issuperset(node.needs):
                            began[name] = time.monotonic()
                            running[pool.submit(self._bring, node)] = name
                    finished, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                    for future in finished:
                        name = running.pop(future)
                        future.result()
                        done.add(name)
                        title = self._nodes[name].title
                        self._say(f"  ready: {name:<17} {time.monotonic() - began[name]:5.1f} s  {title}")
                    if running and time.monotonic() - reminded > REMINDER_SECONDS:
                        reminded = time.monotonic()
                        for name in running.values():
                            does = self._does.get(name, "working")
                            self._say(f"  waiting for {name} ({reminded - began[name]:.0f} s): {does}")
            finally:
                self._abandoned.set()

    def _bring(self, node: Service | Step) -> None:
        if isinstance(node, Step):
            node.run()
            return
        settings = self._stack.settings
        if self._state(node.name)["statename"] not in {"RUNNING", "STARTING"}:
            self._does[node.name] = "its data is being prepared"
            end_processes(marked_processes(str(settings.home), node.name), seconds=0)  # of a killed launcher
            node.server.prepare()
            starts_file(settings, node.name).unlink(missing_ok=True)
            self._started.append(node.name)
            self._supervisor.start_service(node.name)
        movement = Movement(lambda: self._processes(node.name), node.log)
        began = time.monotonic()
        while not node.server.ready():
            if self._abandoned.is_set():
                return
            starts = count_starts(settings, node.name)
            if starts >= GIVEN_UP_STARTS or self._state(node.name)["statename"] == "FATAL":
                raise StackError(
                    f"{node.name} ends again and again; the end of {node.log}:\n{tail(node.log)}"
                )
            if (still := movement.still_seconds()) > settings.stalled_seconds:
                raise StackError(
                    f"{node.name} has neither answered nor moved for {still:.0f} s (PIPELINE_STALLED_SECONDS); "
                    f"the end of {node.log}:\n{tail(node.log)}"
                )
            again = f"started {starts} times, " if starts > 1 else ""
            self._does[node.name] = f"{again}{movement}"
            time.sleep(
                0.2 if time.monotonic() - began < 30 else 1
            )  # asking uses CPU time that the start needs

    def _state(self, name: str) -> dict[str, Any]:
        return self._supervisor.states()[name]

    def _processes(self, name: str) -> list[psutil.Process]:
        """The service's own process, if it has one."""
        pid = self._state(name)["pid"]
        with contextlib.suppress(psutil.Error):
            return [psutil.Process(pid)] if pid else []
        return []


def count_starts(settings: LauncherSettings, name: str) -> int:
    """How often a service was started since the launcher started it."""
    try:
        return len(starts_file(settings, name).read_text().splitlines())
    except FileNotFoundError:
        return 0


def _look_at_dags(stack: Stack, say: Say) -> None:
    folder = stack.settings.clone / "dags"
    expected = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("pipeline_")}
    if not expected or "airflow" not in stack.nodes:
        return
    say(f"  waiting for the Dags {', '.join(sorted(expected))}")
    password = Credentials(stack.settings.home / "secrets")["airflow_admin"]
    url, seconds = stack.environment["PIPELINE_AIRFLOW_URL"], stack.settings.stalled_seconds
    for trouble in airflow.unpause_dags(
        url, password, expected, seconds, lambda missing: say(f"  waiting for the Dags {missing}")
    ):
        say(f"  warning: {trouble}")


def down(settings: LauncherSettings, say: Say) -> bool:
    """Stop everything that was started, producers and drains first; data stays. False if nothing was running."""
    if not settings.run.is_dir():
        return False
    with sole(settings.home):
        return _stop_everything(settings.home, say)


def clean(settings: LauncherSettings, say: Say) -> None:
    """Stop the stack and remove its folder with all data, secrets and logs."""
    if not settings.home.exists():
        return
    down(settings, say)
    marks = {"run", "logs", "secrets"}
    if not marks & {path.name for path in settings.home.iterdir()} and any(settings.home.iterdir()):
        raise StackError(f"{settings.home} does not look like a folder of this stack; remove it by hand")
    shutil.rmtree(settings.home)


def _stop_everything(home: Path, say: Say, only: set[str] | None = None) -> bool:
    """Stop services in reverse order of their dependencies, then the supervisor, then leftovers found by their marks."""
    supervisor = Supervisor(home)
    supervised = supervisor.answers()
    if not supervised and not marked_processes(str(home)):
        return False
    services: dict[str, dict[str, Any]] = read_launch(supervisor).get("services", {})
    waiting = {name: service for name, service in services.items() if only is None or name in only}
    with ThreadPoolExecutor(max(1, len(waiting))) as pool:
        stopping: dict[Future[None], str] = {}
        while waiting or stopping:
            present = waiting.keys() | set(stopping.values())
            needed = {need for name in present for need in services[name]["needs"]}
            for name in sorted(waiting.keys() - needed):
                service = waiting.pop(name)
                stop = supervisor.stop_service if supervised else _LeftoverService(home, service).stop
                stopping[pool.submit(stop, name)] = name
            finished, _ = wait(stopping, timeout=REMINDER_SECONDS, return_when=FIRST_COMPLETED)
            if not finished:
                say(f"  waiting for {', '.join(stopping.values())} to end")
            for future in finished:
                name = stopping.pop(future)
                future.result()
                end_processes(marked_processes(str(home), name), seconds=2)
                say(f"  stopped: {name}")
    if only is None:
        if supervised:
            supervisor.shut_down()
        end_processes(marked_processes(str(home)), seconds=5)
        if left := marked_processes(str(home)):
            raise StackError(
                f"processes {', '.join(str(process.pid) for process in left)} could not be ended; end them by hand"
            )
        supervisor.socket.unlink(missing_ok=True)
    return True


class _LeftoverService:
    """A service whose supervisor is gone: found by its marks and stopped as the supervisor would."""

    def __init__(self, home: Path, service: Mapping[str, Any]) -> None:
        self._home = str(home)
        self._service = service

    def stop(self, name: str) -> None:
        processes = marked_processes(self._home, name)
        pids = {process.pid for process in processes}
        heads = []
        for process in processes:
            with contextlib.suppress(psutil.Error):
                if process.ppid() not in pids:
                    heads.append(process)
                    process.send_signal(signal.Signals[f"SIG{self._service['stop_signal']}"])
        psutil.wait_procs(heads, timeout=self._service["stop_seconds"])
        end_processes(marked_processes(self._home, name), seconds=0)
