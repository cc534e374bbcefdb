"""Answers recorded from the real X, served byte by byte over HTTP, go through client and envelopes without a loss.

The recordings show what X does; the simulator shows what its authors read about X. This file uses no simulator.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_twitter.client import Backoff, RateLimit, XClient
from airflow_provider_twitter.envelopes import messages_of
from support.recordings import RECORDINGS, WITHOUT_RECORDINGS
from tweet_envelope.schema import schema

ENVELOPE = jsonschema.Draft202012Validator(schema())


def _recorded() -> list[Path]:
    return sorted(path for path in RECORDINGS.rglob("*.json") if _tweets_and_includes(path) is not None)


def _load(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The recorded body and headers; the simple files are bodies alone."""
    content = json.loads(path.read_text())
    if isinstance(content, dict) and "body" in content and "request" in content:
        return content["body"], content.get("headers", {})
    return content, {}


def _tweets_and_includes(path: Path) -> dict[str, Any] | None:
    """The body of an answer that holds tweets; None for other recordings."""
    body, _ = _load(path)
    if not isinstance(body, dict):
        return None
    data = body.get("data", [])
    objects = data if isinstance(data, list) else [data]
    is_tweets = objects and all(
        isinstance(each, dict) and "id" in each and "text" in each for each in objects
    )
    return body if is_tweets and "event_type" not in str(objects[0].keys()) else None


@pytest.fixture
def serve() -> Iterator[Any]:
    """Serves one recorded answer for every request and returns a client of it."""
    servers, clients = [], []

    def start(body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> XClient:
        class Recorded(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.send_response_only(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}"
        clients.append(XClient("token", base_url=url, allow_local=True, backoff=Backoff(tries=1)))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_recordings_are_there(recordings: Path) -> None:
    """There are recorded answers with tweets to hold the client to."""
    assert len(_recorded()) >= 20


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=str(path.relative_to(RECORDINGS).with_suffix(""))) for path in _recorded()]
    or [pytest.param(None, marks=pytest.mark.skip(reason=WITHOUT_RECORDINGS))],
)
def test_every_recorded_object_is_in_an_envelope(serve: Any, path: Path) -> None:
    """Each tweet of data has its envelope, each included object is in one, and all are what X sent."""
    body, headers = _load(path)
    asked = body if "meta" in body else {**body, "meta": {"result_count": 1}}  # lookups have none
    page = serve(json.dumps(asked, ensure_ascii=False, indent=1).encode(), headers).search_recent("recorded")
    envelopes = []
    for message in messages_of(page, rule="recorded", source="search"):
        envelopes.append(json.loads(message.value))
        ENVELOPE.validate(envelopes[-1])
    recorded = body["data"] if isinstance(body["data"], list) else [body["data"]]
    assert [each["tweet"] for each in envelopes if each["kind"] == "tweet"] == recorded
    for name, items in body.get("includes", {}).items():
        if not isinstance(items, list):
            continue
        travelling = [each for envelope in envelopes for each in envelope["includes"].get(name, [])]
        assert [item for item in items if item not in travelling] == []
    errors = [each for envelope in envelopes for each in envelope.get("errors", [])]
    assert [error for error in body.get("errors", []) if error not in errors] == []


def test_recorded_rate_limits_are_read(serve: Any, recordings: Path) -> None:
    """The headers that X really sends are understood."""
    body, headers = _load(recordings / "tweepy-cassettes" / "test_client_search_recent_tweets__0.json")
    limit = serve(json.dumps(body).encode(), headers).search_recent("Tweepy").rate_limit
    assert isinstance(limit, RateLimit)
    assert (limit.limit, limit.remaining) == (450, 448)
    assert limit.reset_at is not None
    assert int(limit.reset_at.timestamp()) == 1665183229


def test_the_recorded_page_without_hits(serve: Any, recordings: Path) -> None:
    """X's page without hits is an empty page and ends a search."""
    body, headers = _load(recordings / "sfm-twitter-harvester" / "warc_01.json")
    page = serve(json.dumps(body).encode(), headers).search_recent("nothing")
    assert (page.data, page.next_token) == ((), None)


def test_recorded_users_counts_and_usage(serve: Any, recordings: Path) -> None:
    """Lookups, counts and usage of the real X are read by their methods."""
    users, headers = _load(recordings / "tweepy-cassettes" / "test_client_get_users__0.json")
    assert all(user.id for user in serve(json.dumps(users).encode(), headers).users_by(["a"]).data)
    counts, headers = _load(recordings / "tweepy-cassettes" / "test_client_get_recent_tweets_count__0.json")
    page = serve(json.dumps(counts).encode(), headers).counts_recent("Tweepy")
    assert page.meta["total_tweet_count"] == sum(
        bucket.value["tweet_count"] for bucket in page.data if bucket.value
    )
    usage, headers = _load(recordings / "sns-sdks-python-twitter/apis/usage/usage_tweets_resp.json")
    assert serve(json.dumps(usage).encode(), headers).usage().data[0].value["project_cap"] == "50000000"
