"""A bound on every request: an answer within seconds whatever hangs behind it, and no work for a client that is gone."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twitter_pipeline.api import problems

ANSWER_SECONDS = 4.8  # slightly after the store's own deadline, whose answer says more


class Bounded:
    """ASGI middleware for an app that reads no request bodies.

    A request without an answer after `seconds` gets 503. If the client closes the connection, the request is cancelled
    together with its PostgreSQL query. What cannot be cancelled (a waiting thread) is left behind.
    """

    def __init__(self, app: ASGIApp, seconds: float = ANSWER_SECONDS) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_abandoned = has_begun = False
        messages: asyncio.Queue[Message] = asyncio.Queue()

        async def send_unless_abandoned(message: Message) -> None:
            nonlocal has_begun
            if not is_abandoned:
                has_begun = True
                await send(message)

        async def watch() -> None:
            while True:
                message = await receive()
                messages.put_nowait(message)
                if message["type"] == "http.disconnect":
                    return

        answering = asyncio.ensure_future(self._app(scope, messages.get, send_unless_abandoned))
        watching = asyncio.ensure_future(watch())
        try:
            await asyncio.wait(
                {answering, watching}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not answering.done() and not watching.done() and has_begun:
                # the answer is on its way to a slow reader, which holds none of our resources but its bytes
                await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
                return
            is_abandoned = True
            if not watching.done():
                late = problems.answer(
                    503, f"no answer within {self._seconds:g} s; try again", {"Retry-After": "5"}
                )
                await late(scope, messages.get, send)
        finally:
            watching.cancel()
            if not answering.done():
                answering.cancel()
                answering.add_done_callback(_forget)


def _forget(task: "asyncio.Future[None]") -> None:
    """Retrieve the outcome of a request that nobody waits for, so that it is not reported as never retrieved."""
    if not task.cancelled():
        task.exception()
