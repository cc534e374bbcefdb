"""One HTTP exchange with X, bounded in time and bytes.

Everything sent to X goes through here: the requests in the table of endpoints, and the token requests of tweepy's
OAuth handlers, which on their own would go to a fixed host without a timeout. A `requests` session of our own carries
the exchange:

- The total deadline is a clock that shuts the socket down. Unlike a read timeout, it also holds against a server that
  trickles headers or body one byte at a time. It includes name resolution and connecting.
- A stream has no total deadline, but a deadline for each line and a cap on a line's bytes.
- The body is counted after decompression, so a decompression bomb stops at the cap. A body that ends before its
  compression does counts as truncated.
- Interim answers (1xx) are skipped. Headers cut off by the end of the connection are a truncated answer.
- Whatever the libraries raise becomes one of our errors, which says whether the request was sent. The original chain
  is dropped, since it may contain what the server sent.
- Redirects, cookies, and the environment's proxies and .netrc are never used.
"""

from __future__ import annotations

import math
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_twitter import __version__
from airflow_provider_twitter.client.address import allowed_base_url, require_allowed_address
from airflow_provider_twitter.client.errors import BodyTooLarge, Unreachable, XError
from airflow_provider_twitter.client.masking import TokenMask, mask_logs_of_the_http_libraries, masked_logs

CHUNK_BYTES = 64 * 1024
MOST_INTERIM_ANSWERS = 50
REUSE_SECONDS = (
    4.0  # servers close idle connections after 5 s or more; a request sent just then is lost money
)
MOST_LAYERS = 3
CLOCK_SECONDS = 1.0  # how late a deadline that was moved to an earlier time may be noticed

mask_logs_of_the_http_libraries()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one exchange may take and how large its decoded body may be.

    For a stream: how long it may go without a complete line (X sends an empty one at least every 20 s), and how large
    a decoded line may be.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    total_seconds: float = 60.0
    body_bytes: int = 32 * 1024 * 1024
    idle_seconds: float = 25.0
    line_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and the complete decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # the answer to a token request contains tokens


Sign = Callable[[str, str], Mapping[str, str]]
"""Returns the headers that sign a request, for its method and full URL."""


class Transport:
    """Sends requests to one base URL, within limits. Close it when done.

    `masked` removes secrets from logs and errors; let it learn them before they are sent. Raises AddressRefused for a
    base URL that credentials may not be sent to.
    """

    def __init__(self, base_url: str, *, limits: Limits, allow_local: bool = False) -> None:
        self.base_url = allowed_base_url(base_url, allow_local=allow_local)
        self.masked = TokenMask()
        self._limits = limits
        self._allow_local = allow_local
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {
                "User-Agent": f"airflow-provider-twitter/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            }
        )
        self._session.mount("https://", _GuardedAdapter())
        self._session.mount("http://", _GuardedAdapter())

    def exchange(
        self,
        method: str,
        route: str,
        params: Mapping[str, str] | None = None,
        *,
        sign: Sign | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> Answer:
        """One exchange: no retry, no redirect. Raises Unreachable, BodyTooLarge or AddressRefused.

        The error's outcome is "free" only if nothing of the request was sent. An error after the status line
        carries the status.
        """
        limits, failed, status = self._limits, None, None
        with masked_logs(self.masked), self._guard() as guard:
            try:
                with self._send(method, route, params, sign, headers, body, limits.read_seconds) as response:
                    status = response.status_code
                    return _answer(response, limits.body_bytes, method, route)
            except Exception as broken:  # noqa: BLE001 - whatever a server sends, only our errors may be raised
                late = f"{method} {route} gave no complete answer within {limits.total_seconds:g} s"
                failed = self._failure(broken, guard, method, route, status, late)
        raise failed.with_traceback(None)

    @contextmanager
    def stream(
        self,
        method: str,
        route: str,
        params: Mapping[str, str] | None = None,
        *,
        sign: Sign | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> Iterator[Stream]:
        """An answer that need not end, open inside `with`: iterate over its lines, or `read` it if it is a refusal.

        Its head must arrive within the total deadline. Raises what `exchange` raises; so does iterating.
        """
        failed = None
        with masked_logs(self.masked), self._guard() as guard:
            try:
                response = self._send(method, route, params, sign, headers, body, self._limits.idle_seconds)
            except Exception as broken:  # noqa: BLE001
                late = f"{method} {route} gave no answer within {self._limits.total_seconds:g} s"
                failed = self._failure(broken, guard, method, route, None, late)
            else:
                with response:
                    yield Stream(self, response, guard, method, route)
        if failed is not None:
            raise failed.with_traceback(None)

    def _guard(self) -> _Exchange:
        return _Exchange(self._limits.total_seconds, allow_local=self._allow_local)

    def _send(
        self,
        method: str,
        route: str,
        params: Mapping[str, str] | None,
        sign: Sign | None,
        headers: Mapping[str, str] | None,
        body: bytes | str | None,
        read_seconds: float,
    ) -> requests.Response:
        """Send the request and return the answer once its head has arrived."""
        asked = requests.Request(method, self.base_url + route, params=params, headers=headers, data=body)
        prepared = self._session.prepare_request(asked)
        if sign is not None:
            prepared.headers.update(sign(method, str(prepared.url)))
        return self._session.send(
            prepared,
            timeout=(self._limits.connect_seconds, read_seconds),
            allow_redirects=False,
            stream=True,
        )

    def _failure(
        self, broken: Exception, guard: _Exchange, method: str, route: str, status: int | None, late: str
    ) -> XError:
        """Our error for what a library raised; `late` is the message if a deadline passed."""
        failed = broken if isinstance(broken, XError) else None
        if failed is None:
            words = f"{method} {route} failed in transit: {self.masked(_plain(broken))[:300]}"
            failed = Unreachable(late if guard.is_expired else words, endpoint=route, status=status)
        if not guard.is_sent:
            failed.outcome = "free"
        return failed

    def close(self) -> None:
        """Close the connections; the transport may not be used afterwards."""
        self._session.close()


class Stream:
    """An answer whose head has arrived. `headers` have lower-case names. Created by `Transport.stream`."""

    def __init__(
        self, transport: Transport, response: requests.Response, guard: _Exchange, method: str, route: str
    ) -> None:
        self.status = response.status_code
        self.headers = _headers_of(response)
        self._transport, self._response, self._guard = transport, response, guard
        self._method, self._route = method, route

    def read(self) -> Answer:
        """The complete answer, if it ends at all; within the same deadline as its head."""
        limits = self._transport._limits
        try:
            return _answer(self._response, limits.body_bytes, self._method, self._route)
        except Exception as broken:  # noqa: BLE001
            failed = self._failure(broken, f"gave no complete answer within {limits.total_seconds:g} s")
        raise failed.with_traceback(None)

    def __iter__(self) -> Iterator[bytes]:
        """Each line, without its line ending, as soon as it is complete; an empty line only says that X is there.

        Ends when X ends the stream. Raises Unreachable if it breaks off inside a line or brings no line in time, and
        BodyTooLarge for a line above the cap.
        """
        idle_seconds = self._transport._limits.idle_seconds
        failed = None
        try:
            self._guard.extend(idle_seconds)
            for line in self._lines():
                self._guard.extend(math.inf)  # the reader may take as long as it likes with a line
                yield line
                self._guard.extend(idle_seconds)
        except Exception as broken:  # noqa: BLE001
            failed = self._failure(broken, f"brought no line within {idle_seconds:g} s")
        if failed is not None:
            raise failed.with_traceback(None)

    def _lines(self) -> Iterator[bytes]:
        cap_bytes, rest = self._transport._limits.line_bytes, bytearray()
        for chunk in _decoded(self._response, _as_they_come(self._response)):
            rest += chunk
            *lines, end = rest.split(b"\n")
            if max(map(len, (*lines, end))) > cap_bytes:
                raise BodyTooLarge(
                    f"{self._method} {self._route} sent a line of more than {cap_bytes} bytes; reading stopped",
                    endpoint=self._route,
                    status=self.status,
                )
            yield from (bytes(line.removesuffix(b"\r")) for line in lines)
            rest = end
        if rest:
            raise HTTPException("the stream ended inside a line")

    def _failure(self, broken: Exception, late: str) -> XError:
        words = f"{self._method} {self._route} {late}"
        return self._transport._failure(broken, self._guard, self._method, self._route, self.status, words)


def _headers_of(response: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _answer(response: requests.Response, cap_bytes: int, method: str, route: str) -> Answer:
    body = _read_within(response, cap_bytes, method, route)
    return Answer(status=response.status_code, headers=_headers_of(response), body=body)


def _as_they_come(response: requests.Response) -> Iterator[bytes]:
    """Pieces of a body as they arrive, however small; urllib3's `stream` may wait until one is full."""
    while piece := response.raw.read1(CHUNK_BYTES, decode_content=False):
        yield piece


def _decoded(response: requests.Response, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for coding in reversed(_codings(response.headers.get("content-encoding", ""))):
        chunks = _decompressed(chunks, coding)
    return chunks


def _read_within(response: requests.Response, cap_bytes: int, method: str, route: str) -> bytes:
    body = bytearray()
    for chunk in _decoded(response, response.raw.stream(CHUNK_BYTES, decode_content=False)):
        body += chunk
        if len(body) > cap_bytes:
            raise BodyTooLarge(
                f"{method} {route} sent more than {cap_bytes} bytes after decompression; reading stopped",
                endpoint=route,
                status=response.status_code,
            )
    return bytes(body)


def _codings(content_encoding: str) -> list[str]:
    codings = [each.strip().lower() for each in content_encoding.split(",")]
    applied = [each for each in codings if each not in ("", "identity")]
    if len(applied) > MOST_LAYERS or not {"gzip", "x-gzip", "deflate"}.issuperset(applied):
        raise HTTPException(
            f"the body has the content encoding {content_encoding[:50]!r}, which was not requested"
        )
    return applied


def _decompressed(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Decompress gzip (one or more members) or deflate (with or without a zlib header), a chunk at a time."""
    reader: Any = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if reader is None:
                is_bare = coding == "deflate" and (rest[0] & 0x0F != 8 or rest[0] >> 4 > 7)
                reader = zlib.decompressobj(-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS | 32)
            yield reader.decompress(rest, CHUNK_BYTES)
            rest = reader.unconsumed_tail
            if reader.eof:
                rest, reader = reader.unused_data.lstrip(b"\x00"), None
    if reader is not None:
        yield reader.flush()
        if not reader.eof:
            raise HTTPException(f"the body ends before its {coding} compression does")


def _plain(error: Exception) -> str:
    """The innermost reason, without the query string that `requests` would print."""
    reason: BaseException = error
    while reason.__cause__ is not None or reason.__context__ is not None:
        reason = cast(BaseException, reason.__cause__ or reason.__context__)
    return f"{type(reason).__name__}: {reason}"


class _Exchange:
    """Guards the sockets of one exchange: which addresses they may reach, until when, and whether anything was sent."""

    current: ContextVar[_Exchange] = ContextVar("current")

    def __init__(self, seconds: float, *, allow_local: bool) -> None:
        self.is_expired = False
        self.is_sent = False
        self.allow_local = allow_local
        self._ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._is_over = threading.Event()

    def __enter__(self) -> _Exchange:
        self._token = self.current.set(self)
        threading.Thread(target=self._watch_clock, daemon=True, name="deadline").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self.current.reset(self._token)
        with self._lock:
            self._drop_handle()

    def left_seconds(self) -> float:
        """The time left until the deadline. Raises TimeoutError if there is none."""
        left = self._ends_at - time.monotonic()
        if left <= 0 or self.is_expired:
            self.is_expired = True
            raise TimeoutError("the deadline of the request has passed")
        return left

    def extend(self, seconds: float) -> None:
        """Move the deadline to this many seconds from now."""
        self._ends_at = time.monotonic() + seconds

    def watch(self, connected: socket.socket) -> None:
        """Shut this connection down at the deadline, through a handle that no TLS wrapper can hide."""
        with self._lock:
            self._drop_handle()
            self._handle = socket.fromfd(connected.fileno(), connected.family, connected.type)
        if self.is_expired:
            self._expire()

    def _watch_clock(self) -> None:
        while (left := self._ends_at - time.monotonic()) > 0:
            if self._is_over.wait(min(left, CLOCK_SECONDS)):
                return
        self._expire()

    def _expire(self) -> None:
        self.is_expired = True
        with self._lock:
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _addresses(host: str, port: int, seconds: float) -> list[Any]:
    """What the name resolves to. Raises TimeoutError; getaddrinfo itself has no timeout.

    If a call hangs, its thread ends when the system's resolver gives up.
    """
    found: list[Any] = []

    def resolve() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as failed:  # noqa: BLE001 - reported to the waiting caller; an odd name raises UnicodeError too
            found.append(failed)

    thread = threading.Thread(target=resolve, daemon=True, name="name resolution")
    thread.start()
    thread.join(seconds)
    answers = list(found)
    if not answers:
        raise TimeoutError(f"the name {host} was not resolved in time")
    if isinstance(answers[0], Exception):
        raise OSError(f"the name {host} could not be resolved: {answers[0]}")
    return answers


class _WholeHeaders:
    """Lines of an answer's head; if the connection ends among them, that is an error, not the end of the head."""

    def __init__(self, lines: Any) -> None:
        self.lines = lines

    def readline(self, limit: int = -1) -> bytes:
        if not (line := self.lines.readline(limit)).endswith(b"\n") and len(line) != limit:
            raise ConnectionError(
                "the connection ended inside the headers"
                if line
                else "the connection ended without an answer"
            )
        return cast(bytes, line)

    def close(self) -> None:
        self.lines.close()


class _WholeResponse(HTTPResponse):
    """Skips all interim answers (1xx, not only 100), and does not take a truncated head for a complete one."""

    def begin(self) -> None:
        if self.headers is not None:
            return
        whole = _WholeHeaders(self.fp)
        self.fp = cast(Any, whole)
        super().begin()
        if self.fp is not None:
            self.fp = whole.lines

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            while self.fp.readline(65537) not in (b"\r\n", b"\n"):
                pass
        raise HTTPException(f"more than {MOST_INTERIM_ANSWERS} interim answers and no final one")


class _GuardedConnection(HTTPConnection):
    debuglevel = 0  # with http.client's own level at 1, it would print the token
    response_class = _WholeResponse
    _answered_at = 0.0

    def _new_conn(self) -> socket.socket:
        exchange = _Exchange.current.get()
        failure: OSError | None = None
        connect_seconds = float(cast(Any, self.timeout))
        addresses = _addresses(self._dns_host, self.port, exchange.left_seconds())
        for family, kind, protocol, _, address in addresses:
            require_allowed_address(address[0], allow_local=exchange.allow_local)
            connecting = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connecting.setsockopt(*option)
                connecting.settimeout(min(connect_seconds, exchange.left_seconds()))
                connecting.connect(address)
                connecting.settimeout(connect_seconds)
                exchange.watch(connecting)
                return connecting
            except OSError as failed:
                connecting.close()
                failure = failed
            except BaseException:
                connecting.close()
                raise
        raise failure or OSError(f"the name {self._dns_host} has no address")

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _Exchange.current.get().is_sent = True
        super().send(data)

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._answered_at < REUSE_SECONDS and super().is_connected

    def getresponse(self) -> Any:
        _Exchange.current.get().watch(cast(socket.socket, self.sock))
        response = super().getresponse()
        self._answered_at = time.monotonic()
        return response


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None for every answer: to prepare a redirect, `requests` would read the body without a limit."""


class _GuardedAdapter(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTLSPool}
