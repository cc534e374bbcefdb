"""The bootstrap reports what is missing and does nothing twice."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

CLONE = Path(__file__).resolve().parents[3]


@pytest.fixture
def bootstrap() -> ModuleType:
    """The script at the root of the checkout, loaded but not run."""
    return _load()


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", CLONE / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_too_old_a_python_is_told(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a newer Python on the PATH, the message names both versions and what to do."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"Python 3\.9, but 3\.11 or newer is needed"):
        bootstrap.use_new_enough_python()


def test_an_unfinished_install_is_no_install(bootstrap: ModuleType, tmp_path: Path) -> None:
    """Only a matching stamp, which is written last, counts."""
    bootstrap.PYTHON, bootstrap.STAMP = sys.executable, str(tmp_path / "installed")
    assert not bootstrap.installed()
    (tmp_path / "installed").write_text("of another lock")
    assert not bootstrap.installed()
    (tmp_path / "installed").write_text(bootstrap.fingerprint())
    assert bootstrap.installed()


def test_another_environment_can_stand_beside_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """VENV names the folder, so that a checkout can be tested with several Pythons."""
    monkeypatch.delenv("VENV", raising=False)
    assert Path(_load().VENV) == CLONE / ".venv"
    monkeypatch.setenv("VENV", ".venv-3.13")
    other = _load()
    assert Path(other.VENV) == CLONE / ".venv-3.13"
    assert Path(other.STAMP).parent == Path(other.PYTHON).parents[1] == CLONE / ".venv-3.13"


def test_each_supported_python_is_tested() -> None:
    """The workflow runs everything on each Python that the distributions say they support."""
    workflow = yaml.safe_load((CLONE / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["everything"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert "for version in 3.13 3.12 3.11" in (CLONE / ".ci" / "run").read_text()


def test_the_lock_pins_the_uv_that_installs_it(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip installs exactly one version of uv, with hashes."""
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
