"""The picture in docs/architecture.md and the README's map show the existing packages in the enforced order."""

import re
import tomllib
from pathlib import Path

import twitter_pipeline

CLONE = Path(__file__).resolve().parents[2]
PAGE = (CLONE / "docs" / "architecture.md").read_text("utf-8")
DOMAIN = Path(twitter_pipeline.__path__[0])
BOX = re.compile(r"┌─ twitter_pipeline ─.*?\n(.*?)└", re.DOTALL)


def picture() -> str:
    found = re.search(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found, "docs/architecture.md has no picture in a block of ```text"
    return found[1]


def drawn_layers() -> list[set[str]]:
    """The lines of the domain's box, from top to bottom."""
    box = BOX.search(picture())
    assert box, "the picture has no box of twitter_pipeline"
    lines = (line.split("│")[-2] for line in box[1].splitlines() if line.count("│") >= 2)
    return [set(line.split()) for line in lines]


def linter() -> dict:
    """The configuration of import-linter."""
    return tomllib.loads((CLONE / "pyproject.toml").read_text())["tool"]["importlinter"]


def held_layers() -> list[set[str]]:
    """The layers that `make check` holds; those that are optional there need not exist."""
    (contract,) = (c for c in linter()["contracts"] if c.get("containers") == ["twitter_pipeline"])
    names = ([name.strip("() ") for name in layer.split(" : ")] for layer in contract["layers"])
    layers = [{name for name in layer if name in rooms()} for layer in names]
    return [layer for layer in layers if layer]


def rooms() -> set[str]:
    """The packages and modules of the domain, as they lie on disk."""
    packages = {path.parent.name for path in DOMAIN.glob("*/__init__.py")}
    return packages | {path.stem for path in DOMAIN.glob("*.py")} - {"__init__"}


def test_the_picture_shows_every_room_in_its_layer() -> None:
    """A package that is new, removed, or moved to another layer must be drawn accordingly."""
    assert set().union(*drawn_layers()) == rooms()
    assert drawn_layers() == held_layers()


def test_the_picture_shows_every_distribution() -> None:
    """The picture shows exactly the packages whose imports are checked."""
    assert sorted(re.findall(r"┌─ (\w+) ─", picture())) == sorted(linter()["root_packages"])


def test_the_walks_pass_through_every_room() -> None:
    """Every package occurs in one of the walks or is described in a sentence of its own."""
    text = PAGE.replace(picture(), "")
    assert [room for room in sorted(rooms()) if f"`{room}`" not in text] == []


def test_the_map_in_the_readme_names_every_package() -> None:
    """The rooms that are folders; single modules stand beside them."""
    found = re.search(r"## Code layout\n\n```\n(.*?)```", (CLONE / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    below = found[1].partition("src/twitter_pipeline/\n")[2].partition("\nplugins/")[0]
    named = {name for line in below.splitlines() for name in re.findall(r"(\w+)/", line[:24])}
    assert named == {path.parent.name for path in DOMAIN.glob("*/__init__.py")}
