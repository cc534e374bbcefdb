"""The command over the stores of a way."""

from collections.abc import Callable
from typing import Any

import pytest

from support.desk import Desk
from support.way import Way
from twitter_pipeline import settings


@pytest.fixture
def desk(
    kafka: Any, make_way: Callable[..., Way], postgres: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Desk:
    way = make_way(kafka.bootstrap, kafka.create_topic(partitions=2))
    for name, value in {
        "PIPELINE_HOME": str(tmp_path),
        "PIPELINE_POSTGRES_DSN": way.dsn,
        "PIPELINE_POSTGRES_READER_DSN": postgres.reader_dsn,
        "PIPELINE_MONGO_URI": way.mongo_uri,
        "PIPELINE_MONGO_DATABASE": way.raw.name,
        "PIPELINE_KAFKA_BOOTSTRAP": way.kafka["bootstrap.servers"],
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings, "TOPIC", way.topic)
    return Desk(way, postgres.reader_dsn)
