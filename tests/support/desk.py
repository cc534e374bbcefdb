"""A person at the command line, with the stores of a way behind it."""

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from support.way import Way
from twitter_pipeline.cli import main
from twitter_pipeline.health import report
from twitter_pipeline.settings import Stores

GREEN = dict.fromkeys(("extract", "land", "transform", "warehouse"))


@dataclass
class Desk:
    """A person at the command line of one pipeline."""

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
