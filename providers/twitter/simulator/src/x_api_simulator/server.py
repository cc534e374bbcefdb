"""The HTTP server: X's door under /2/ and the control door under /_control/.

Others run it in a thread: `uvicorn.Server(uvicorn.Config(create_app(World(7, epoch_ms, 2.0)), port=0))`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from x_api_simulator.clock import to_text
from x_api_simulator.control import ControlDoor
from x_api_simulator.endpoints import ENDPOINTS, Endpoint, ask
from x_api_simulator.faults import Faults, Reply
from x_api_simulator.journal import Journal
from x_api_simulator.limits import RateLimits
from x_api_simulator.problems import (
    Refused,
    client_forbidden,
    no_such_page,
    too_many_requests,
    unauthorized,
    unsupported_authentication,
)
from x_api_simulator.vocabulary import VOCABULARIES, Vocabulary, spoken
from x_api_simulator.world import World

REFUSED_TOKEN = "invalid"  # noqa: S105
NOT_ENROLLED_TOKEN = "forbidden"  # noqa: S105
API_VERSIONS = {"tweet": "2.166", "post": "2.167"}


def create_app(
    world: World,
    *,
    tokens: Collection[str] = (),
    journal: Journal | None = None,
    vocabulary: str = "tweet",
) -> Starlette:
    """An ASGI application that answers as X for this world.

    `tokens`: the bearer tokens accepted; empty accepts every one but "invalid" (401) and "forbidden" (403).
    `vocabulary`: tweet or post, for requests whose parameters speak neither. `journal`: where changes through the
    control door are kept; those in it are replayed here.
    """
    faults, limits = Faults(), RateLimits({endpoint.name: endpoint.limit for endpoint in ENDPOINTS})
    control = ControlDoor(world, faults, limits, journal)
    door = _Door(world, frozenset(tokens), faults, limits, control, VOCABULARIES[vocabulary])
    routes = [Route(endpoint.path, _Asked(door, endpoint), methods=["GET"]) for endpoint in ENDPOINTS]
    routes += control.routes()
    routes.append(Route("/{rest:path}", _Asked(door, None)))
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


class _Door:
    """Everything between the socket and an endpoint: faults, authentication, limits, the list of requests."""

    def __init__(
        self,
        world: World,
        tokens: frozenset[str],
        faults: Faults,
        limits: RateLimits,
        control: ControlDoor,
        default: Vocabulary,
    ) -> None:
        self._world, self._tokens, self._faults, self._limits = world, tokens, faults, limits
        self._control, self._default = control, default

    def answer(self, request: Request, endpoint: Endpoint | None) -> Reply:
        started = time.perf_counter()
        params = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        vocabulary = spoken(dict(params), self._default)
        fault = self._faults.take(request.url.path)
        headers = {"content-type": "application/json; charset=utf-8"}
        try:
            digest = self._authenticate(request.headers.get("authorization", ""), vocabulary)
            if endpoint is None:
                raise no_such_page()
            allowed, rate_headers = self._limits.spend(endpoint.name, digest)
            headers |= rate_headers
            if not allowed:
                raise too_many_requests()
            user_id = request.path_params.get("id", "")
            answer = ask(endpoint, self._world, params, self._default, user_id=user_id, fault=fault)
            status, body = 200, orjson.dumps(answer)
        except Refused as refusal:
            status, body = refusal.status, orjson.dumps(refusal.body)
            headers["content-type"] = "application/problem+json"
        headers |= {
            "api-version": API_VERSIONS[vocabulary.name],
            "x-access-level": "read",
            "x-response-time": str(int((time.perf_counter() - started) * 1000)),
        }
        reply = Reply(status, body, headers, fault)
        self._control.requests.append(
            {
                "method": request.method,
                "path": request.url.path,
                "params": dict(params),
                "status": reply.status,
                "at": to_text(self._world.clock.now_ms()),
                "fault": fault is not None,
            }
        )
        return reply

    def _authenticate(self, header: str, vocabulary: Vocabulary) -> str:
        """A digest of the token, for counting; the token itself is kept nowhere.

        Only app-only bearer tokens are simulated: another scheme is answered as where X supports none but these
        (OpenAPI `security` of counts and usage).
        """
        scheme, _, token = header.strip().partition(" ")
        token = token.strip()
        if not token:
            raise unauthorized()
        if scheme.lower() != "bearer":
            raise unsupported_authentication(vocabulary.name, scheme)
        if token == NOT_ENROLLED_TOKEN and token not in self._tokens:
            raise client_forbidden(vocabulary.name)
        if token not in self._tokens if self._tokens else token == REFUSED_TOKEN:
            raise unauthorized()
        return hashlib.sha256(token.encode()).hexdigest()


class _Asked:
    """One endpoint as an ASGI application."""

    def __init__(self, door: _Door, endpoint: Endpoint | None) -> None:
        self._door, self._endpoint = door, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door.answer(Request(scope), self._endpoint)(scope, receive, send)
