"""The command that imports archives, over a pipeline of the test."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.archive_pipeline import Pipeline
from twitter_pipeline import settings
from twitter_pipeline.archives.command import import_


@pytest.fixture
def command(
    pipeline: Pipeline, mongo: Any, postgres: Any, kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """`twitter-pipeline import` into that pipeline."""
    for name, value in {
        "PIPELINE_HOME": str(tmp_path / "home"),
        "PIPELINE_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "PIPELINE_POSTGRES_DSN": postgres.dsn,
        "PIPELINE_MONGO_URI": mongo.uri,
        "PIPELINE_MONGO_DATABASE": mongo.name,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings, "TOPIC", pipeline.topic)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(import_, [str(argument) for argument in arguments])

    return run
