"""The API over a warehouse of the test, on a real socket, behind a token."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from support.api_shapes import shapes
from support.apps import serving
from support.loading import tweet_id
from twitter_pipeline import settings
from twitter_pipeline.api.app import create_app
from twitter_pipeline.api.command import requires_token
from twitter_pipeline.stack.servers import free_port

TOKEN = "a-token-of-this-test"


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


def given(tmp_path: Path, dsn: str, mongo_uri: str = "mongodb://127.0.0.1:1") -> settings.Settings:
    """Settings with this reader's address; the other stores are away unless they are given."""
    environment = {
        "PIPELINE_HOME": str(tmp_path / "home"),
        "PIPELINE_POSTGRES_READER_DSN": dsn,
        "PIPELINE_MONGO_URI": f"{mongo_uri}/?serverSelectionTimeoutMS=200",
        "PIPELINE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
    }
    return settings.load(environment, launched=False, root=tmp_path)


@contextmanager
def served(folder: Path, reader_dsn: str, dsn: str = "", airflow_url: str = "") -> Iterator[Api]:
    """The API over a warehouse that it reads as `reader_dsn`, behind TOKEN, with its files in a folder."""
    app = create_app(given(folder, reader_dsn), authenticate=requires_token(TOKEN), airflow_url=airflow_url)
    with serving(app) as url:
        yield Api(url, dsn)
