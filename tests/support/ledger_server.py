"""A server that keeps its own ledger of what it charged, and cuts, hangs, over-delivers or kills on request.

The query of a request says what to do with it: `<number>.<what>.<pid of the client>`. What it charges for a request
is decided before anything is answered, as X does it: each tweet with an author of its own.
"""

import contextlib
import gzip
import json
import os
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import parse_qs

PER_TWEET_USD = Decimal("0.015")
OVER_DELIVERED = 30

# What to do with a request after reading it, and how often; see `_answer`.
AFTER_THE_REQUEST = {
    "whole": 20,
    "short": 4,
    "over": 3,
    "whole_then_rst": 3,
    "interim": 3,
    "fin": 4,
    "rst": 4,
    "unproven": 3,
    "cut_status": 3,
    "cut_headers": 4,
    "cut_body": 5,
    "cut_body_rst": 4,
    "cut_chunked": 4,
    "cut_gzip": 4,
    "interim_forever": 1,
    "hang": 2,
    "x503": 3,
    "x400": 2,
    "x429": 2,
    "html403": 3,
    "html200": 3,
    "html502": 3,
    "kill_before": 2,
    "kill_charged": 2,
    "kill_in_body": 2,
    "kill_answered": 2,
}
# What to do before a request is read; each has its own port.
BEFORE_THE_REQUEST = {"nobody_listens": 2, "rst_on_accept": 2, "fin_on_accept": 2, "never_accepts": 1}
FREE = {"x503", "x400", "x429", "html403", "html200"}


@dataclass
class LedgerServer:
    """What was charged, by number of the exchange; `urls` by what happens before a request is read."""

    hang_seconds: float
    urls: dict[str, str] = field(default_factory=dict)
    charged: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def charged_usd(self) -> Decimal:
        """The total charged."""
        return sum(map(Decimal, self.charged.values()), Decimal(0))

    def _charge(self, number: str, tweets: int) -> None:
        with self._lock:
            self.charged[number] += PER_TWEET_USD * tweets  # type: ignore[assignment]

    def serve(self, connection: socket.socket) -> None:
        """One connection, many requests."""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            while head := _head(connection):
                if not self._answer(connection, head):
                    return

    def _answer(self, connection: socket.socket, head: bytes) -> bool:
        target = head.split(b" ", 2)[1].decode()
        params = {name: values[0] for name, values in parse_qs(target.partition("?")[2]).items()}
        number, what, pid = params["query"].split(".")
        asked = int(params["max_results"])
        with self._lock:
            self.done[what] += 1
        if what == "kill_before":
            os.kill(int(pid), signal.SIGKILL)
            return False
        tweets = {"over": asked + OVER_DELIVERED, "short": asked // 3}.get(what, asked)
        # an interrupted exchange may or may not have been charged; here every second one was
        is_charged = what not in FREE and (what in ("whole", "short", "over") or int(number) % 2 == 0)
        delivers = what in ("whole", "short", "over", "whole_then_rst", "interim", "kill_answered")
        if is_charged or delivers:
            self._charge(number, tweets)
        body = _page(int(number), tweets)
        whole = _framed("200 OK", body)
        match what:
            case "whole" | "short" | "over":
                connection.sendall(whole)
                return True
            case "interim":
                connection.sendall(
                    b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\n" + whole
                )
                return True
            case "x503" | "x400" | "x429":
                problem = json.dumps({"title": what, "detail": what}).encode()
                connection.sendall(_framed(f"{what[1:]} No", problem))
                return True
            case "html403" | "html502" | "html200":
                connection.sendall(_framed(f"{what[4:]} No", b"<html>gate</html>", "text/html"))
                return True
            case "unproven":
                connection.sendall(_framed("200 OK", (b"{}", b'{"errors":[{"code":131}]}')[int(number) % 2]))
                return True
            case "whole_then_rst":
                connection.sendall(whole)
                _reset(connection)
            case "rst":
                _reset(connection)
            case "cut_status":
                connection.sendall(whole[:7])
            case "cut_headers":
                connection.sendall(whole[: 17 + int(number) % 50])
            case "cut_body":
                connection.sendall(whole[: -1 - int(number) % len(body)])
            case "cut_body_rst":
                connection.sendall(whole[: -1 - int(number) % len(body)])
                _reset(connection)
            case "cut_chunked":
                start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                connection.sendall(start + b"%x\r\n" % len(body) + body + b"\r\n")
            case "cut_gzip":
                packed = gzip.compress(body)
                connection.sendall(_framed("200 OK", packed[:-9], extra="content-encoding: gzip\r\n"))
                return True
            case "interim_forever":
                for _ in range(int(self.hang_seconds * 100)):
                    connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
                    time.sleep(0.02)
            case "hang":
                time.sleep(self.hang_seconds)
            case "kill_charged":
                os.kill(int(pid), signal.SIGKILL)
            case "kill_in_body":
                connection.sendall(whole[: len(whole) // 2])
                os.kill(int(pid), signal.SIGKILL)
            case "kill_answered":
                connection.sendall(whole)
                time.sleep(0.001 * (int(number) % 5))
                os.kill(int(pid), signal.SIGKILL)
        return False


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := connection.recv(65536)):
            return b""
        head += more
    return head


def _page(number: int, tweets: int) -> bytes:
    ids = [str(number * 1000 + each + 1) for each in range(tweets)]
    data = [{"id": each, "author_id": f"9{each}"} for each in ids]
    users = [{"id": f"9{each}"} for each in ids]
    return json.dumps({"data": data, "includes": {"users": users}, "meta": {"result_count": tweets}}).encode()


def _framed(status: str, body: bytes, content_type: str = "application/json", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{extra}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def ledger_server(hang_seconds: float) -> Iterator[LedgerServer]:
    """A server on its own ports; stopped at the end."""
    server, listening, accepting = LedgerServer(hang_seconds), [], []

    def listen(what: str) -> socket.socket:
        opened = socket.create_server(("127.0.0.1", 0), backlog=128)
        server.urls[what] = f"http://127.0.0.1:{opened.getsockname()[1]}"
        return opened

    def accept(opened: socket.socket, what: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = opened.accept()
                if what == "serves":
                    threading.Thread(target=server.serve, args=(connection,), daemon=True).start()
                    continue
                if what == "rst_on_accept":
                    _reset(connection)
                connection.close()

    listen("nobody_listens").close()
    for what in ("serves", "rst_on_accept", "fin_on_accept"):
        listening.append(listen(what))
        accepting.append(threading.Thread(target=accept, args=(listening[-1], what), daemon=True))
        accepting[-1].start()
    listening.append(listen("never_accepts"))
    yield server
    for opened in listening:
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()
    for thread in accepting:
        thread.join(5)
