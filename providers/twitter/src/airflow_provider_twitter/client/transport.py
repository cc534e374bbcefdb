"""One HTTP exchange with X, bounded in time and bytes.

tweepy builds the requests of every endpoint, but its own `request` sends them to a fixed host, logs their
headers (the token!) at debug level, has no timeout and hides the answer's headers behind its models. All of
its endpoint methods go through that one method, so `Endpoints` replaces just it. What carries the exchange is
a `requests` session of our own:

- the total deadline is a timer that shuts the socket down: it holds against a server that trickles headers or
  body one byte at a time, which no read timeout does;
- the body is counted after decompression, so a bomb stops at the cap;
- redirects, cookies, proxies and .netrc of the environment are never used.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, cast

import requests
import tweepy
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from airflow_provider_twitter import __version__
from airflow_provider_twitter.client.address import require_allowed_address
from airflow_provider_twitter.client.errors import BodyTooLarge, Unreachable

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one exchange may take and how large its decoded body may be."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    total_seconds: float = 60.0
    body_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and the whole decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Masked(str):
    """A string that shows itself to nobody but the wire, not even to tracebacks that print locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Endpoints(tweepy.Client):
    """tweepy's endpoint methods, carried by an exchange of ours. Never logs."""

    def __init__(self, exchange: Callable[[str, Mapping[str, str]], Any]) -> None:
        super().__init__(return_type=requests.Response)
        self._exchange = exchange

    def request(
        self, method: str, route: str, params: Any = None, json: Any = None, user_auth: bool = False
    ) -> Any:
        """Carry one GET; what comes back is whatever the exchange returns."""
        if method != "GET" or json is not None or user_auth:
            raise ValueError(f"this client only reads with an app's bearer token, not {method} {route}")
        return self._exchange(route, {name: str(value) for name, value in (params or {}).items()})

    def usage(self, **params: Any) -> Any:
        """GET /2/usage/tweets, which tweepy does not have."""
        return self._make_request(
            "GET", "/2/usage/tweets", params=params, endpoint_parameters=("days", "usage.fields")
        )

    def _process_params(self, params: dict[str, Any], endpoint_parameters: tuple[str, ...]) -> dict[str, Any]:
        """Let post.fields (OpenAPI 2.167) through where tweepy knows only tweet.fields."""
        if "tweet.fields" in endpoint_parameters:
            endpoint_parameters = (*endpoint_parameters, "post.fields")
        return cast(dict[str, Any], super()._process_params(params, endpoint_parameters))


class Transport:
    """Sends GET requests with the token to one base URL, within limits. Close it when done."""

    def __init__(self, base_url: str, bearer_token: str, *, limits: Limits, allow_local: bool) -> None:
        self._base_url = base_url
        self._authorization = Masked(f"Bearer {bearer_token}")
        self._limits = limits
        self._allow_local = allow_local
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("https://", _GuardedAdapter())
        self._session.mount("http://", _GuardedAdapter())

    def get(self, route: str, params: Mapping[str, str]) -> Answer:
        """One exchange: no retry, no redirect. Raises Unreachable, BodyTooLarge or AddressRefused.

        An error that comes after the status line carries the status, since X may have counted the reads.
        """
        limits = self._limits
        status: int | None = None
        with _Exchange(limits.total_seconds, allow_local=self._allow_local) as exchange:
            try:
                with self._session.get(
                    self._base_url + route,
                    params=params,
                    headers={
                        "Authorization": self._authorization,
                        "User-Agent": f"airflow-provider-twitter/{__version__}",
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip, deflate",
                    },
                    timeout=(limits.connect_seconds, limits.read_seconds),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    status = response.status_code
                    body = _read_within(response, limits.body_bytes, route)
                    headers = {name.lower(): value for name, value in response.headers.items()}
            except (requests.RequestException, HTTPError, OSError) as broken:
                if isinstance(broken, requests.RequestException):
                    broken.request = broken.response = None
                if exchange.is_expired:
                    message = f"GET {route} gave no complete answer within {limits.total_seconds:g} s"
                else:
                    message = f"GET {route} failed on the way: {_plain(broken)}"
                raise Unreachable(message, endpoint=route, status=status) from broken
        return Answer(status=status, headers=headers, body=body)

    def close(self) -> None:
        """Close the connections; the transport may not be used afterwards."""
        self._session.close()


def _read_within(response: requests.Response, cap_bytes: int, route: str) -> bytes:
    body = bytearray()
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > cap_bytes:
            raise BodyTooLarge(
                f"GET {route} sent more than {cap_bytes} bytes after decompression; reading stopped",
                endpoint=route,
                status=response.status_code,
            )
    return bytes(body)


def _plain(error: Exception) -> str:
    """The innermost reason, without the query string that requests would print."""
    reason: BaseException = error
    while reason.__cause__ is not None or reason.__context__ is not None:
        reason = cast(BaseException, reason.__cause__ or reason.__context__)
    return f"{type(reason).__name__}: {reason}"[:300]


class _Exchange:
    """Guards the sockets of one exchange: whom they may reach, and until when."""

    current: ContextVar[_Exchange] = ContextVar("current")

    def __init__(self, seconds: float, *, allow_local: bool) -> None:
        self.is_expired = False
        self.allow_local = allow_local
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Exchange:
        self._token = self.current.set(self)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self.current.reset(self._token)
        with self._lock:
            self._drop_handle()

    def watch(self, connected: socket.socket) -> None:
        """Shut this connection down at the deadline, from a handle that no TLS wrapper can hide."""
        with self._lock:
            self._drop_handle()
            self._handle = socket.fromfd(connected.fileno(), connected.family, connected.type)
        if self.is_expired:
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


class _GuardedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        exchange = _Exchange.current.get()
        connected = super()._new_conn()
        try:
            require_allowed_address(connected.getpeername()[0], allow_local=exchange.allow_local)
            exchange.watch(connected)
        except BaseException:
            connected.close()
            raise
        return connected

    def getresponse(self) -> Any:
        _Exchange.current.get().watch(cast(socket.socket, self.sock))
        return super().getresponse()


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class _GuardedAdapter(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTLSPool}
