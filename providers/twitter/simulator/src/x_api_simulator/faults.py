"""Faults on demand: everything that a server, a proxy or the network does to a client on a bad day.

A fault applies to the next `times` requests whose path begins with `path`, after letting `skip` of them pass. It
answers in X's place (status, body, redirect, bomb), spoils the correct answer (headers, cut, drip), or makes the
server misbehave while answering (ignore, repeat_page, unsorted). x-api-v2.md §5 reports non-JSON bodies on 5xx; the
rest is what clients must survive, whoever is at fault.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class Fault:
    """One fault; unset fields have no effect."""

    path: str = "/2/"
    times: int = 1
    skip: int = 0
    delay_seconds: float = 0.0
    """Wait this long before anything is sent."""
    status: int = 0
    """Answer with this status instead (with `body`, or else a body that is not JSON)."""
    body: str | None = None
    """Answer with this text instead."""
    content_type: str = ""
    headers: dict[str, str | None] = field(default_factory=dict)
    """Headers to set, or to leave out if null: Retry-After, x-rate-limit-reset, absurd or missing."""
    location: str = ""
    """Answer with a redirect to this address (status 302 unless set)."""
    cut_after_bytes: int = -1
    """Send this many bytes of the body, then break the connection."""
    gzip_bomb_bytes: int = 0
    """Answer with this many zeros, gzipped."""
    drip_seconds: float = 0.0
    """Slow loris: pause this long after every `drip_bytes` bytes of the body."""
    drip_bytes: int = 1
    ignore: tuple[str, ...] = ()
    """Parameters that the server ignores: since_id, until_id, …"""
    repeat_page: bool = False
    """Return the first page again whatever the token, always with a next_token."""
    unsorted: bool = False
    """Return the page's tweets out of order."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Fault:
        """A fault from JSON. Raises ValueError, which names unknown keys."""
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ValueError(
                f"a fault has no key {', '.join(unknown)}; known keys are {', '.join(sorted(known))}"
            )
        fault = cls(**given)
        fault.ignore = tuple(fault.ignore)
        return fault

    def replaces_answer(self) -> bool:
        return bool(self.status or self.body is not None or self.location or self.gzip_bomb_bytes)


class Faults:
    """The pending faults, in the order they were added. They live only in memory: a restart clears them."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def listed(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._waiting]

    def take(self, path: str) -> Fault | None:
        """The first fault for this path; uses up one of its `times`."""
        for fault in self._waiting:
            if not path.startswith(fault.path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._waiting.remove(fault)
            return fault
        return None


@dataclass(slots=True)
class Reply:
    """An answer before it is sent. Sends itself as an ASGI response, as badly as its fault demands."""

    status: int
    body: bytes
    headers: dict[str, str]
    fault: Fault | None = None

    def __post_init__(self) -> None:
        fault = self.fault
        if fault is None:
            return
        if fault.replaces_answer():
            self.status = fault.status or (302 if fault.location else 200)
            self.headers["content-type"] = fault.content_type or "text/html"
            self.body = (
                fault.body if fault.body is not None else "<html>Something went wrong</html>"
            ).encode()
            if fault.location:
                self.headers["location"] = fault.location
            if fault.gzip_bomb_bytes:
                self.body = gzip.compress(bytes(fault.gzip_bomb_bytes))
                self.headers |= {
                    "content-encoding": "gzip",
                    "content-type": "application/json; charset=utf-8",
                }
        for name, value in fault.headers.items():
            self.headers.pop(name.lower(), None)
            if value is not None:
                self.headers[name.lower()] = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.fault or _NO_FAULT
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        headers = {"content-length": str(len(self.body)), **self.headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        if fault.cut_after_bytes >= 0:
            # Fewer bytes than announced, so the server closes the connection when this returns.
            await send(
                {"type": "http.response.body", "body": self.body[: fault.cut_after_bytes], "more_body": True}
            )
            return
        if fault.drip_seconds:
            for start in range(0, len(self.body), fault.drip_bytes):
                drop = self.body[start : start + fault.drip_bytes]
                await send({"type": "http.response.body", "body": drop, "more_body": True})
                await asyncio.sleep(fault.drip_seconds)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


_NO_FAULT = Fault()
