"""The bootstrap says what is missing and does nothing twice."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def bootstrap() -> ModuleType:
    """The script at the root of the clone, loaded and not run."""
    spec = importlib.util.spec_from_file_location("bootstrap", Path(__file__).parents[3] / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_too_old_a_python_is_told(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a newer Python on the PATH the message names both versions and the way out."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"Python 3\.9, and 3\.11 or newer is needed"):
        bootstrap.use_new_enough_python()


def test_an_unfinished_install_is_no_install(bootstrap: ModuleType, tmp_path: Path) -> None:
    """Only the stamp that is written last, and matches, counts."""
    bootstrap.PYTHON, bootstrap.STAMP = sys.executable, str(tmp_path / "installed")
    assert not bootstrap.installed()
    (tmp_path / "installed").write_text("of another lock")
    assert not bootstrap.installed()
    (tmp_path / "installed").write_text(bootstrap.fingerprint())
    assert bootstrap.installed()


def test_the_lock_pins_the_uv_that_installs_it(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip is asked for exactly one version of uv, with hashes."""
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "run", lambda command, _: asked.append(Path(command[-1]).read_text()))
    bootstrap.install_uv()
    assert asked[0].startswith("uv==")
    assert asked[0].count("==") == 1
    assert "--hash=sha256:" in asked[0]


def test_no_address_is_in_the_lock(bootstrap: ModuleType) -> None:
    """The lock holds names, versions and hashes, and no address of any index."""
    text = Path(bootstrap.LOCK).read_text()
    assert "http://" not in text
    assert "https://" not in text
