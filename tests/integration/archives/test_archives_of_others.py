"""The inputs in tests/cases/data that an import must read, refuse or name, and similar archives, up to the rows."""

import bz2
import gzip
import json
import lzma
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bson import Binary

from support.archive_pipeline import BRIEF, CASES, Pipeline, tweet
from tweet_envelope.writing import Message
from twitter_pipeline.archives import importing
from twitter_pipeline.landing.drain import land
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker, TooManyBadRecords
from twitter_pipeline.transform.drain import transform


def test_cases_that_are_read(pipeline: Pipeline) -> None:
    """Each format and vocabulary gives its tweets, users and rules, as listed in tests/cases/data/EXPECTED.md."""
    tweets = {
        "f03_own_raw_message.jsonl": 1,
        "f03d_users_tweets_errors.json": 0,
        "f05_data.json": 1,
        "f05_users.json": 0,
        "f07_matching_rules.jsonl": 1,
        "f10e_tweet_with_includes.jsonl": 1,
        "f15_utf16.jsonl": 2,
        "f16_concatenated.json": 3,
        "f16c_json_seq.jsonl": 2,
        "f16d_lines_then_pretty.jsonl": 2,
        "f17.jsonl.bz2": 1,
        "f17.jsonl.zst": 1,
        "f18_nullable_ids.jsonl": 1,
    }
    for name, expected in tweets.items():
        summary = pipeline.import_case(name, rule="r")
        assert (name, summary.tweets, summary.refused) == (name, expected, 0)
    pipeline.run()
    assert pipeline.column("select count(*) from twitter.tweets where is_collected") == [sum(tweets.values())]
    rows = pipeline.warehouse.execute(
        "select text, username, is_collected from twitter.tweets tweet left join twitter.users author"
        " on author.id = author_id where text in ('own envelope', 'academic data', 'included original', 'lone+includes')"
        " order by text, tweet.id"
    ).fetchall()
    assert rows == [
        ("academic data", "academic_author", True),
        ("included original", None, False),
        ("included original", None, False),
        ("lone+includes", "lone_author", True),
        ("own envelope", "own_env", True),
    ]
    assert pipeline.column("select username from twitter.users where username = 'academic_author2'")
    [matched] = [envelope for envelope in pipeline.envelopes() if "matching_rules" in envelope]
    assert matched["matching_rules"] == [{"id": "7", "tag": "coffee rule"}]
    [own] = [envelope for envelope in pipeline.envelopes() if envelope["provenance"]["request_id"] == "r1"]
    assert own["provenance"] == {
        "rule": "r",
        "source": "import",
        "endpoint": "x",
        "request_id": "r1",
        "observed_at": "2023-01-01T00:00:00.000000Z",
        "collector": "x",
    }
    assert pipeline.column("select in_reply_to_user_id from twitter.tweets where text = 'int ids'") == [
        1480000000000000007
    ]
    assert pipeline.column("select count(*) from pipeline.dead_letters") == [0]


def test_cases_that_are_refused(pipeline: Pipeline) -> None:
    """What is not a version 2 archive is refused by name, and nothing of it is imported."""
    for name, reason, times in (
        ("f03c_statuses_and_meta.jsonl", "shape", 1),
        ("f10_v1_without_id_str.jsonl", "version", 1),
        ("f10b_flat_row.jsonl", "vocabulary", 1),
        ("f10d_own_jsonl_export.jsonl", "own_export", 5),
    ):
        pipeline.refusals.clear()
        summary = pipeline.import_case(name)
        assert (name, summary.tweets, summary.refused) == (name, 0, times)
        assert set(pipeline.reasons) == {reason}
    assert pipeline.raw.dead_letters.count_documents({"stage": "import"}) == 8
    letters = {letter["_id"] for letter in pipeline.raw.dead_letters.find({"reason": "own_export"})}
    observed = set(pipeline.column("select distinct topic_id from pipeline.observed where kind = 'unread'"))
    assert letters <= observed, "the ids in what was refused lead to it"


def test_what_came_before_a_damage_is_imported(pipeline: Pipeline) -> None:
    """384 tweets of a truncated file become messages, then one refusal says where it is damaged; the same for each compression."""
    summary = pipeline.import_case("f06_cut.jsonl.gz")
    assert (summary.tweets, summary.refused) == (384, 1)
    assert [(refusal.line, refusal.why.reason) for refusal in pipeline.refusals] == [(385, "damaged_gzip")]
    body = b"".join(json.dumps(tweet(number)).encode() + b"\n" for number in range(1, 12_000))
    for packed in (bz2.compress(body), lzma.compress(body), pa.compress(body, codec="zstd", asbytes=True)):
        pipeline.refusals.clear()
        summary = pipeline.import_file("cut", bytes(packed)[:-8], rule=None)
        assert summary.tweets > 2_000
        assert [reason.partition("_")[0] for reason in pipeline.reasons] == ["damaged"]


def test_what_a_stage_would_not_take_is_refused_with_its_line(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import decodes as land and transform do, so that nothing it sends becomes a dead letter there."""
    deep = b'{"id":"5","text":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    lines = [json.dumps(tweet(1)).encode(), deep, json.dumps({"id": "-5", "text": "a"}).encode()]
    summary = pipeline.import_file("mine.jsonl", b"\n".join(lines))
    assert (summary.tweets, summary.refused) == (1, 2)
    assert [(refusal.line, refusal.why.reason) for refusal in pipeline.refusals] == [
        (2, "nesting"),
        (3, "id_range"),
    ]

    def refuse(self: Any, envelope: bytes, at: Any) -> None:
        if b"text 3" in envelope:
            raise importing.Unreadable("shape", "tweet.text: none that transform takes")

    monkeypatch.setattr(importing.Batch, "add_envelope", refuse)
    pipeline.refusals.clear()
    summary = pipeline.import_file("more.jsonl", b"\n".join(json.dumps(tweet(n)).encode() for n in (2, 3, 4)))
    assert (summary.tweets, summary.refused, summary.messages) == (2, 1, 2)
    [refusal] = pipeline.refusals
    assert (refusal.line, refusal.why.reason, json.loads(refusal.body)["text"]) == (2, "shape", "text 3")
    monkeypatch.undo()
    pipeline.run()
    assert pipeline.raw.dead_letters.count_documents({"stage": {"$ne": "import"}}) == 0
    assert pipeline.column("select count(*) from pipeline.dead_letters") == [0]


def test_members_without_a_place_are_in_the_summary(pipeline: Pipeline) -> None:
    """Members that no table accepts are named with their counts: next to an answer, in tweets, in users."""
    lines = [
        {"data": [tweet(1, mood="good"), tweet(2, mood="bad")], "note": "mine"},
        {
            "data": [tweet(3)],
            "includes": {"users": [{"id": "7", "username": "ann", "shoe_size": 43}]},
            "note": "x",
        },
    ]
    summary = pipeline.import_file("odd.jsonl", b"\n".join(json.dumps(line).encode() for line in lines))
    assert (summary.tweets, summary.refused) == (3, 0)
    assert summary.unknown == {"note": 2, "tweet.mood": 2, "user.shoe_size": 1}


def live_envelope(source: str) -> bytes:
    provenance = {"rule": None, "source": source, "request_id": "r", "observed_at": None}
    return json.dumps({"envelope_version": 9, "kind": "tweet", "provenance": provenance}).encode()


def test_imports_stop_no_live_stage(pipeline: Pipeline) -> None:
    """A flood of bad imported records does not stop landing or transform; one of live records does."""

    ends: dict[int, int] = {}

    def produce(*values: bytes) -> None:
        for value in values:
            pipeline.sink.put(Message(b"1", value))
        ends.update(pipeline.sink.acknowledged())

    def landed() -> None:
        breaker = BadRecordBreaker("land", least=50)
        for _ in range(20):
            land(
                pipeline.kafka,
                pipeline.raw,
                pipeline.warehouse,
                topic=pipeline.topic,
                linger=BRIEF,
                breaker=breaker,
            )
            positions = cursors.positions(pipeline.warehouse, "land")
            if all(positions[pipeline.sink.topic_id, partition] > end for partition, end in ends.items()):
                return
        raise AssertionError("landing did not come to the end")

    def transformed() -> None:
        breaker = BadRecordBreaker("transform", least=50)
        transform(pipeline.raw, pipeline.warehouse, topic=pipeline.topic, linger=BRIEF, breaker=breaker)

    def spoil(source: str) -> None:
        pipeline.raw.raw_tweets.update_many({"source": source}, {"$set": {"envelope": Binary(b"{")}})

    produce(*[live_envelope("import")] * 80)
    landed()
    assert pipeline.raw.dead_letters.count_documents({"stage": "land"}) == 80
    pipeline.import_file("good.jsonl", b"\n".join(json.dumps(tweet(n)).encode() for n in range(1, 81)))
    pipeline.run()
    spoil("import")
    pipeline.warehouse.execute(
        "update pipeline.cursors set next_offset = start_offset where stage = 'transform'"
    )
    transformed()
    assert pipeline.column("select count(*) from pipeline.dead_letters") == [80]
    sound = json.loads(live_envelope("search")) | {"envelope_version": 1, "tweet": {"id": "5"}}
    produce(*[json.dumps(sound).encode()] * 60)
    landed()
    spoil("search")
    with pytest.raises(TooManyBadRecords):
        transformed()
    produce(*[live_envelope("search")] * 60)
    with pytest.raises(TooManyBadRecords, match="60 of 60"):
        landed()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files that cannot be imported in six ways, and one that can."""
    found = {
        name: tmp_path / name
        for name in ("missing", "folder", "closed", "damaged.gz", "table.csv", "good.jsonl")
    }
    found["folder"].mkdir()
    found["closed"].write_bytes(b"{}")
    found["closed"].chmod(0)
    found["damaged.gz"].write_bytes(
        gzip.compress(b"\n".join(json.dumps(tweet(n)).encode() for n in range(1, 99)))[:-9]
    )
    found["table.csv"].write_bytes(b"identifier,text\n" * 2000)
    found["empty"] = tmp_path / "empty"
    found["empty"].write_bytes(b"")
    found["good.jsonl"].write_bytes(json.dumps(tweet(500)).encode())
    return found


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (["missing"], 2),
        (["folder"], 2),
        (["damaged.gz"], 1),
        (["table.csv"], 3),
        (["empty"], 0),
        (["damaged.gz", "missing"], 2),
        (["missing", "table.csv", "folder", "damaged.gz"], 3),
    ],
)
def test_a_bad_file_does_not_keep_the_others_away(
    pipeline: Pipeline, command: Any, files: dict[str, Path], bad: list[str], status: int
) -> None:
    """Every file is tried and has a summary, and the exit status is that of the worst."""
    result = command("--json", *(files[name] for name in bad), files["good.jsonl"])
    assert result.exit_code == status, result.output
    summary = json.loads(result.stdout)
    by_name = {Path(file["file"]).name: file for file in summary["files"]}
    assert list(by_name) == [*bad, "good.jsonl"]
    assert (by_name["good.jsonl"]["tweets"], by_name["good.jsonl"]["stopped"]) == (1, None)
    for name in bad:
        assert bool(by_name[name]["stopped"]) == (name in ("missing", "folder", "table.csv"))
        assert by_name[name]["stopped"] is None or by_name[name]["stopped"] in result.stderr
    if "damaged.gz" in bad:
        assert by_name["damaged.gz"]["tweets"] >= 97
    named = command(files["good.jsonl"], files["empty"])
    assert "good.jsonl: 1 tweets" in named.stdout
    assert "empty: 0 tweets" in named.stdout


def test_a_file_that_breaks_while_it_is_read(
    pipeline: Pipeline, command: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could be read from a failing disk is imported, the next file is read, and the exit status says stopped."""
    monkeypatch.setattr(importing, "records", failing_records(importing.records))
    result = command("--json", files["damaged.gz"], files["good.jsonl"])
    assert result.exit_code == 3
    broken, good = json.loads(result.stdout)["files"]
    assert (broken["tweets"], good["tweets"]) == (50, 1)
    assert "could not be read to its end: Input/output error" in broken["stopped"]


def failing_records(records: Any) -> Any:
    def read(stream: Any) -> Any:
        for number, record in enumerate(records(stream)):
            if number == 50:
                raise OSError(5, os.strerror(5))
            yield record

    return read


def test_unknown_members_are_in_the_exit_status(pipeline: Pipeline, command: Any, tmp_path: Path) -> None:
    """Members without a place are listed on standard output, and the exit status is 1."""
    file = tmp_path / "odd.jsonl"
    file.write_text(json.dumps({"data": [tweet(1)], "note": "mine"}))
    result = command(file)
    assert result.exit_code == 1
    assert "have no place in the tables, with counts: note 1" in result.stdout
    assert command(CASES / "f10_v1_without_id_str.jsonl").exit_code == 1
    assert command(CASES / "f03_own_raw_message.jsonl").exit_code == 0
