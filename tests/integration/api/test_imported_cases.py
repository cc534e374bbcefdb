"""The cases of search and of usernames, all the way: import, Kafka, landing, transform, then over HTTP and by command."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from twitter_pipeline.exports.command import export, search

from ..archives.conftest import Pipeline, pipeline  # noqa: F401
from ..faults.conftest import ON_TANSU
from .test_searching_words import served

CASES = Path(__file__).parents[2] / "cases" / "data"
ENTITIES, LONG_NAME = 1531790755230646272, 1531790650373046272


def command(database: Any, *arguments: str) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_POSTGRES_READER_DSN", database.reader_dsn)
        result = CliRunner().invoke(search, ["--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return [int(tweet["id"]) for tweet in json.loads(result.stdout)["tweets"]]


def exported(database: Any, author: str) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_POSTGRES_READER_DSN", database.reader_dsn)
        result = CliRunner().invoke(export, ["--format", "jsonl", "--author", author], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return [int(json.loads(line)["id"]) for line in result.stdout.splitlines()]


@ON_TANSU
def test_cases_f11_and_f13(pipeline: Pipeline, postgres: Any, tmp_path: Path) -> None:  # noqa: F811
    """Texts with entities are found by what people read; names of more than fifteen characters are names."""
    longest = "a" * 50
    own = {
        "data": [{"id": "0", "text": "of an emulator &gt; X", "author_id": "0"}],
        "includes": {"users": [{"id": "0", "username": longest, "name": "n"}]},
    }
    for case in ("f11_html_entities", "f13_long_username"):
        pipeline.import_file(f"{case}.jsonl", (CASES / f"{case}.jsonl").read_bytes(), rule="r")
    pipeline.import_file("own.jsonl", json.dumps(own).encode())
    pipeline.run()
    with served(tmp_path, postgres) as api:

        def listed(**params: Any) -> list[int]:
            return [int(tweet["id"]) for tweet in api.data("/api/v1/tweets", **params)["data"]]

        for words in ("R&D", "AT&T", "3 <", "r&d at&t", "&amp; so"):
            assert listed(words=words) == [ENTITIES], words
            assert command(postgres, *words.split()) == [ENTITIES], words
        assert listed(words="3 &lt; 5") == []
        for name in ("a_very_long_username", "@A_Very_Long_Username", " \uff20a_very_long_username"):
            assert listed(author=name) == command(postgres, "--author", name) == [LONG_NAME], name
            assert exported(postgres, name) == [LONG_NAME], name
            (user,) = api.data("/api/v1/users", username=name)["data"]
            assert user["username"] == "a_very_long_username"
        assert command(postgres, "--author", longest) == exported(postgres, longest)
        refused = CliRunner().invoke(search, ["--author", longest + "a"])
        assert (refused.exit_code, "up to 50" in refused.stderr) == (2, True)
