"""Which version of our code a process started with: with an editable install, a running process keeps the old code."""

import hashlib
import importlib.util
from pathlib import Path

PACKAGES = ("twitter_pipeline", "airflow_provider_twitter", "tweet_envelope", "x_api_simulator")


def code_fingerprint(clone: Path) -> str:
    """A hash of every file in the project's packages and plugins.

    Dags are not included: Airflow re-parses them by itself, and each task starts with the current file.
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
    """The folders of a package, found without importing it; empty if it is not installed."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
