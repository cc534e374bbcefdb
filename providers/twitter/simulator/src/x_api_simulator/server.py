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
from x_api_simulator.user_auth import ACCESS_PREFIX, UserAuth
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
    """An ASGI application that answers as X would for this world.

    `tokens`: the only bearer tokens accepted, without users' credentials; if empty, users' credentials and all bearer
    tokens are accepted except "invalid" (401) and "forbidden" (403).
    `vocabulary`: tweet or post, for requests whose parameters use neither. `journal`: where changes made through the
    control door are kept; changes already in it are replayed here.
    """
    faults, limits = Faults(), RateLimits({endpoint.name: endpoint.limit for endpoint in ENDPOINTS})
    control = ControlDoor(world, faults, limits, journal)
    door = _Door(world, frozenset(tokens), faults, limits, control, VOCABULARIES[vocabulary])
    routes = [Route(endpoint.path, _Asked(door, endpoint), methods=["GET"]) for endpoint in ENDPOINTS]
    routes += control.routes()
    if not tokens:
        routes.append(Route("/2/oauth2/authorize", _Granting(door), methods=["GET"]))
        routes.append(Route("/2/oauth2/token", _Granting(door), methods=["POST"]))
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
        self._users = UserAuth(world.clock.now_ms)

    def answer(self, request: Request, endpoint: Endpoint | None) -> Reply:
        started = time.perf_counter()
        params = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        vocabulary = spoken(dict(params), self._default)
        fault = self._faults.take(request.url.path)
        headers = {"content-type": "application/json; charset=utf-8"}
        try:
            kind, digest = self._authenticate(request, vocabulary)
            if endpoint is None:
                raise no_such_page()
            if kind not in endpoint.auth:
                raise unsupported_authentication(vocabulary.name, kind, endpoint.auth)
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
        return self._noted(request, dict(params), Reply(status, body, headers, fault))

    def grant(self, request: Request, form: str) -> Reply:
        """The authorize page, which redirects the browser, and the token endpoint. If a fault answers, nothing is granted."""
        fault = self._faults.take(request.url.path)
        headers = {"content-type": "application/json; charset=utf-8"}
        try:
            if fault is not None and fault.replaces_answer():
                status, body = 200, b""
            elif request.method == "POST":
                answer = self._users.token(dict(parse_qsl(form)), request.headers.get("authorization", ""))
                status, body = 200, orjson.dumps(answer)
            else:
                headers["location"] = self._users.authorize(dict(request.query_params))
                status, body = 302, b""
        except Refused as refusal:
            status, body = refusal.status, orjson.dumps(refusal.body)
        return self._noted(request, {}, Reply(status, body, headers, fault))

    def _noted(self, request: Request, params: dict[str, str], reply: Reply) -> Reply:
        self._control.requests.append(
            {
                "method": request.method,
                "path": request.url.path,
                "params": params,
                "status": reply.status,
                "at": to_text(self._world.clock.now_ms()),
                "fault": reply.fault is not None,
            }
        )
        return reply

    def _authenticate(self, request: Request, vocabulary: Vocabulary) -> tuple[str, str]:
        """The kind of credentials (OpenAPI `security`) and a digest of their owner; secrets are not stored."""
        header = request.headers.get("authorization", "").strip()
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if not token:
            raise unauthorized()
        if scheme.lower() == "oauth" and not self._tokens:
            url, query = str(request.url.replace(query="")), request.url.query
            return "UserToken", _digest(self._users.signer_of(request.method, url, query, header))
        if scheme.lower() != "bearer":
            raise unsupported_authentication(vocabulary.name, scheme)
        if token.startswith(ACCESS_PREFIX) and not self._tokens:
            return "OAuth2UserToken", _digest(self._users.client_of(token))
        if token == NOT_ENROLLED_TOKEN and token not in self._tokens:
            raise client_forbidden(vocabulary.name)
        if token not in self._tokens if self._tokens else token == REFUSED_TOKEN:
            raise unauthorized()
        return "BearerToken", _digest(token)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _Asked:
    """One endpoint as an ASGI application."""

    def __init__(self, door: _Door, endpoint: Endpoint | None) -> None:
        self._door, self._endpoint = door, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door.answer(Request(scope), self._endpoint)(scope, receive, send)


class _Granting:
    """The pages of OAuth 2.0 as an ASGI application."""

    def __init__(self, door: _Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        form = (await request.body()).decode("latin-1")
        await self._door.grant(request, form)(scope, receive, send)
