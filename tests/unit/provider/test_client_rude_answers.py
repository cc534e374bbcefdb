"""Only X's own JSON counts as X's verdict, and whatever the answer contains, only our errors are raised."""

import gzip
import http.client
import json
import logging
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_twitter.client import (
    AddressRefused,
    Backoff,
    BodyTooLarge,
    CredentialsRefused,
    InvalidRequest,
    Limits,
    NotFromX,
    Pace,
    RateLimited,
    ServerFailed,
    TryAgain,
    Unreachable,
    XClient,
    XError,
)
from airflow_provider_twitter.client.errors import refusal_of
from airflow_provider_twitter.client.masking import TokenMask
from airflow_provider_twitter.client.rate_limit import RateLimit, reset_of, retry_after_of
from support.raw_server import Exchange, raw_server, sending

CANARY = "canary-7f3a9c51-token"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
CASES = Path(__file__).parents[2] / "cases" / "collection"
ONCE = Backoff(tries=1)
PAGE = b'{"data":[{"id":"1"}],"meta":{"result_count":1}}'
HASTY = Limits(connect_seconds=1, read_seconds=1, total_seconds=0.4, body_bytes=100_000)


def whole(body: bytes, status: str = "200 OK", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status.encode(), *headers, b"content-length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def case(name: str) -> dict[str, Any]:
    [path] = CASES.glob(f"{name}_*.json")
    answer: dict[str, Any] = json.loads(path.read_text())["answers"][0]
    return answer


def serve(x: Any, answer: dict[str, Any]) -> None:
    body = answer["body"] if isinstance(answer["body"], dict) else answer["body"].encode()
    x.answers(
        body,
        answer.get("status", 200),
        **{"content_type": answer.get("type", "application/json"), **answer.get("headers", {})},
    )


def failure_of(call: Callable[[], Any]) -> XError:
    with pytest.raises(XError) as failed:
        call()
    return failed.value


def test_a_firewalls_403_is_tried_again_and_says_who_answered(x: Any, client: XClient) -> None:
    """Case 11: not X's verdict about the token."""
    serve(x, case("11"))
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, NotFromX)
    assert failed.outcome == "free"
    assert len(x.asked) == 3
    assert "server cloudflare, content type text/html" in str(failed)
    assert "cf-ray 1-X" in str(failed)
    assert "Attention" not in str(failed)


def test_a_portals_200_costs_nothing(x: Any, client: XClient, books: Any) -> None:
    """Case 13: no tweet was in it."""
    serve(x, case("13"))
    assert isinstance(failure_of(lambda: client.charged_to(books).search_recent("coffee")), NotFromX)
    assert {each["cost_usd"] for each in books.noted("record_request")} == {Decimal(0)}


def test_retry_after_is_a_floor_under_the_wait_for_a_rate_limit(x: Any, client: XClient) -> None:
    """Case 16: 600 s and not 60."""
    serve(x, case("16"))
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, RateLimited)
    assert (failed.reset_at - NOW, failed.is_estimated) == (timedelta(seconds=600), False)


def test_a_token_that_a_gateway_repeats_is_masked(x: Any, client: XClient, books: Any) -> None:
    """Case 17: in the message and in the books."""
    serve(x, case("17"))
    failed = failure_of(lambda: client.charged_to(books).search_recent("coffee"))
    assert isinstance(failed, CredentialsRefused)
    assert "bad header Bearer ***" in str(failed)
    assert CANARY not in str(books.notes)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 407, 418, 429, 451])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html><h1>Blocked</h1></html>", "text/html"),
        (b"\xef\xbb\xbf  <!doctype html>", "application/json"),
        (b"Access denied by policy", "text/plain; charset=utf-8"),
    ],
)
def test_a_page_of_somebody_else_is_no_verdict(
    x: Any, client: XClient, status: int, body: bytes, content_type: str
) -> None:
    """Whatever its status, it is free, retried, and says nothing about token, credits, limits or request."""
    x.answers(body, status, content_type=content_type, server="squid", via="1.1 gate")
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, NotFromX)
    assert (failed.outcome, failed.status, len(x.asked)) == ("free", status, 3)
    assert "server squid" in str(failed)
    assert "via 1.1 gate" in str(failed)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"message":"Forbidden"}', b'"no"'])
def test_json_that_is_not_xs_is_no_verdict_either(x: Any, client: XClient, status: int, body: bytes) -> None:
    """An API gateway answers in JSON too; X's problems have a title, type, detail, status or errors."""
    x.answers(body, status)
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert (type(failed), failed.outcome) == (NotFromX, "free")


@pytest.mark.parametrize(
    "headers", [{"retry_after": "90"}, {"x_rate_limit_reset": str(int(NOW.timestamp()) + 90)}]
)
def test_a_page_with_a_wait_in_its_headers_is_a_rate_limit(
    x: Any, client: XClient, headers: dict[str, str]
) -> None:
    """Any 429 that says when to come back counts as a rate limit."""
    x.answers(b"<html>slow down</html>", 429, content_type="text/html", date=DATE, **headers)
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, RateLimited)
    assert failed.reset_at == NOW + timedelta(seconds=90)


def test_a_verdict_in_odd_json_is_one_all_the_same(x: Any, client: XClient) -> None:
    """A problem with a lone surrogate or a raw control character in its text is still X's."""
    x.answers(b'{"title":"Unauthorized","detail":"bad \\ud83d\x01"}', 401)
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, CredentialsRefused)
    assert str(failed).encode()


@pytest.mark.parametrize("status", [302, 307])
def test_a_portals_redirect_is_not_followed_and_named(x: Any, client: XClient, status: int) -> None:
    """A captive portal does not mean a wrong base URL: it goes away by itself."""
    x.answers(
        b"<html>log in</html>", status, content_type="text/html", location="http://portal.example/login"
    )
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert (type(failed), failed.outcome) == (NotFromX, "free")
    assert "http://portal.example/login" in str(failed)


def test_the_body_of_a_redirect_is_bounded_too(x: Any, client_of: Any) -> None:
    """`requests` would read the whole body to prepare a redirect that is never followed."""
    x.answers(gzip.compress(bytes(5_000_000)), 302, content_encoding="gzip", location="/elsewhere")
    client = client_of(x.url, limits=Limits(body_bytes=100_000), backoff=ONCE)
    assert isinstance(failure_of(lambda: client.search_recent("coffee")), BodyTooLarge)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (500, {"title": "Internal Server Error"}, "free"),
        (503, {"errors": [{"code": 130, "message": "Over capacity"}]}, "free"),
        (408, {"title": "Timeout"}, "free"),
        (500, b"", "unknown"),
        (502, b"<html>Bad Gateway</html>", "unknown"),
        (503, {}, "unknown"),
        (504, b'{"message":"Endpoint request timed out"}', "unknown"),
        (520, b'{"title": "cut', "unknown"),
    ],
)
def test_a_5xx_is_free_only_in_xs_json(x: Any, client: XClient, status: int, body: Any, outcome: str) -> None:
    """A gateway that gave up does not know what X has done meanwhile."""
    x.answers(body, status, server="envoy")
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert isinstance(failed, ServerFailed)
    assert (failed.outcome, len(x.asked)) == (outcome, 3)
    assert outcome == "free" or "server envoy" in str(failed)


@pytest.mark.parametrize(
    ("stated", "waits"),
    [
        ("7", [7.0, 7.0]),
        ("0", [1.0, 2.0]),
        ("99999", [900.0, 900.0]),
        ("9" * 400, [900.0, 900.0]),
        ("Sun, 01 Mar 2026 12:00:30 GMT", [30.0, 30.0]),
        ("Sun, 01 Mar 2020 12:00:30 GMT", [1.0, 2.0]),
        ("-5", [1.0, 2.0]),
        ("soon", [1.0, 2.0]),
        ("\u0667", [1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("body", [{"title": "Service Unavailable"}, b"<html>busy</html>"])
def test_retry_after_is_a_floor_under_each_wait_up_to_15_minutes(
    x: Any, client: XClient, slept: Any, stated: str, waits: list[float], body: Any
) -> None:
    """Retry-After may be seconds or a date by the server's clock; anything else is ignored."""
    x.answers(body, 503, retry_after=stated.encode().decode("latin-1"), date=DATE)
    failure_of(lambda: client.search_recent("coffee"))
    assert slept.seconds == waits


@pytest.mark.parametrize(
    ("exchange", "outcome"),
    [
        (sending(), "unknown"),
        (sending(rst=True), "unknown"),
        (sending(b"HTTP/1.1 20"), "unknown"),
        (sending(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-le"), "unknown"),
        (sending(b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n"), "unknown"),
        (sending(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "unknown"),
        (sending(whole(PAGE)[:-1]), "unknown"),
        (sending(whole(PAGE)[:-10], rst=True), "unknown"),
        (sending(whole(b'{"title":"Unauthorized"}', "401 No")[:-3]), "unknown"),
        (sending(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE[:-1]), "unknown"),
        (sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2f\r\n" + PAGE[:20]), "unknown"),
        (sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n" + PAGE), "unknown"),
        (sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + PAGE), "unknown"),
        (sending(whole(gzip.compress(PAGE)[:-9], "200 OK", b"content-encoding: gzip")), "unknown"),
        (
            sending(whole(gzip.compress(b'{"title":"No"}')[:-9], "401 No", b"content-encoding: gzip")),
            "unknown",
        ),
        (sending(whole(b"not gzip", "200 OK", b"content-encoding: gzip")), "unknown"),
        (sending(whole(PAGE, "200 OK", b"content-encoding: br")), "unknown"),
        (sending(whole(PAGE, "200 OK", b"content-encoding: " + b"gzip," * 50 + b"gzip")), "unknown"),
        (sending(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "unknown"),
        (sending(b"HTTP/1.1 100 Continue\r\n\r\n" * 500), "unknown"),
        (sending(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"), "unknown"),
        (sending(b"SSH-2.0-OpenSSH_9.7\r\n"), "unknown"),
        (sending(b"\x15\x03\x01\x00\x02\x02\x46"), "unknown"),
        (sending(whole(b"<html>x</html>", "200 OK", b"content-type: text/html")), "free"),
        (sending(b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<html>x</html>"), "free"),
        (sending(b'HTTP/1.0 401 No\r\n\r\n{"title":"Unauthorized"}'), "free"),
    ],
)
def test_wherever_an_exchange_is_cut_the_error_is_ours_and_says_what_it_may_have_cost(
    client_of: Any, exchange: Exchange, outcome: str
) -> None:
    """Only a complete answer that cannot have been charged is free."""
    with raw_server(exchange) as url:
        failed = failure_of(lambda: client_of(url, backoff=ONCE).search_recent("coffee"))
    assert failed.outcome == outcome, failed
    assert failed.__cause__ is None or isinstance(failed.__cause__, ValueError)


def test_an_answer_whose_end_is_a_reset_came_whole(client_of: Any) -> None:
    """If everything announced has arrived, it does not matter how the connection ends."""

    def exchange(connection: socket.socket, head: bytes) -> None:
        connection.sendall(whole(PAGE))
        connection.recv(1)

    with raw_server(exchange) as url:
        client = client_of(url, backoff=ONCE)
        assert client.search_recent("coffee").data[0].id == 1
        client.close()


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3,
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n",
        b"HTTP/1.1 199 Whatever\r\n\r\n",
    ],
)
def test_interim_answers_are_read_over(client_of: Any, interim: bytes) -> None:
    """Interim answers are skipped."""
    with raw_server(sending(interim, whole(PAGE))) as url:
        assert client_of(url, backoff=ONCE).search_recent("coffee").data[0].id == 1


def test_interim_answers_without_end_stop_at_the_deadline(client_of: Any) -> None:
    """The request may have been charged."""

    def forever(connection: socket.socket, head: bytes) -> None:
        for _ in range(40):
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(forever) as url:
        failed = failure_of(lambda: client_of(url, backoff=ONCE, limits=HASTY).search_recent("coffee"))
        assert (type(failed), failed.outcome) == (Unreachable, "unknown")
        assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(PAGE[:20]) + gzip.compress(PAGE[20:])),
        ("x-gzip", gzip.compress(PAGE)),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", zlib.compress(PAGE)[2:-4]),
        ("gzip, gzip", gzip.compress(gzip.compress(PAGE))),
        ("identity", PAGE),
        ("", PAGE),
    ],
    ids=["two members", "x-gzip", "zlib", "raw deflate", "twice", "identity", "unnamed"],
)
def test_every_way_of_compressing_is_undone(x: Any, client: XClient, coding: str, packed: bytes) -> None:
    """Several members, with and without a zlib header, also nested."""
    x.answers(packed, content_encoding=coding)
    assert client.search_recent("coffee").data[0].id == 1


def test_nothing_is_owed_to_whom_nothing_was_sent(client_of: Any, books: Any) -> None:
    """A refused connection, an unknown name and a server without TLS never received the request, so it is free."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with raw_server(sending(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        for base in (refused, "https://no-such-host.invalid", url.replace("http:", "https:")):
            client = client_of(base, backoff=ONCE, limits=Limits(connect_seconds=2, total_seconds=5))
            failed = failure_of(lambda client=client: client.charged_to(books).search_recent("coffee"))
            assert (type(failed), failed.outcome) == (Unreachable, "free")
    assert books.spent_usd == 0


def test_name_resolution_is_inside_the_deadline(client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging resolver is abandoned, and the request is free."""
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: let_go.wait(10) and [])
    client, started = client_of("https://api.x.com", backoff=ONCE, limits=HASTY), time.monotonic()
    failed = failure_of(lambda: client.search_recent("coffee"))
    assert (type(failed), failed.outcome) == (Unreachable, "free")
    assert time.monotonic() - started < 1.2
    let_go.set()


def test_several_addresses_share_one_deadline(client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with many dead addresses does not get a connect timeout for each."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = silent.getsockname()
    crowd = []
    for _ in range(4):  # fill the backlog, so that a further connection gets no answer
        crowd.append(socket.socket())
        crowd[-1].setblocking(False)
        crowd[-1].connect_ex(address)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)] * 50
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    limits = Limits(connect_seconds=0.2, read_seconds=1, total_seconds=0.6)
    started = time.monotonic()
    failed = failure_of(
        lambda: client_of("http://x.test", backoff=ONCE, limits=limits).search_recent("coffee")
    )
    assert (type(failed), failed.outcome) == (Unreachable, "free")
    assert time.monotonic() - started < 1.5
    for each in (*crowd, silent):
        each.close()


def test_a_connection_that_was_idle_is_not_used_again(
    x: Any, client: XClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may be closing an idle connection at that moment, and a request sent then is lost money."""
    from airflow_provider_twitter.client import transport

    ports: list[int] = []
    x.behaves(lambda handled, _: (ports.append(handled.handler.client_address[1]), handled.send(PAGE)))
    client.search_recent("a")
    client.search_recent("b")
    monkeypatch.setattr(transport, "REUSE_SECONDS", 0.0)
    client.search_recent("c")
    assert ports[0] == ports[1] != ports[2]


ECHOES = {
    "as it is": CANARY,
    "as a header": f"Authorization: Bearer {CANARY}",
    "url-encoded": quote("A+b/c==" + CANARY, safe=""),
    "in upper case": CANARY.upper(),
    "cut short": CANARY[:-4],
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("place", ["detail", "errors", "parameters", "period", "header", "reason"])
def test_the_token_is_masked_wherever_it_is_repeated(
    x: Any, client: XClient, books: Any, caplog: pytest.LogCaptureFixture, echo: str, place: str
) -> None:
    """The token is masked in X's words, parameter names, headers and the status line; in errors, the ledger and logs."""
    x.behaves(lambda handled, _: echoing(handled, place, echo))
    with caplog.at_level(logging.DEBUG):
        failed = failure_of(lambda: client.charged_to(books).search_recent("coffee"))
    said = f"{failed!r} {vars(failed)} {books.notes} {caplog.text}".lower()
    assert "canary-7f3a9" not in said


def echoing(handled: Any, place: str, echo: str) -> None:
    match place:
        case "detail":
            handled.send(json.dumps({"title": "No", "detail": "x" * 490 + echo}).encode(), 401)
        case "errors":
            handled.send(json.dumps({"errors": [{"message": f"got {echo}"}]}).encode(), 400)
        case "parameters":
            handled.send(json.dumps({"errors": [{"parameters": {echo: ["x"]}}]}).encode(), 400)
        case "period":
            problem = {"type": "https://api.x.com/2/problems/usage-capped", "period": echo}
            handled.send(json.dumps(problem).encode(), 429)
        case "header":
            handled.send(b"<html>", 403, server=echo, via=echo, x_transaction_id=echo)
        case "reason":
            handled.handler.wfile.write(f"HTTP/1.1 2{echo}\r\nbad header {echo}\r\n\r\n".encode())
            handled.handler.close_connection = True


@pytest.mark.parametrize("token", ["AAAA%2Fb%3Dsecret-of-mine", "AAAA/b=secret-of-mine", "s3cret"])
def test_a_token_is_known_in_each_of_its_forms(token: str) -> None:
    """Secrets are masked when encoded, decoded and JSON-escaped; other words stay."""
    masked = TokenMask(token)
    plain = token.replace("%2F", "/").replace("%3D", "=")
    for form in {token, plain, quote(token, safe=""), quote(plain, safe=""), plain.replace("/", "\\/")}:
        assert masked(f"Bearer {form} is bad") == "Bearer *** is bad"
    assert masked("the bearer token is not accepted") == "the bearer token is not accepted"


def test_other_libraries_print_and_log_no_token(
    client_of: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Neither http.client's debug output nor urllib3's warning about unreadable headers shows it."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    echo = CANARY.encode()
    answer = b"HTTP/1.1 200 OK\r\nx: " + echo + b"\r\n" + echo + b"\r\ncontent-length: 5\r\n\r\nhello"
    with raw_server(sending(answer)) as url, caplog.at_level(logging.DEBUG):
        failure_of(lambda: client_of(url, backoff=ONCE).search_recent("coffee"))
    printed = capfd.readouterr()
    assert CANARY not in caplog.text + printed.out + printed.err


header_names = st.sampled_from(
    [
        "date",
        "retry-after",
        "x-rate-limit-limit",
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
        "content-encoding",
        "content-type",
        "transfer-encoding",
        "content-length",
        "location",
        "server",
        "set-cookie",
        "x-transaction-id",
    ]
)
dates = st.sampled_from(
    [
        "Sun, 01 Mar 99999 12:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Sun, 01 Mar 2026 12:00:00 +99999999",
        "Sun, 31 Feb 2026 25:61:61 GMT",
        "0 0 0 0 0",
        "0",
        " ",
        "-1",
        "1e309",
        "9" * 5000,
        "chunked, chunked",
        "charset=" + "x" * 200,
        "text/html; charset=\x00",
        "http://[::1",
        "a=b; expires=" + "9" * 40,
    ]
)
header_values = dates | st.text(st.characters(max_codepoint=255), max_size=60) | st.integers().map(str)
bodies = st.sampled_from(
    [PAGE, b"", b"<html>", b"{}", b'{"title":7,"errors":[{"parameters":[]}],"type":[]}']
) | st.binary(max_size=60)


@settings(deadline=None, max_examples=300)
@given(st.integers(100, 999), st.dictionaries(header_names, header_values, max_size=6), bodies)
def test_no_header_value_raises_anything_but_an_error_of_ours(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    """With any dates, numbers and texts, an answer is a success or one of our errors with a bounded wait."""
    refusal = refusal_of(status=status, headers=headers, body=body, endpoint="/2/tweets", now=NOW)
    assert refusal is None or isinstance(refusal, XError)
    assert 200 <= status < 300 or refusal is not None
    for name in ("retry_after",):
        assert timedelta(0) <= getattr(refusal, name, timedelta(0)) <= timedelta(minutes=15)
    reset_at, _ = reset_of(headers, NOW)
    assert NOW <= reset_at <= NOW + timedelta(minutes=15)
    assert (retry_after_of(headers, NOW) or timedelta(0)) <= timedelta(minutes=15)
    RateLimit.of(headers)


def test_no_bytes_on_the_wire_raise_anything_but_an_error_of_ours() -> None:
    """The same through the whole client, header bytes and framing included."""
    answer: list[bytes] = [b""]
    with raw_server(lambda connection, _: connection.sendall(answer[0])) as url:
        limits = Limits(connect_seconds=2, read_seconds=0.3, total_seconds=0.6, body_bytes=10_000)
        client = XClient(
            CANARY, base_url=url, allow_local=True, backoff=ONCE, limits=limits, pace=Pace(now=lambda: NOW)
        )

        @settings(deadline=None, max_examples=120)
        @given(
            st.integers(0, 1200),
            st.lists(st.tuples(header_names | st.text(max_size=8), header_values), max_size=5),
            bodies,
            st.booleans(),
        )
        def answers(status: int, headers: list[tuple[str, str]], body: bytes, is_framed: bool) -> None:
            lines = [f"HTTP/1.1 {status} Reason"] + [f"{name}: {value}" for name, value in headers]
            lines += [f"content-length: {len(body)}"] if is_framed else []
            answer[0] = "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + body
            with suppress(XError):
                client.search_recent("coffee")

        answers()
        client.close()


def test_errors_of_the_client_say_by_their_kind_what_they_may_have_cost() -> None:
    """An outcome that is not known to be free is unknown."""
    assert AddressRefused("x").outcome == InvalidRequest("x").outcome == "free"
    assert XError("x").outcome == TryAgain("x").outcome == ServerFailed("x").outcome == "unknown"
    assert Unreachable("x", outcome="free").outcome == "free"
