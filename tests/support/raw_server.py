"""A server that writes bytes: what no HTTP server would send."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Exchange = Callable[[socket.socket, bytes], None]


def reset(connection: socket.socket) -> None:
    """End the connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def head_of(connection: socket.socket) -> bytes:
    """The request's head; shorter when the client left."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := connection.recv(65536)):
            break
        head += more
    return head


@contextmanager
def raw_server(exchange: Exchange) -> Iterator[str]:
    """Serve each connection by `exchange(connection, head)` and close it; yields the base URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                exchange(connection, head_of(connection))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        accepting.join(5)


def sending(*parts: bytes, rst: bool = False) -> Exchange:
    """An exchange that sends these bytes and ends the connection."""

    def exchange(connection: socket.socket, head: bytes) -> None:
        for part in parts:
            connection.sendall(part)
        if rst:
            reset(connection)

    return exchange
