"""A small X on a real socket that answers as a test says."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tweet_envelope.ids import EPOCH_MS


def id_at(moment: datetime, sequence: int = 0) -> int:
    """The id of a tweet that was made then."""
    return ((int(moment.timestamp() * 1000) - EPOCH_MS) << 22) + sequence


def page(*ids: int, token: str | None = None, **more: Any) -> dict[str, Any]:
    """A page of X with these tweets."""
    meta: dict[str, Any] = {"result_count": len(ids)} | ({"next_token": token} if token else {})
    body: dict[str, Any] = {"meta": meta, **more}
    if ids:
        body["data"] = [{"id": str(each), "text": f"tweet {each}"} for each in ids]
    return body


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


class XServer:
    """A server on a free port that remembers what it was asked; a kind of it answers in `respond`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        x = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                params = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                asked = Asked(parts.path, params, headers, self.command, body)
                x.asked.append(asked)
                try:
                    x.respond(Handled(self), asked)
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

    def respond(self, handled: Handled, asked: Asked) -> None:
        """Answer one request."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class FakeX(XServer):
    """Serves queued behaviours, one a request; the last one stays."""

    def __init__(self) -> None:
        self._behaviours: list[Behaviour] = []
        super().__init__()

    def respond(self, handled: Handled, asked: Asked) -> None:
        behaviours = self._behaviours
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        behaviour(handled, asked)

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


@dataclass
class Answer:
    """What X says to one request; `body` other than bytes is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class SmallX(XServer):
    """Answers each path by its behaviour: a function of the request, or answers in order of which the last stays."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Asked], Answer] | list[Answer]] = {}
        super().__init__()

    def respond(self, handled: Handled, asked: Asked) -> None:
        answer = self._answer(asked)
        handled.send(answer.as_bytes(), answer.status, **answer.headers)

    def _answer(self, asked: Asked) -> Answer:
        route = self.routes.get(asked.path)
        if route is None:
            return Answer({"title": "Not Found", "status": 404}, 404)
        if callable(route):
            return route(asked)
        return route.pop(0) if len(route) > 1 else route[0]


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
        more = str(start + size) if start + size < len(ids) else None
        handled.send(msgspec.json.encode(page(*ids[start : start + size], token=more)))
