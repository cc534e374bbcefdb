"""The path of a tweet, and the command on the same stores."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result

from twitter_pipeline import settings
from twitter_pipeline.cli import main
from twitter_pipeline.health import report
from twitter_pipeline.settings import Stores

from ..path.conftest import Way, make_way

__all__ = ["make_way"]
GREEN = dict.fromkeys(("extract", "land", "transform", "warehouse"))


@dataclass
class Desk:
    """An operator at the command line of one pipeline."""

    way: Way
    reader_dsn: str

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, list(words))

    def ask(self, *words: str) -> Any:
        """The JSON that a command prints."""
        result = self.run(*words, "--json")
        assert result.exit_code in {0, 1}, result.output
        return json.loads(result.stdout)

    def open_letters(self, *words: str) -> list[tuple[str, str]]:
        return [(e["stage"], e["reason"]) for e in self.ask("dead-letters", "list", *words)["letters"]]

    def troubles(self) -> dict[str, str | None]:
        stores = Stores(
            postgres_reader_dsn=self.reader_dsn,
            mongo_uri=self.way.mongo_uri,
            mongo_database=self.way.raw.name,
            kafka_bootstrap=self.way.kafka["bootstrap.servers"],
        )
        return {stage.stage: stage.last_error for stage in report.look(stores, self.way.topic).stages}


@pytest.fixture
def desk(
    kafka: Any, make_way: Callable[..., Way], postgres: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Desk:
    way = make_way(kafka)
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
