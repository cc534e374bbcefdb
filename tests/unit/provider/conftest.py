"""A server that answers as a test says, a client of it, and books and a sink that remember."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-provider-tests-"))

from airflow_provider_twitter.client import Backoff, Limits, Pace, XClient
from support.noting import NotingBooks, Slept
from support.sinks import RememberingSink
from support.x_server import Emulator, FakeX

CANARY = "canary-7f3a9c51-token"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def x() -> Iterator[FakeX]:
    """A server of this test's own on a free port."""
    fake = FakeX()
    yield fake
    fake.close()


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def client_of(slept: Slept) -> Iterator[Callable[..., XClient]]:
    """Makes clients with the canary token, a clock that stands at NOW and waits that are only noted."""
    made: list[XClient] = []

    def make(url: str, **overrides: Any) -> XClient:
        options: dict[str, Any] = {
            "base_url": url,
            "allow_local": True,
            "limits": Limits(connect_seconds=2, read_seconds=2, total_seconds=5, body_bytes=1024 * 1024),
            "backoff": Backoff(tries=3),
            "pace": Pace(now=lambda: NOW, sleep=slept.seconds.append, random=lambda: 1.0),
        }
        made.append(XClient(CANARY, **{**options, **overrides}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(client_of: Callable[..., XClient], x: FakeX) -> XClient:
    """A client of the server `x`."""
    return client_of(x.url)


@pytest.fixture
def books() -> NotingBooks:
    return NotingBooks()


@pytest.fixture
def sink() -> RememberingSink:
    return RememberingSink()


@pytest.fixture
def emulator() -> type[Emulator]:
    return Emulator
