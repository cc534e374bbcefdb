"""Counts and times every API request by its route's template, never by its contents."""

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twitter_pipeline.metrics.statsd import Metrics

NO_ROUTE = "none"


class Measured:
    """ASGI middleware; metrics that cannot be sent are dropped."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            route: Any = scope.get("route")
            template = NO_ROUTE if route is None else route.path.replace("{id}", "id") or "/"
            self._metrics.count("api_requests_total", route=template, status=status)
            self._metrics.seconds("api_request_seconds", time.monotonic() - started, route=template)
