"""Parquet, and exports delivered into a folder or an object store with the manifest written last."""

import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import psycopg
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from support.envelopes import envelope
from support.loading import load, observation, tweet_id
from twitter_pipeline.exports.command import export
from twitter_pipeline.exports.delivery import deliver
from twitter_pipeline.exports.destination import Refused
from twitter_pipeline.exports.rows import COLUMNS
from twitter_pipeline.exports.tweets import count_tweets
from twitter_pipeline.serving.selection import Selection

CASES = Path(__file__).parents[2] / "cases" / "data"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def reader(postgres: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the read-only role, over forty tweets of several rules."""
    load(postgres.dsn, *(observation(number) for number in range(40)))
    with psycopg.connect(postgres.reader_dsn, autocommit=True) as connection:
        yield connection


def test_parquet_has_the_tweets_of_the_other_formats_with_types(reader: Any, tmp_path: Path) -> None:
    """The same rows in the same order; ids are 64-bit integers, times are times, lists are lists."""
    deliver(reader, tmp_path, "parquet", Selection(), name="all")
    deliver(reader, tmp_path, "jsonl", Selection(), name="all-as-lines")
    table = parquet.read_table(tmp_path / "all.parquet")
    lines = [json.loads(line) for line in (tmp_path / "all-as-lines.jsonl").read_text().splitlines()]
    assert table.column_names == list(COLUMNS)
    assert [str(i) for i in table["id"].to_pylist()] == [line["id"] for line in lines]
    assert table["id"].to_pylist()[0] == tweet_id(0)
    for name in ("text", "hashtags", "rules", "like_count", "reply_count", "author_username"):
        assert table[name].to_pylist() == [line[name] for line in lines], name
    assert table["created_at"].to_pylist()[1] == datetime(2026, 3, 1, 1, 30, tzinfo=UTC)


def test_ids_survive_pandas(postgres: Any, tmp_path: Path) -> None:
    """Each 64-bit id and count is exact in pandas.read_parquet without options, even with nulls and in all-null columns."""
    reply = json.loads((CASES / "f18_nullable_ids.jsonl").read_text())
    largest = {"id": str(2**63 - 1), "text": "no reply, no author"}
    quote = {"id": "5", "text": "a quote", "referenced_tweets": [{"type": "quoted", "id": str(2**53 + 1)}]}
    metrics = {
        "id": "6",
        "text": "odd",
        "public_metrics": {"like_count": 2**53 + 1},
        "possibly_sensitive": True,
    }
    load(postgres.dsn, *(envelope(tweet) for tweet in (reply, largest, quote, metrics)))
    with psycopg.connect(postgres.reader_dsn, autocommit=True) as connection:
        deliver(connection, tmp_path, "parquet", Selection(), name="ids")
        deliver(connection, tmp_path, "csv", Selection(), name="ids-as-csv")
    frame = pandas.read_parquet(tmp_path / "ids.parquet")
    replying = frame[frame["id"] == int(reply["id"])].iloc[0]
    assert replying["in_reply_to_user_id"] == 1480000000000000007
    assert replying["author_id"] == 1480000000000000007
    assert replying["conversation_id"] == 1580661436132757506
    assert frame["id"].tolist() == [5, 6, int(reply["id"]), 2**63 - 1]
    assert frame["quoted_tweet_id"].dropna().tolist() == [2**53 + 1]
    assert frame["like_count"].dropna().tolist() == [2**53 + 1, 3]
    assert frame["possibly_sensitive"].dropna().tolist() == [True]
    numbers = [name for name in COLUMNS if name == "id" or name.endswith(("_id", "_count"))]
    assert {str(frame[name].dtype) for name in numbers} == {"Int64"}
    as_text = pandas.read_csv(tmp_path / "ids-as-csv.csv", dtype="string")
    for name in numbers:
        assert as_text[name].dropna().map(int).tolist() == frame[name].dropna().tolist(), name


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_a_folder_gets_the_data_and_a_manifest_that_is_true(
    reader: Any, tmp_path: Path, file_format: Any
) -> None:
    """Count, size and checksum are those of the file; nothing else is left in the folder."""
    selection = Selection(rule="tens-1", since=datetime(2026, 3, 1, 12, tzinfo=UTC))
    manifest = deliver(reader, tmp_path / "new" / "folder", file_format, selection, now=NOW)
    names = set(os.listdir(tmp_path / "new" / "folder"))
    assert names == {f"tweets-20260501T120000Z.{file_format}", "tweets-20260501T120000Z.manifest.json"}
    data = (tmp_path / "new" / "folder" / manifest.file).read_bytes()
    told = json.loads((tmp_path / "new" / "folder" / "tweets-20260501T120000Z.manifest.json").read_text())
    assert (told["tweets"], told["bytes"]) == (8, len(data)) == (count_tweets(reader, selection), len(data))
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["filters"]["rule"] == "tens-1"


def test_the_same_database_gives_the_same_bytes(reader: Any, tmp_path: Path) -> None:
    """So a delivery can be compared with an earlier one."""
    for file_format in ("csv", "jsonl", "parquet"):
        one = deliver(reader, tmp_path / "1", file_format, Selection(), name=f"of-{file_format}")  # type: ignore[arg-type]
        two = deliver(reader, tmp_path / "2", file_format, Selection(), name=f"of-{file_format}")  # type: ignore[arg-type]
        assert one.sha256 == two.sha256


def test_a_delivery_that_breaks_leaves_nothing(reader: Any, tmp_path: Path) -> None:
    """Neither data nor manifest is left, and an existing file is not replaced."""

    def break_off(_: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        deliver(reader, tmp_path, "csv", Selection(), name="broken", progress=break_off)
    assert os.listdir(tmp_path) == []
    deliver(reader, tmp_path, "csv", Selection(), name="there")
    with pytest.raises(Refused, match="already exists"):
        deliver(reader, tmp_path, "csv", Selection(), name="there")


def test_the_command_takes_a_folder(postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And prints the name of the file it made."""
    load(postgres.dsn, observation(1))
    monkeypatch.setenv("PIPELINE_POSTGRES_READER_DSN", postgres.reader_dsn)
    done = CliRunner().invoke(export, ["--format", "parquet", "--output", f"{tmp_path}/out/"])
    assert done.exit_code == 0, done.output
    made = Path(done.stdout.strip())
    assert parquet.read_table(made).num_rows == 1
    assert "1 tweets" in done.stderr


def test_an_object_store_is_a_folder_too(reader: Any, sns_server: Any, sns: Any) -> None:
    """S3, spoken by moto, through Airflow's ObjectStoragePath as the Dag tweet_export uses it."""
    from upath import UPath

    bucket = urllib.request.Request(f"{sns_server.url}/exports-of-this-test", method="PUT")
    urllib.request.urlopen(bucket, timeout=10).close()
    folder = UPath(
        "s3://exports-of-this-test/daily", key="embedded", secret="embedded", endpoint_url=sns_server.url
    )
    manifest = deliver(reader, folder, "csv", Selection(), now=NOW)
    assert sorted(path.name for path in folder.iterdir()) == [
        manifest.file,
        "tweets-20260501T120000Z.manifest.json",
    ]
    assert hashlib.sha256((folder / manifest.file).read_bytes()).hexdigest() == manifest.sha256
