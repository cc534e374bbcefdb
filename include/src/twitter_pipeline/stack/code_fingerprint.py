"""Which code of ours a process began with: editable installs change under processes that go on with the old code."""

import hashlib
import importlib.util
from pathlib import Path

PACKAGES = ("twitter_pipeline", "airflow_provider_twitter", "tweet_envelope", "x_api_simulator")


def code_fingerprint(clone: Path) -> str:
    """A hash of every file of the project's packages and of its plugins.

    Dags are not among them: Airflow parses them again by itself, and each task begins with the file as it is.
    """
    digest = hashlib.sha256()
    folders = {name: folder for name in PACKAGES for folder in _folders_of(name)}
    for name, folder in (folders | {"plugins": clone / "plugins"}).items():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{name}/{path.relative_to(folder)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _folders_of(package: str) -> list[Path]:
    """Where a package lies, without importing it; none when it is not installed."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
