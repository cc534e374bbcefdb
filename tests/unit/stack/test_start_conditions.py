"""What is checked before anything starts: folder, disk, ports, secrets, broker, and one start at a time."""

import os
import socket
import threading
from pathlib import Path

import pytest

from twitter_pipeline.stack import apache_kafka, broker_choice, launcher, preflight, settings
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.servers import StackError, free_port


def test_a_taken_port_is_told_with_its_owner_and_its_setting() -> None:
    """The message names port, process and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            StackError, match=rf"port {port} for mongo .*pid {os.getpid()}.*PIPELINE_PORT_MONGO"
        ):
            preflight.check_ports({"mongo": port})


def test_one_port_for_two_parts_is_refused() -> None:
    """Two services cannot be given the same port."""
    port = free_port()
    with pytest.raises(StackError, match="both sns and mongo"):
        preflight.check_ports({"sns": port, "mongo": port})


def test_free_ports_pass() -> None:
    """Free ports raise no error."""
    preflight.check_ports({"mongo": free_port()})


def test_a_port_of_a_process_that_is_just_dying_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process holds its ports for a moment after it can no longer be found."""
    monkeypatch.setattr(preflight, "_owner", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Timer(0.5, listener.close).start()
        preflight.check_ports({"mongo": port})
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(StackError, match="another process"),
    ):
        preflight.check_ports({"mongo": listener.getsockname()[1]}, dying_seconds=0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A home that cannot be created is reported with the setting that moves it."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="PIPELINE_HOME"):
        preflight.check_home(tmp_path / "file" / "home")


def test_too_little_space_is_told_in_megabytes(tmp_path: Path) -> None:
    """The message says how much is free and how much is needed."""
    with pytest.raises(StackError, match=r"MB free, but 1000000000 MB are needed"):
        preflight.check_home(tmp_path / "home", needed_megabytes=1_000_000_000)


def test_a_second_start_at_once_is_told_who_is_at_work(tmp_path: Path) -> None:
    """While one command holds the stack's lock another is refused with its process id."""
    told = pytest.raises(StackError, match=f"process {os.getpid()} is working on")
    with launcher.sole(tmp_path), told, launcher.sole(tmp_path):
        pass
    with launcher.sole(tmp_path):
        pass


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    """A secret stays the same for the life of an installation and only its owner can read it."""
    made = Credentials(tmp_path / "secrets")["postgres"]
    assert Credentials(tmp_path / "secrets")["postgres"] == made
    assert len(made) > 30
    assert (tmp_path / "secrets" / "postgres").stat().st_mode & 0o777 == 0o600
    assert made not in repr(Credentials(tmp_path / "secrets"))


@pytest.mark.parametrize(
    ("asked", "missing", "chosen"), [("auto", None, "apache-kafka"), ("auto", "no java", "tansu")]
)
def test_the_broker_is_chosen_by_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, missing: str | None, chosen: str
) -> None:
    """Apache Kafka if it can run, else Tansu, with the reason."""
    monkeypatch.setattr(apache_kafka, "missing", lambda: missing)
    given = settings.load({"PIPELINE_BROKER": asked}, launched=False, root=tmp_path)
    choice = broker_choice.choose(given, Credentials(tmp_path / "secrets"))
    assert choice.kind == chosen
    assert missing is None or missing in choice.why


def test_a_broker_that_cannot_run_is_refused_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An explicit choice is followed or refused, never replaced."""
    monkeypatch.setattr(apache_kafka, "missing", lambda: "no java on the PATH")
    with pytest.raises(StackError, match="no java on the PATH"):
        broker_choice.choose(
            settings.load({"PIPELINE_BROKER": "apache-kafka"}, launched=False, root=tmp_path),
            Credentials(tmp_path / "secrets"),
        )
