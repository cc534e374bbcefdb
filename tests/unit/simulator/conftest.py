"""One simulator per session, served by a real uvicorn in a thread, its clock held still.

Its world is read-only by agreement; `fresh` starts one that a test may change.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from x_api_simulator.clock import Clock, parse_moment
from x_api_simulator.journal import Journal
from x_api_simulator.server import create_app
from x_api_simulator.world import World

EPOCH_MS = parse_moment("2026-03-01T00:00:00Z")
NOW_MS = EPOCH_MS + 2 * 3_600_000


@dataclass
class Simulator:
    """A served world and a client with a good token."""

    world: World
    http: httpx.Client

    def get(self, path: str, **params: Any) -> httpx.Response:
        """Ask; dots in parameter names are written as double underscores."""
        return self.http.get(path, params={name.replace("__", "."): value for name, value in params.items()})

    def ok(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def search(self, query: str, **params: Any) -> dict[str, Any]:
        return self.ok("/2/tweets/search/recent", query=query, **params)

    def control(self, path: str, body: Any) -> Any:
        answer = self.http.post(f"/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def truth(self, **params: Any) -> dict[str, Any]:
        return self.ok("/_control/truth", **params)

    def walk(self, path: str, **params: Any) -> list[str]:
        """Every id of every page, in the order given."""
        ids: list[str] = []
        while True:
            page = self.ok(path, **params)
            ids += [tweet["id"] for tweet in page.get("data", [])]
            token = page["meta"].get("next_token")
            if token is None:
                return ids
            params["pagination_token"] = token


@contextlib.contextmanager
def serve(world: World, **options: Any) -> Iterator[Simulator]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # or a request that comes before the thread does is refused
        app = create_app(world, **options)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=base, headers={"authorization": "Bearer any"}, timeout=10) as http:
                yield Simulator(world, http)
        finally:
            server.should_exit = True
            thread.join(10)


def frozen_world(seed: int = 7, rate: float = 0.5) -> World:
    return World(seed, EPOCH_MS, rate, Clock(frozen_at_ms=NOW_MS))


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
