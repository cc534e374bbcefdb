"""A real HTTP server that answers as a test says, a client of it, and books and a sink that remember."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-provider-tests-"))

from airflow_provider_twitter.client import Backoff, Limits, Pace, XClient
from airflow_provider_twitter.poll import InMemoryBooks
from tweet_envelope.writing import Message

CANARY = "canary-7f3a9c51-token"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass
class Handled:
    """The connection of one request, for answers that misbehave."""

    handler: BaseHTTPRequestHandler

    def send(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handler.send_response_only(status)
        for name, value in {"content-type": "application/json", **named}.items():
            self.handler.send_header(name, value)
        self.handler.send_header("content-length", str(len(body) if length is None else length))
        self.handler.end_headers()
        self.handler.wfile.write(body)


Behaviour = Callable[[Handled, Asked], None]


class FakeX:
    """Serves queued behaviours, one a request; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._behaviours: list[Behaviour] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                params = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                asked = Asked(parts.path, params, headers, self.command, body)
                fake.asked.append(asked)
                behaviours = fake._behaviours
                behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
                try:
                    behaviour(Handled(self), asked)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def answers(
        self, body: Any = b'{"meta":{"result_count":0}}', status: int = 200, **headers: str
    ) -> "FakeX":
        """Queue an answer; anything but bytes is sent as JSON. Header names with _ for -."""
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.behaves(lambda handled, _: handled.send(payload, status, **headers))

    def behaves(self, behaviour: Behaviour) -> "FakeX":
        """Queue a behaviour."""
        self._behaviours.append(behaviour)
        return self

    def now_behaves(self, behaviour: Behaviour) -> None:
        """From now on only this."""
        self._behaviours[:] = [behaviour]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def x() -> Iterator[FakeX]:
    """A server of this test's own on a free port."""
    fake = FakeX()
    yield fake
    fake.close()


@dataclass
class Slept:
    """How long the client would have slept."""

    seconds: list[float] = field(default_factory=list)


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


@dataclass
class NotingBooks(InMemoryBooks):
    """In-memory books that note every call in order."""

    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def may_spend(self, endpoint: str, price_usd: Any) -> str:
        self.notes.append(("may_spend", {"endpoint": endpoint, "price_usd": price_usd}))
        super().may_spend(endpoint, price_usd)
        return f"reservation-{len(self.notes)}"

    def record_request(self, reservation: str, **facts: Any) -> None:
        self.notes.append(("record_request", {"reservation": reservation, **facts}))
        super().record_request(reservation, **facts)

    def page_acknowledged(self, **facts: Any) -> None:
        self.notes.append(("page_acknowledged", facts))
        super().page_acknowledged(**facts)

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None) -> None:
        self.notes.append(("poll_finished", {"newest_id": newest_id}))
        super().poll_finished(newest_id, newest_at)

    def count_differs(self, request_id: str, **facts: Any) -> None:
        self.notes.append(("count_differs", facts))

    def set_aside(self, **facts: Any) -> None:
        self.notes.append(("set_aside", facts))
        super().set_aside(**facts)

    def noted(self, name: str) -> list[dict[str, Any]]:
        return [facts for each, facts in self.notes if each == name]


@pytest.fixture
def books() -> NotingBooks:
    return NotingBooks()


class ListSink:
    """A sink that keeps messages; `break_after` batches it fails."""

    topic = "raw-tweets"
    topic_id = "topic-1"

    def __init__(self, break_after: int | None = None) -> None:
        self.batches: list[list[Message]] = []
        self.break_after = break_after

    def produce(self, messages: list[Message]) -> dict[int, int]:
        if self.break_after is not None and len(self.batches) >= self.break_after:
            raise ConnectionError("Kafka is gone")
        self.batches.append(messages)
        return {0: sum(map(len, self.batches)) - 1}

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    @property
    def ids(self) -> list[int]:
        """Ids of all tweets produced, in order."""
        kinds = (msgspec.json.decode(message.value) for message in self.messages)
        return [int(envelope["tweet"]["id"]) for envelope in kinds if envelope["kind"] == "tweet"]


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


class Emulator:
    """A tiny emulator of recent search over some ids; what it does as X does is chosen by name.

    `honours` may hold since_id, until_id, sorting. Tokens are positions in its list.
    """

    def __init__(
        self, ids: Sequence[int], *, honours: Sequence[str] = (), page_size: int | None = None
    ) -> None:
        self.ids = list(ids)
        self.honours = set(honours)
        self.page_size = page_size

    def __call__(self, handled: Handled, asked: Asked) -> None:
        ids = sorted(self.ids, reverse=True) if "sorting" in self.honours else self.ids
        if "since_id" in self.honours and "since_id" in asked.params:
            ids = [each for each in ids if each > int(asked.params["since_id"])]
        if "until_id" in self.honours and "until_id" in asked.params:
            ids = [each for each in ids if each < int(asked.params["until_id"])]
        start = int(asked.params.get("next_token", "0"))
        size = self.page_size or int(asked.params["max_results"])
        meta: dict[str, Any] = {"result_count": len(ids[start : start + size])}
        if start + size < len(ids):
            meta["next_token"] = str(start + size)
        body: dict[str, Any] = {"meta": meta}
        if ids[start : start + size]:
            body["data"] = [{"id": str(each), "text": f"tweet {each}"} for each in ids[start : start + size]]
        handled.send(msgspec.json.encode(body))


@pytest.fixture
def emulator() -> type[Emulator]:
    return Emulator
