"""Another emulator of the X API, as people write them: it answers, but follows few of X's rules.

Small ids that are no snowflakes, of tweets and users counted from 0, pages that are not sorted, since_id and until_id
and times ignored, fields left out (no created_at, hardly an author, sometimes no text), an unknown field, unknown
endpoints answered with 404.
"""

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Emulator:
    """A growing set of tweets with ids 0, 1, 2…; `requests` are the paths that were asked for.

    Those that end in 7 are by user 0, `anna`, and make her timeline.
    """

    def __init__(self, tweets: int = 57) -> None:
        self.requests: list[str] = []
        self._chance = random.Random(7)
        self._tweets: list[dict[str, Any]] = []
        self.grow(tweets)

    def grow(self, count: int) -> None:
        """Add tweets anywhere in the order of pages."""
        for _ in range(count):
            number = len(self._tweets)
            tweet: dict[str, Any] = {"id": str(number), "sparkle": number}
            if number % 10 == 7:
                tweet["author_id"] = "0"
            if number % 5:
                tweet["text"] = f"tweet number {number}"
            self._tweets.insert(self._chance.randrange(len(self._tweets) + 1), tweet)

    @property
    def ids(self) -> set[int]:
        return {int(t["id"]) for t in self._tweets}

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        self.requests.append(path)
        address = urlsplit(path)
        if address.path == "/2/users/by":
            return 200, {"data": [{"id": "0", "username": "anna"}]}
        if address.path == "/2/users/0/tweets":
            tweets = [tweet for tweet in self._tweets if tweet.get("author_id") == "0"]
        elif address.path == "/2/tweets/search/recent":
            tweets = self._tweets
        else:
            return 404, {"title": "Not Found"}
        params = {name: values[0] for name, values in parse_qs(address.query).items()}
        start, size = int(params.get("next_token", params.get("pagination_token", 0))), 10
        page = tweets[start : start + size]
        meta: dict[str, Any] = {"result_count": len(page)}
        if start + size < len(tweets):
            meta["next_token"] = str(start + size)
        return 200, {"data": page, "meta": meta}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free loopback port; yields the base address."""
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, document = emulator.answer(self.path)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


def requests_in(emulator: Emulator, seconds: float) -> int:
    """How many requests arrived in a span of time."""
    before = len(emulator.requests)
    time.sleep(seconds)
    return len(emulator.requests) - before
