"""An export file is complete or absent, and nothing is written where it should not be."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twitter_pipeline.exports.destination import Refused, written_whole

WRITER = """
import pathlib, sys
from twitter_pipeline.exports.destination import written_whole
with written_whole(pathlib.Path(sys.argv[1]), replace=True) as stream:
    stream.write(b"new" * 1_000_000)
    stream.flush()
    print("half-way", flush=True)
    sys.stdin.read()
"""


def write(file: Path, meanwhile: Callable[[], object], *, replace: bool = True) -> None:
    with written_whole(file, replace=replace) as stream:
        stream.write(b"half")
        meanwhile()


def test_whole(tmp_path: Path) -> None:
    """The file has what was written and the usual permissions, and no other file is left."""
    with written_whole(tmp_path / "out.csv") as stream:
        stream.write(b"all of it")
        assert not (tmp_path / "out.csv").exists()
    assert (tmp_path / "out.csv").read_bytes() == b"all of it"
    (tmp_path / "other").touch()
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["other", "out.csv"]


def test_error_leaves_nothing(tmp_path: Path) -> None:
    """If writing fails, the folder is unchanged, and so is a file that was to be replaced."""
    (tmp_path / "old.csv").write_bytes(b"old")
    for name in ("new.csv", "old.csv"):
        with pytest.raises(ZeroDivisionError):
            write(tmp_path / name, lambda: 1 / 0)
    assert os.listdir(tmp_path) == ["old.csv"]
    assert (tmp_path / "old.csv").read_bytes() == b"old"


@pytest.mark.parametrize("before", [None, b"old"])
def test_killed_half_way(tmp_path: Path, before: bytes | None) -> None:
    """After a kill while writing, the final name has nothing, or the old file."""
    target = tmp_path / "out.csv"
    if before is not None:
        target.write_bytes(before)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half-way\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (target.read_bytes() if target.exists() else None) == before
    with written_whole(target, replace=True) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"


def test_refusals(tmp_path: Path) -> None:
    """A link, a folder, a device, an existing file and a missing folder are refused with what to do."""
    (tmp_path / "there.csv").write_bytes(b"old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "there.csv")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    for name, replace, message in [
        ("there.csv", False, "already exists; --force replaces it"),
        ("link.csv", True, "symbolic link"),
        ("dangling.csv", False, "symbolic link"),
        (".", True, "is a folder"),
        ("fifo", True, "not a regular file"),
        ("missing/out.csv", False, "does not exist; create it first"),
    ]:
        with pytest.raises(Refused, match=message), written_whole(tmp_path / name, replace=replace):
            pytest.fail("nothing may be written")
    assert (tmp_path / "there.csv").read_bytes() == b"old"


def test_unwritable_folder() -> None:
    """A folder that cannot be written to is refused, naming the intended file."""
    with pytest.raises(Refused, match=r"/proc.* (could not be written|is not writable)"):
        write(Path("/proc/out.csv"), lambda: None)


def test_came_into_being_meanwhile(tmp_path: Path) -> None:
    """A file that appears at the name while the export runs is not overwritten."""
    with pytest.raises(Refused, match="already exists"):
        write(tmp_path / "out.csv", lambda: (tmp_path / "out.csv").write_bytes(b"theirs"), replace=False)
    assert (tmp_path / "out.csv").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out.csv"]
