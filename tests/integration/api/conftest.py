"""A warehouse with a few known tweets, and the API over it on a real socket, behind a token."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import uvicorn

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline import settings
from twitter_pipeline.api.app import create_app
from twitter_pipeline.api.command import requires_token
from twitter_pipeline.stack.servers import free_port
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.load import Loader

from ..path.conftest import envelope
from .shapes import shapes

TOKEN = "a-token-of-this-test"
HOUR_ZERO = "2026-03-01T00:00:00Z"


def tweet_id(number: int) -> int:
    """Beyond what a double holds exactly, and growing."""
    return 2_000_000_000_000_000_000 + number


def load(dsn: str, *envelopes: bytes) -> None:
    """Bring envelopes into the tables, as the processing drain does."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursors.declare(connection, "transform", "raw-tweets", "t", {0: 0})
        cursor = cursors.take(connection, "transform", "t", 0)
        batch = Batch()
        for number, payload in enumerate(envelopes, cursor.next_offset):
            batch.add_envelope(payload, Coordinate("t", 0, number))
        Loader(connection).load(batch, cursor, cursor.next_offset + len(envelopes))


def observation(number: int, **more: Any) -> bytes:
    """Tweet `number`: of one of three authors, one an hour, every second one with #Coffee, rule by its tens."""
    tweet: dict[str, Any] = {
        "id": str(tweet_id(number)),
        "text": f"text {number} with 100% crema" if number % 2 else f"text {number}",
        "author_id": str(number % 3 + 1),
        "created_at": f"2026-03-{1 + number // 24:02d}T{number % 24:02d}:30:00Z",
        "public_metrics": {"like_count": number},
        **more,
    }
    if number % 2:
        tweet["entities"] = {"hashtags": [{"tag": "Coffee", "start": 0, "end": 1}]}
    users = [{"id": str(i), "username": f"Author_{i}", "name": f"Author {i}"} for i in (1, 2, 3)]
    provenance = {"rule": f"tens-{number // 10}", "source": "search", "endpoint": "/", "request_id": "r"}
    return envelope(
        tweet, includes={"users": users}, provenance=provenance | {"observed_at": "2026-03-09T00:00:00Z"}
    )


@dataclass
class Api:
    """The API as a client sees it."""

    url: str
    dsn: str

    def get(self, path: str, *, token: str | None = TOKEN, **options: Any) -> requests.Response:
        """An answer; one of the API's has the shape that its OpenAPI document promises, whatever its status."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = requests.get(f"{self.url}{path}", headers=headers, timeout=20, **options)
        shapes().check(path.partition("?")[0], answer)
        return answer

    def data(self, path: str, **params: Any) -> Any:
        answer = self.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **params: Any) -> list[int]:
        """The numbers of the tweets of one page."""
        return [int(t["id"]) - tweet_id(0) for t in self.data("/api/v1/tweets", **params)["data"]]


def serving(app: Any, port: int) -> tuple[uvicorn.Server, threading.Thread]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the API did not start"
        time.sleep(0.02)
    return server, thread


def given(tmp_path: Path, dsn: str, mongo_uri: str = "mongodb://127.0.0.1:1") -> settings.Settings:
    """Settings with this reader's address; the other stores are away unless they are given."""
    environment = {
        "PIPELINE_HOME": str(tmp_path / "home"),
        "PIPELINE_POSTGRES_READER_DSN": dsn,
        "PIPELINE_MONGO_URI": f"{mongo_uri}/?serverSelectionTimeoutMS=200",
        "PIPELINE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
    }
    return settings.load(environment, launched=False, root=tmp_path)


@pytest.fixture(scope="module")
def api(module_postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Sixty tweets, a removed one, and one that is only known as a quoted tweet."""
    load(
        module_postgres.dsn,
        *(observation(number) for number in range(60)),
        observation(98),
        envelope(
            {
                "id": str(tweet_id(60)),
                "text": "quoting",
                "created_at": "2026-03-03T12:30:00Z",
                "author_id": "1",
            },
            includes={"tweets": [{"id": str(tweet_id(99)), "text": "only included", "author_id": "2"}]},
        ),
    )
    with psycopg.connect(module_postgres.dsn, autocommit=True) as connection:
        connection.execute(
            "insert into pipeline.tombstones (tweet_id, reason) values (%s, 'deleted')", (tweet_id(98),)
        )
    port = free_port()
    app = create_app(
        given(tmp_path_factory.mktemp("api"), module_postgres.reader_dsn),
        authenticate=requires_token(TOKEN),
        airflow_url="http://airflow.example",
    )
    server, thread = serving(app, port)
    yield Api(f"http://127.0.0.1:{port}", module_postgres.dsn)
    server.should_exit = True
    thread.join(20)
