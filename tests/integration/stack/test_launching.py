"""The launcher starts and stops a small stack of real servers, some of which are killed."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from support.brokers import BROKERS
from twitter_pipeline.settings import PORTED
from twitter_pipeline.stack import launcher, postgresql, services, settings, status
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.leftover_processes import marked_processes
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, StackError, free_port, wait_until
from twitter_pipeline.stack.services import Stack, assemble
from twitter_pipeline.stack.settings import LauncherSettings
from twitter_pipeline.stack.supervision import Supervisor


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LauncherSettings]:
    """Settings of a stack in a folder with a space and a percent sign in its name; whatever runs is ended after."""
    home = tmp_path / "a home of 100%"
    ports = {f"PIPELINE_PORT_{name.upper()}": str(free_port()) for name in PORTED}
    given = settings.load(
        {"PIPELINE_HOME": str(home), "PIPELINE_BROKER": "tansu"} | ports, launched=False, root=tmp_path
    )
    yield given
    launcher.down(given, lambda _: None)
    assert marked_processes(str(home)) == []


def _some(*names: str) -> Callable[[LauncherSettings], Stack]:
    def assembled(given: LauncherSettings) -> Stack:
        whole = assemble(given)
        return replace(whole, services=tuple(s for s in whole.services if s.name in names), steps=())

    return assembled


def _pid(given: LauncherSettings, name: str) -> int:
    return int(Supervisor(given.home).states()[name]["pid"])


def test_up_is_idempotent_and_down_ends_all_and_leaves_the_data(small: LauncherSettings) -> None:
    """A second `up` changes nothing; `down` leaves no process; a third `up` continues with the same data."""
    said: list[str] = []
    parts = _some("broker", "simulator", "postgres")
    launcher.up(small, said.append, parts)
    before = {name: _pid(small, name) for name in ("broker", "simulator", "postgres")}
    launcher.up(small, said.append, parts)
    assert {name: _pid(small, name) for name in before} == before
    assert launcher.down(small, said.append)
    assert marked_processes(str(small.home)) == []
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    assert (small.home / "postgres" / "data" / "PG_VERSION").exists()
    assert not launcher.down(small, said.append)


def test_a_killed_service_is_back_and_counted(small: LauncherSettings) -> None:
    """kill -9 of a service: the supervisor starts it again, and status shows the restart."""
    stack = launcher.up(small, lambda _: None, _some("sns"))
    killed = _pid(small, "sns")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: _pid(small, "sns") not in {0, killed} and stack.services[0].server.ready(), 120, "sns")
    assert status.picture(small)["broker"]["kind"] == "tansu"
    shown = status._service(small, stack.services[0], Supervisor(small.home).states()["sns"])
    assert (shown["state"], shown["restarts"]) == ("ready", 1)


def test_a_killed_supervisor_leaves_services_that_the_next_up_replaces(small: LauncherSettings) -> None:
    """After kill -9 of the supervisor its services keep running, `status` says so, and `up` ends and restarts them."""
    parts = _some("broker", "simulator")
    launcher.up(small, lambda _: None, parts)
    orphan = _pid(small, "broker")
    os.kill(int((small.run / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not Supervisor(small.home).answers(), 120, "the end of the supervisor")
    assert status._unsupervised(small)["broker"]["pid"] == orphan
    launcher.up(small, lambda _: None, parts)
    assert _pid(small, "broker") != orphan
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_down_ends_what_a_killed_supervisor_left(small: LauncherSettings) -> None:
    """`down` finds services by their marks when they have no supervisor."""
    launcher.up(small, lambda _: None, _some("postgres"))
    os.kill(int((small.run / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not Supervisor(small.home).answers(), 120, "the end of the supervisor")
    assert launcher.down(small, lambda _: None)
    assert marked_processes(str(small.home)) == []


def test_a_service_that_cannot_start_leaves_nothing_running(small: LauncherSettings) -> None:
    """One service that ends again and again: the error shows the end of its log, and the others are stopped."""

    def broken(given: LauncherSettings) -> Stack:
        stack = _some("sns", "simulator")(given)
        simulator = stack.nodes["simulator"]
        wrong = replace(simulator.server, tweets_per_second="many")
        return replace(stack, services=(stack.nodes["sns"], replace(simulator, server=wrong)))

    with pytest.raises(StackError, match=r"(?s)simulator ends again and again.*many"):
        launcher.up(small, lambda _: None, broken)
    assert marked_processes(str(small.home)) == []


def test_an_occupied_port_starts_nothing(small: LauncherSettings) -> None:
    """`up` names the port's owner and the setting, before any process is started."""
    with (
        socket.create_server(("127.0.0.1", small.port("sns"))),
        pytest.raises(StackError, match=rf"pid {os.getpid()}.*PIPELINE_PORT_SNS"),
    ):
        launcher.up(small, lambda _: None, _some("sns", "simulator"))
    assert marked_processes(str(small.home)) == []


def test_changed_settings_restart_what_runs(small: LauncherSettings) -> None:
    """`up` after a change of settings ends the old processes and starts with the new ones."""
    launcher.up(small, lambda _: None, _some("simulator"))
    moved = small.model_copy(update={"ports": dict(small.ports) | {"simulator": free_port()}})
    stack = launcher.up(moved, lambda _: None, _some("simulator"))
    assert stack.services[0].server.ready()
    assert not assemble(small).nodes["simulator"].server.ready()


def test_changed_code_restarts_what_runs_it(small: LauncherSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of our code, `up` restarts our processes once and leaves third-party servers alone."""
    said: list[str] = []
    parts = _some("simulator", "broker")
    launcher.up(small, said.append, parts)
    before = {name: _pid(small, name) for name in ("simulator", "broker")}
    monkeypatch.setattr(services, "code_fingerprint", lambda clone: "another")
    stack = launcher.up(small, said.append, parts)
    after = {name: _pid(small, name) for name in before}
    assert after["simulator"] != before["simulator"]
    assert after["broker"] == before["broker"]  # Tansu would have lost its topics
    assert all(service.server.ready() for service in stack.services)
    assert any("the code changed since simulator started" in line for line in said)
    launcher.up(small, said.append, parts)
    assert {name: _pid(small, name) for name in before} == after


def test_a_stack_of_an_earlier_version_is_replaced_whole(small: LauncherSettings) -> None:
    """An older version's supervisor starts services through a module that is gone: `up` ends it too, completely."""
    said: list[str] = []
    parts = _some("simulator", "sns")
    launcher.up(small, said.append, parts)
    supervisor = Supervisor(small.home)
    before = {int((small.run / "supervisord.pid").read_text()), _pid(small, "simulator"), _pid(small, "sns")}
    launch = json.loads(supervisor.launch_file.read_text())
    del launch["starter"]  # that version knew only one
    supervisor.launch_file.write_text(json.dumps(launch))
    stack = launcher.up(small, said.append, parts)
    assert any("restarting" in line for line in said)
    assert all(service.server.ready() for service in stack.services)
    living = {process.pid for process in marked_processes(str(small.home))}
    assert living & before == set()


@pytest.mark.parametrize("kind", BROKERS)
def test_up_right_after_everything_was_killed(small: LauncherSettings, kind: str) -> None:
    """kill -9 of the supervisor and all services at once: the next `up`, at once, works at the first try, and what
    was committed is there."""
    given = small.model_copy(update={"broker": kind})
    parts = _some("postgres", "broker", "mongo", "simulator", "sns")
    stack = launcher.up(given, lambda _: None, parts)
    dsn = Credentials(given.home / "secrets")["postgres"]
    server = PostgreSQL(given.home / "postgres" / "data", given.port("postgres"), dsn)
    with psycopg.connect(server.superuser_dsn()) as connection:
        connection.execute("create table kept as select 1 as id")
    for _ in range(2):
        for process in marked_processes(str(given.home)):
            process.kill()
        stack = launcher.up(given, lambda _: None, parts)
        assert all(service.server.ready() for service in stack.services)
    with psycopg.connect(server.superuser_dsn()) as connection:
        assert connection.execute("select id from kept").fetchone() == (1,)


def test_what_a_killed_launcher_was_preparing_is_ended(small: LauncherSettings) -> None:
    """A launcher that is killed while it creates MongoDB's user leaves a server behind, open to all and holding the
    data; the next `up` ends it and goes on."""
    mongo = assemble(small).nodes["mongo"].server
    assert isinstance(mongo, SecantusDB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunningServer, "stop", lambda self: None)  # what a killed launcher does not do
        mongo.prepare()
    (mongo.data / "wiredtiger" / "user-created").unlink()
    (left,) = marked_processes(str(small.home), "mongo")
    stack = launcher.up(small, lambda _: None, _some("mongo"))
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    assert stack.services[0].server.ready()


def test_postgresql_starts_though_its_killed_servers_id_is_another_programs(tmp_path: Path) -> None:
    """A process id that was reused, as after a restart of the machine or container, holds no lock."""
    server = PostgreSQL(tmp_path / "data", free_port(), "secret", durable=False)
    with RunningServer(server, tmp_path / "log") as running:
        running.kill()
        lock = server.data / "postmaster.pid"
        lock.write_text("\n".join([str(os.getppid()), *lock.read_text().splitlines()[1:]]) + "\n")
        running.start()
        assert server.ready()


def test_a_lock_of_a_server_that_runs_stays(tmp_path: Path) -> None:
    """Preparing a data folder again never takes the lock from the server that uses it."""
    server = PostgreSQL(tmp_path / "data", free_port(), "secret", durable=False)
    with RunningServer(server, tmp_path / "log"):
        server.prepare()
        assert (server.data / "postmaster.pid").exists()


def test_clean_removes_the_home_and_nothing_else(small: LauncherSettings, tmp_path: Path) -> None:
    """`clean` stops the stack and removes its folder; it refuses a folder that is not its own."""
    launcher.up(small, lambda _: None, _some("simulator"))
    launcher.clean(small, lambda _: None)
    assert not small.home.exists()
    stranger = tmp_path / "documents"
    stranger.mkdir()
    (stranger / "thesis").touch()
    with pytest.raises(StackError, match="does not look like"):
        launcher.clean(small.model_copy(update={"home": stranger}), lambda _: None)
    assert (stranger / "thesis").exists()


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that forbids user namespaces, as most containers do."""
    works = postgresql._works
    monkeypatch.setattr(postgresql, "_works", lambda command: command[0] != "unshare" and works(command))
    postgresql.stepping_down.cache_clear()
    yield
    postgresql.stepping_down.cache_clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_postgresql_steps_down_without_user_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_namespaces: None
) -> None:
    """Where namespaces are forbidden, root's PostgreSQL runs as nobody in root's own folder, its programs too: they
    lie with the installation, which may be in a home that only root may enter."""
    tmp_path.chmod(0o700)
    programs = postgresql.binaries()
    package = programs.parents[1]
    for folder in (programs.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.relative_to(package.parent))
    programs = tmp_path / programs.relative_to(package.parent)
    monkeypatch.setattr(postgresql, "binaries", lambda: programs)
    server = PostgreSQL(tmp_path / "data", free_port(), "secret", durable=False)
    with RunningServer(server, tmp_path / "log") as running:
        assert psutil.Process(running.pid).uids().effective != 0
        assert psutil.Process(running.pid).exe().startswith(str(tmp_path))
        with psycopg.connect(server.superuser_dsn()) as connection:
            assert connection.execute("select count(*) > 0 from pg_timezone_names").fetchone() == (True,)
