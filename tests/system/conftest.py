"""Whole stacks, of a test's own and shared."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.stacks import Stack, running


@pytest.fixture
def make_stack(tmp_path: Path) -> Callable[..., Any]:
    """`running` in this test's folder."""
    return lambda **options: running(tmp_path, **options)


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests that can share it, woken by the doorbells alone (no sweep).

    Its clock may stand still: who needs new tweets lets it go on, who needs the truth stops it. All stays running.
    """
    settings_of_it = {
        "PIPELINE_SWEEP_CRON": "",
        "PIPELINE_QUALITY_MINUTES": "600",
        "PIPELINE_SIMULATOR_RATE": "2",
    }
    with running(tmp_path_factory.mktemp("shared"), **settings_of_it) as stack:
        yield stack
