"""A warehouse with a few known tweets, and the API over it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.api import Api, served
from support.envelopes import envelope
from support.loading import load, observation, tweet_id


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
    folder = tmp_path_factory.mktemp("api")
    with served(
        folder, module_postgres.reader_dsn, module_postgres.dsn, airflow_url="http://airflow.example"
    ) as api:
        yield api
