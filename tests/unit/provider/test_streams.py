"""An endless answer is read line by line, with its own deadlines and caps."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_twitter.client import BodyTooLarge, Limits, Unreachable
from airflow_provider_twitter.client.transport import CLOCK_SECONDS, Transport
from support.raw_server import Exchange, raw_server

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
ROUTE = "/2/tweets/search/stream"
HASTY = Limits(connect_seconds=2, read_seconds=2, total_seconds=2, idle_seconds=0.4, line_bytes=1000)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


END = chunk(b"")


@pytest.fixture
def transport_of() -> Iterator[Callable[..., Transport]]:
    made: list[Transport] = []

    def make(url: str, limits: Limits = HASTY) -> Transport:
        made.append(Transport(url, limits=limits, allow_local=True))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def streaming(*parts: bytes) -> Exchange:
    def exchange(connection: socket.socket, head: bytes) -> None:
        connection.sendall(HEAD + b"".join(parts))

    return exchange


def read_all(transport: Transport, received: list[bytes] | None = None) -> list[bytes]:
    lines = [] if received is None else received
    with transport.stream("GET", ROUTE) as stream:
        for line in stream:
            lines.append(line)
    return lines


def test_lines_come_one_by_one_before_the_stream_ends(transport_of: Any) -> None:
    """A line is returned as soon as it is complete, however many pieces it came in; the request is signed as usual."""
    may_go_on, heads = threading.Semaphore(0), list[bytes]()

    def exchange(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(HEAD)
        for part in (chunk(b'{"a":1}\r\n{"b"'), chunk(b":2}\r"), chunk(b'\n\r\n{"c":3}\n'), END):
            connection.sendall(part)
            if part.endswith((b'{"b"\r\n', b'{"c":3}\n\r\n')):
                may_go_on.acquire(timeout=5)

    with raw_server(exchange) as url:
        transport = transport_of(url)
        with transport.stream(
            "GET", ROUTE, {"backfill_minutes": "1"}, sign=lambda method, at: {"X-Signed": f"{method} {at}"}
        ) as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "application/json")
            lines = iter(stream)
            assert next(lines) == b'{"a":1}'
            may_go_on.release()
            assert [next(lines) for _ in range(3)] == [b'{"b":2}', b"", b'{"c":3}']
            may_go_on.release()
            assert list(lines) == []
    assert f"X-Signed: GET {url}{ROUTE}?backfill_minutes=1".encode() in heads[0]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_stream_is_read_as_it_comes(transport_of: Any, coding: str) -> None:
    """X compresses streams for clients that accept gzip; each line is flushed."""
    head = HEAD.replace(b"transfer", b"content-encoding: " + coding.encode() + b"\r\ntransfer")
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else zlib.MAX_WBITS)
    first = packer.compress(b"one\r\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(b"two\r\n") + packer.flush()
    came_first = threading.Event()

    def exchange(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head + chunk(first))
        came_first.wait(5)
        connection.sendall(chunk(rest) + END)

    with raw_server(exchange) as url, transport_of(url).stream("GET", ROUTE) as stream:
        lines = iter(stream)
        assert next(lines) == b"one"
        came_first.set()
        assert list(lines) == [b"two"]


def keeping_alive(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD)
    for _ in range(6):
        time.sleep(0.15)
        connection.sendall(chunk(b"\r\n"))
    connection.sendall(chunk(b"news\r\n") + END)


def test_empty_lines_keep_a_stream_open(transport_of: Any) -> None:
    """A stream that sends only empty lines outlives both deadlines of a silent one."""
    with raw_server(keeping_alive) as url:
        limits = Limits(total_seconds=0.5, idle_seconds=0.4)
        assert read_all(transport_of(url, limits)) == [b""] * 6 + [b"news"]


def silent(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD + chunk(b"one\r\n"))
    connection.recv(1)


def trickling(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD + chunk(b"one\r\n"))
    for _ in range(100):
        time.sleep(0.05)
        connection.sendall(chunk(b" "))


def never_a_line(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD)
    for _ in range(100):
        time.sleep(0.05)
        connection.sendall(chunk(b" "))


@pytest.mark.parametrize(
    ("exchange", "came"), [(silent, [b"one"]), (trickling, [b"one"]), (never_a_line, [])]
)
def test_a_stream_without_a_line_in_time_is_left(
    transport_of: Any, exchange: Exchange, came: list[bytes]
) -> None:
    """After silence, or bytes that never form a line, what came before is kept."""
    received: list[bytes] = []
    limits = Limits(read_seconds=5, total_seconds=5, idle_seconds=0.4)
    started = time.monotonic()
    with raw_server(exchange) as url, pytest.raises(Unreachable, match=r"GET .*stream (brought|failed)"):
        read_all(transport_of(url, limits), received)
    assert (received, time.monotonic() - started < 3) == (came, True)


def test_a_slow_reader_loses_nothing(transport_of: Any) -> None:
    """The deadline covers waiting for X, not processing a line."""
    is_read = threading.Event()

    def exchange(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD + chunk(b"one\r\n"))
        is_read.wait(5)
        connection.sendall(chunk(b"two\r\n") + END)

    with raw_server(exchange) as url, transport_of(url).stream("GET", ROUTE) as stream:
        lines = iter(stream)
        assert next(lines) == b"one"
        time.sleep(
            HASTY.idle_seconds + CLOCK_SECONDS + 0.3
        )  # longer than the deadline, however late it is noticed
        is_read.set()
        assert list(lines) == [b"two"]


@pytest.mark.parametrize(
    "content", [b"x" * 1001, gzip.compress(bytes(50_000_000))], ids=["a long line", "a bomb"]
)
def test_a_line_above_the_cap_stops_the_stream(transport_of: Any, content: bytes) -> None:
    """Whatever the stream sends, it does not fill the memory."""
    head = HEAD
    if content.startswith(b"\x1f\x8b"):
        head = HEAD.replace(b"transfer", b"content-encoding: gzip\r\ntransfer")

    def exchange(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head + chunk(content))
        connection.recv(1)

    with raw_server(exchange) as url, pytest.raises(BodyTooLarge, match="a line of more than 1000 bytes"):
        read_all(transport_of(url))


@pytest.mark.parametrize(
    "parts",
    [(chunk(b"one\r\n"), b"20\r\nhalf"), (chunk(b"one\r\n"),), (chunk(b"one\r\n"), chunk(b"half"), END)],
    ids=["inside of a chunk", "without an end", "inside of a line"],
)
def test_a_stream_that_breaks_off_says_so(transport_of: Any, parts: tuple[bytes, ...]) -> None:
    """Half a line is never returned, and an end that X did not send is an error."""
    received: list[bytes] = []
    with raw_server(streaming(*parts)) as url, pytest.raises(Unreachable, match="failed in transit") as cut:
        read_all(transport_of(url), received)
    assert (received, cut.value.status, cut.value.outcome) == ([b"one"], 200, "unknown")


def test_a_refusal_is_read_whole(x: Any, transport_of: Any) -> None:
    """A refusal instead of a stream is an ordinary answer with the ordinary cap."""
    x.answers({"title": "Too Many Connections"}, 429, x_rate_limit_remaining="0")
    with transport_of(x.url).stream("GET", ROUTE) as stream:
        answer = stream.read()
    assert (answer.status, answer.headers["x-rate-limit-remaining"]) == (429, "0")
    assert answer.body == b'{"title":"Too Many Connections"}'
    limits = Limits(body_bytes=5)
    with pytest.raises(BodyTooLarge), transport_of(x.url, limits).stream("GET", ROUTE) as stream:
        stream.read()


def test_a_head_that_does_not_come_is_not_waited_for(transport_of: Any) -> None:
    """The total deadline applies until the head arrives; if nothing was sent, nothing can have been charged."""
    with raw_server(lambda connection, _: (connection.recv(1), None)[1]) as url:
        limits = Limits(read_seconds=5, total_seconds=0.3, idle_seconds=5)
        with (
            pytest.raises(Unreachable, match=r"no answer within 0\.3 s"),
            transport_of(url, limits).stream("GET", ROUTE),
        ):
            raise AssertionError("there is no answer")
    with (
        pytest.raises(Unreachable, match="failed in transit") as refused,
        transport_of(url).stream("GET", ROUTE),
    ):
        raise AssertionError("there is nobody")
    assert refused.value.outcome == "free"


def test_leaving_a_stream_closes_its_connection(transport_of: Any) -> None:
    """This includes an error of the reader, which passes unchanged; the transport keeps working for others."""
    left = threading.Event()

    def exchange(connection: socket.socket, head: bytes) -> None:
        if b"/stream" not in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            return
        connection.sendall(HEAD + chunk(b"one\r\n"))
        if not connection.recv(1):
            left.set()

    with raw_server(exchange) as url:
        transport = transport_of(url)
        with pytest.raises(KeyError, match="of the reader"), transport.stream("GET", ROUTE) as stream:
            for _ in stream:
                assert transport.exchange("GET", "/2/usage/tweets").body == b"{}"
                raise KeyError("of the reader")
        assert left.wait(5)
