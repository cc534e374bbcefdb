"""No answer takes longer or grows larger than the client allows."""

import gzip
import socket
import time
import zlib
from typing import Any

import pytest

from airflow_provider_twitter.client import AddressRefused, Backoff, BodyTooLarge, Limits, Unreachable
from airflow_provider_twitter.client.address import allowed_base_url, require_allowed_address

ONCE = Backoff(tries=1)
HASTY = Limits(connect_seconds=1, read_seconds=1, total_seconds=0.6, body_bytes=100_000)


def dripping_body(handled: Any, asked: Any) -> None:
    handled.send(b"{", length=1000)
    for _ in range(100):
        time.sleep(0.05)
        handled.handler.wfile.write(b" ")


def dripping_headers(handled: Any, asked: Any) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nx-padding: " + b"a" * 100:
        time.sleep(0.05)
        handled.handler.wfile.write(bytes([letter]))


def silent(handled: Any, asked: Any) -> None:
    time.sleep(1.5)


@pytest.mark.parametrize("loris", [dripping_body, dripping_headers, silent])
def test_a_slow_answer_ends_at_the_total_deadline(x: Any, client_of: Any, loris: Any) -> None:
    """A server that trickles headers or body a byte at a time, or says nothing, is left at the deadline."""
    x.behaves(loris)
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"no complete answer within 0\.6 s"):
        client_of(x.url, limits=HASTY, backoff=ONCE).search_recent("coffee")
    assert time.monotonic() - started < 1.2


def test_a_read_timeout_ends_a_silent_connection(x: Any, client_of: Any) -> None:
    """Silence longer than the read timeout ends the request before the total deadline does."""
    x.behaves(silent)
    with pytest.raises(Unreachable, match="failed in transit"):
        client_of(x.url, limits=Limits(read_seconds=0.3, total_seconds=10), backoff=ONCE).search_recent(
            "coffee"
        )


@pytest.mark.parametrize("bomb", ["gzip", "deflate"])
def test_a_decompression_bomb_stops_at_the_cap(x: Any, client_of: Any, bomb: str) -> None:
    """The cap counts decoded bytes: a small body that unpacks to 50 MB is not unpacked."""
    zeros = bytes(50_000_000)
    packed = gzip.compress(zeros, 9) if bomb == "gzip" else zlib.compress(zeros, 9)
    x.answers(packed, content_encoding=bomb)
    with pytest.raises(BodyTooLarge, match="more than 100000 bytes"):
        client_of(x.url, limits=Limits(body_bytes=100_000)).search_recent("coffee")
    assert len(x.asked) == 1


def test_a_compressed_answer_is_read(x: Any, client_of: Any) -> None:
    """Ordinary compressed bodies are decompressed."""
    x.answers(gzip.compress(b'{"data":[{"id":"1"}],"meta":{"result_count":1}}'), content_encoding="gzip")
    assert client_of(x.url).search_recent("coffee").data[0].id == 1


def test_a_cut_body_is_asked_for_again(x: Any, client_of: Any, slept: Any) -> None:
    """A connection that breaks in the middle of a body costs a try, not a page."""

    def cut(handled: Any, asked: Any) -> None:
        handled.send(b'{"data":[{"id"', length=500)
        handled.handler.close_connection = True

    x.behaves(cut).answers({"data": [{"id": "1"}], "meta": {"result_count": 1}})
    assert client_of(x.url).search_recent("coffee").data[0].id == 1
    assert len(slept.seconds) == 1


def test_nobody_listening_is_unreachable(client_of: Any) -> None:
    """A refused connection is tried again and then raised with its reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(Unreachable, match="Connection refused"):
        client_of(url).search_recent("coffee")


def test_an_unknown_name_is_unreachable(client_of: Any) -> None:
    """A name that does not resolve is raised as Unreachable."""
    with pytest.raises(Unreachable):
        client_of("https://no-such-host.invalid", backoff=ONCE).search_recent("coffee")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.x.com",
        "http://127.0.0.1:8080",
        "https://127.0.0.1",
        "https://localhost:8443",
        "https://10.1.2.3",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://0.0.0.0",
    ],
)
def test_local_addresses_need_allow_local(url: str) -> None:
    """Plain http, loopback and private addresses are refused unless they are allowed."""
    with pytest.raises(AddressRefused):
        allowed_base_url(url, allow_local=False)
    assert allowed_base_url(url, allow_local=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]",
        "http://100.100.100.200",
        "http://metadata.google.internal",
        "https://user:pass@api.x.com",
        "https://user@api.x.com",
        "file:///etc/passwd",
        "ftp://api.x.com",
        "api.x.com",
        "https://",
        "https://api.x.com:port",
        "https://api.x.com/?token=1",
        "http://[::ffff:169.254.169.254]",
    ],
)
def test_some_addresses_are_refused_always(url: str) -> None:
    """Metadata services, credentials in the URL and other schemes are refused with allow_local too."""
    with pytest.raises(AddressRefused) as refused:
        allowed_base_url(url, allow_local=True)
    assert "pass" not in str(refused.value).replace("password", "")


def test_a_name_that_resolves_to_a_private_address_is_refused(
    x: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is checked on the connected socket, so that a public name cannot lead inside."""
    port = int(x.url.rsplit(":", 1)[1])
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real("127.0.0.1", *rest, **named))
    x.answers({})
    with pytest.raises(AddressRefused, match="loopback or private"):
        client_of(f"https://api.example.com:{port}", allow_local=False).search_recent("coffee")
    assert x.asked == []


def test_public_addresses_are_allowed() -> None:
    """Public addresses are allowed, and so is a path before /2."""
    require_allowed_address("104.244.42.2", allow_local=False)
    assert allowed_base_url("https://api.x.com/", allow_local=False) == "https://api.x.com"
