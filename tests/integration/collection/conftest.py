"""Turns of rules against a small X with scripted answers, with real tables and a sink that records."""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg.types.json import Jsonb

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-collection-tests-"))
sys.path.append(str(Path(__file__).parents[3] / "dags"))

from airflow_provider_twitter.client import Backoff, Limits, Pace, XClient
from pipeline_x import ClientX
from tweet_envelope.ids import EPOCH_MS
from tweet_envelope.sink import MessageTooLarge
from tweet_envelope.writing import Message
from twitter_pipeline.collection import kinds, rules
from twitter_pipeline.collection.collect import collect_rule
from twitter_pipeline.collection.lease import lease_rule

TOKEN = "canary-7f3a9c51-token"


def id_at(moment: datetime) -> int:
    """The id of a tweet created at that time."""
    return (int(moment.timestamp() * 1000) - EPOCH_MS) << 22


@dataclass
class Answer:
    """X's answer to one request; a `body` other than bytes is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def page(*ids: int, token: str | None = None, **more: Any) -> dict[str, Any]:
    """A page of X with these tweets."""
    meta: dict[str, Any] = {"result_count": len(ids)} | ({"next_token": token} if token else {})
    body: dict[str, Any] = {"meta": meta, **more}
    if ids:
        body["data"] = [{"id": str(each), "text": f"tweet {each}"} for each in ids]
    return body


@dataclass(frozen=True)
class Asked:
    """One request as X saw it."""

    path: str
    params: dict[str, str]


class SmallX:
    """Answers each path by its behaviour: a function of the request, or a list of answers whose last one repeats."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.routes: dict[str, Callable[[Asked], Answer] | list[Answer]] = {}
        small = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})
                small.asked.append(asked)
                answer = small._answer(asked)
                body = answer.as_bytes()
                self.send_response_only(answer.status)
                for name, value in {"content-type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def _answer(self, asked: Asked) -> Answer:
        route = self.routes.get(asked.path)
        if route is None:
            return Answer({"title": "Not Found", "status": 404}, 404)
        if callable(route):
            return route(asked)
        return route.pop(0) if len(route) > 1 else route[0]

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RememberingSink:
    """Accepts every message of up to `largest` bytes."""

    topic = "raw-tweets"
    topic_id = "topic-1"

    def __init__(self, largest: int = 1_000_000) -> None:
        self.largest = largest
        self.messages: list[Message] = []

    def produce(self, messages: list[Message]) -> dict[int, int]:
        if too_large := [message for message in messages if len(message.value) > self.largest]:
            raise MessageTooLarge("larger than Kafka takes", too_large)
        self.messages += messages
        return {0: len(self.messages) - 1}

    @property
    def ids(self) -> list[int]:
        envelopes = (json.loads(message.value) for message in self.messages)
        return [int(each["tweet"]["id"]) for each in envelopes if each["kind"] == "tweet"]


@dataclass
class Turns:
    """Takes turns of rules; `clock` may be moved."""

    x: SmallX
    connection: psycopg.Connection[Any]
    raw: Any
    sink: RememberingSink
    tries: int = 2
    budget_usd: Decimal | None = None
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def rule(self, name: str = "r", **fields: Any) -> None:
        """Create or change a rule; the field of a kind says what it asks for."""
        [kind] = [each for each in kinds.KINDS.values() if each.field in fields]
        given = {"kind": kind.name, "spec": Jsonb(kind.parse(fields.pop(kind.field))), **fields}
        names = ", ".join(given)
        self.connection.execute(
            f"insert into pipeline.rules (name, {names}) values (%(name)s, {', '.join(f'%({n})s' for n in given)})"
            f" on conflict (name) do update set {', '.join(f'{n} = excluded.{n}' for n in given)}".encode(),
            {"name": name, **given},
        )

    def take(self, name: str = "r") -> Any:
        """Take one turn of a rule; raises what the turn raises."""
        client = XClient(
            TOKEN,
            base_url=self.x.url,
            allow_local=True,
            limits=Limits(connect_seconds=2, read_seconds=2, total_seconds=5),
            backoff=Backoff(tries=self.tries),
            pace=Pace(now=self.now, sleep=lambda seconds: None),
        )
        with client, lease_rule(self.connection, name, "this test") as lease:
            return collect_rule(
                rules.find(self.connection, name),
                ClientX(client),
                self.connection,
                self.raw,
                self.sink,
                lease,
                budget_usd=self.budget_usd,
                max_pages=500,
                clock=self.now,
            )

    def one(self, query: str, *values: Any) -> Any:
        """The first row of a query."""
        return self.connection.execute(query.encode(), values).fetchone()


@pytest.fixture
def x() -> Iterator[SmallX]:
    small = SmallX()
    yield small
    small.close()


@pytest.fixture
def turns(x: SmallX, postgres: Any, mongo: Any) -> Iterator[Turns]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield Turns(x, connection, mongo.database, RememberingSink())


@pytest.fixture
def airflow_connections(postgres: Any, mongo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow connections to the servers of this test, as tasks read them."""
    where = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    connection = {
        "conn_type": "postgres",
        "host": where["host"],
        "port": int(where["port"]),
        "schema": where["dbname"],
        "login": where["user"],
        "password": where["password"],
        "extra": {"keepalives_idle": 33},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PIPELINE_POSTGRES", json.dumps(connection))
    uri = urlsplit(mongo.uri)
    monkeypatch.setenv(
        "AIRFLOW_CONN_PIPELINE_MONGO",
        json.dumps(
            {
                "conn_type": "mongo",
                "host": uri.hostname,
                "port": uri.port,
                "login": uri.username,
                "password": uri.password,
                "schema": "admin",
                "extra": {"authSource": "admin", "directConnection": True},
            }
        ),
    )
