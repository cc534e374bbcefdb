"""One simulator per session, served by a real uvicorn in a thread, its clock held still.

Its world is read-only by agreement; `start` starts one that a test may change.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.simulators import Simulator, frozen_world, serve
from x_api_simulator.journal import Journal


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """A world of about four thousand tweets at 02:00 on its first day; not to be changed."""
    with serve(frozen_world()) as served:
        served.control("limits", {"endpoint": "search_recent", "limit": 1_000_000})
        yield served


@pytest.fixture
def start() -> Iterator[Callable[..., Simulator]]:
    """Starts simulators that a test may change; all stop at its end."""
    with contextlib.ExitStack() as running:

        def start_one(rate: float = 0.05, journal: Journal | None = None, **options: Any) -> Simulator:
            return running.enter_context(serve(frozen_world(rate=rate), journal=journal, **options))

        yield start_one
