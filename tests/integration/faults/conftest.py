"""Drains to be struck, a broker to be wiped, and the oracle that the stores are held against."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.oracle import Oracle
from support.striking import StrikableDrains
from support.way import Way
from twitter_pipeline.stack.servers import RunningServer, free_port
from twitter_pipeline.stack.tansu import Tansu


@pytest.fixture(scope="module")
def strikable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrikableDrains]:
    drains = StrikableDrains(tmp_path_factory.mktemp("drains") / "log")
    yield drains
    drains.close()


@pytest.fixture
def tansu(tmp_path: Any) -> Iterator[RunningServer]:
    """A Tansu broker of this test's own; a restart wipes it."""
    with RunningServer(Tansu(free_port()), tmp_path / "log") as running:
        yield running


@pytest.fixture
def oracle(way: Way, postgres: Any) -> Oracle:
    """What a load of this test's own leaves when nothing disturbs it."""
    return Oracle(way, postgres.superuser_dsn)
