"""The documents agree with the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

from twitter_pipeline.cli import COMMANDS
from twitter_pipeline.settings import PORTED, read_environment_file
from twitter_pipeline.stack.settings import LauncherSettings

CLONE = Path(__file__).resolve().parents[2]
OF_DAGS = re.compile(r'os\.environ\.get\("(PIPELINE_[A-Z_]+)"')


def test_generated_pages_are_up_to_date() -> None:
    """docs/dags.md and docs/data-dictionary.md are what `make docs` would write."""
    run = subprocess.run(
        [sys.executable, str(CLONE / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr[-2000:]


def _known_settings() -> dict[str, str]:
    """Every variable that is read, with its default as people write it."""
    known = {variable: default.lower() for variable, default in LauncherSettings.defaults().items()}
    for file in (CLONE / "dags").glob("*.py"):
        known |= dict.fromkeys(set(OF_DAGS.findall(file.read_text())) - known.keys(), "")
    known |= {f"PIPELINE_PORT_{name.upper()}": "" for name in PORTED}
    return known | {"PIPELINE_HOME": ""}


def test_readme_lists_every_setting_with_its_default() -> None:
    """The README's table names each variable that is read, no other, and its true default."""
    rows = re.findall(
        r"^\| `((?:PIPELINE|X)_[A-Z_<>]+)` \| (.*?) \|", (CLONE / "README.md").read_text(), re.MULTILINE
    )
    told = {name: default.strip("`") for name, default in rows}
    ports = {name for name in _known_settings() if name.startswith("PIPELINE_PORT_")} - {"PIPELINE_PORT_BASE"}
    known = {name: default for name, default in _known_settings().items() if name not in ports}
    assert told.keys() == known.keys() | {"PIPELINE_PORT_<NAME>"}
    assert {name: told[name] for name, default in known.items() if default} == {
        name: default for name, default in known.items() if default
    }
    for name in PORTED:
        assert f"`{name}`" in (CLONE / "README.md").read_text(), f"the README does not name the port {name}"


def test_example_of_the_environment_file_is_true() -> None:
    """.env.example can be read, sets nothing, and names only variables that are read."""
    path = CLONE / ".env.example"
    assert read_environment_file(path) == {}
    named = set(re.findall(r"^# ?((?:PIPELINE|X)_[A-Z_]+)=", path.read_text(), re.MULTILINE))
    assert named <= _known_settings().keys()
    assert {"X_BEARER_TOKEN", "X_BUDGET_USD"} <= named


def test_readme_names_every_command() -> None:
    """Each command of `twitter-pipeline` and each target of the Makefile is in the README."""
    readme = (CLONE / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):.*##", (CLONE / "Makefile").read_text(), re.MULTILINE)
    missing = [f"make {target}" for target in targets if f"make {target}" not in readme]
    missing += [f"twitter-pipeline {name}" for name in COMMANDS if f"twitter-pipeline {name}" not in readme]
    assert missing == []


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link of README, CHANGELOG and docs/ names a file that exists."""
    broken = []
    for page in [CLONE / "README.md", CLONE / "CHANGELOG.md", *(CLONE / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(CLONE)}: {target}")
    assert broken == []
