"""Archives from import through Kafka, land and transform to rows; and what is refused, lost or done twice."""

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from support.archive_pipeline import Pipeline, number_of, tweet
from tweet_envelope.topic import TopicError, topic_identity
from tweet_envelope.writing import Message
from twitter_pipeline.archives import importing
from twitter_pipeline.archives.importing import Importer, ImportStopped
from twitter_pipeline.collection import pages
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.stack.servers import wait_until

RETRIEVED = "2023-05-01T10:00:00+00:00"


def archive() -> bytes:
    """Four good lines of four kinds with eight tweets, and three bad lines."""
    user = {"id": "7", "username": "Ann", "name": "Ann"}
    lines = [
        {
            "data": [tweet(1), tweet(2)],
            "includes": {"users": [user], "tweets": [tweet(3)]},
            "__twarc": {"retrieved_at": RETRIEVED},
        },
        b'{"data": [{"id": "16000',
        {
            "data": [tweet(4, referenced_posts=[{"type": "quoted", "id": tweet(5)["id"]}])],
            "includes": {"posts": [tweet(5)]},
        },
        {"id": 5, "id_str": "5", "full_text": "of version 1.1", "user": {"id": 7}},
        tweet(6, author=user, referenced_tweets=[{"type": "retweeted", **tweet(7, author=user)}]),
        b"\xff\xfe",
        tweet(8, text="half \ud83d and \x00"),
    ]
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)


def test_every_tweet_becomes_a_row(pipeline: Pipeline) -> None:
    """All tweets of data and includes end in PostgreSQL; a bad line is counted, reported and kept."""
    summary = pipeline.import_file("/somewhere/private/mine.jsonl", archive(), rule="old-days")
    assert (summary.records, summary.tweets, summary.included_tweets, summary.refused) == (7, 5, 3, 3)
    pipeline.run()
    assert [number_of(i) for i in pipeline.column("select id from twitter.tweets order by id")] == list(
        range(1, 9)
    )
    collected = pipeline.column("select id from twitter.tweets where is_collected order by id")
    assert [number_of(i) for i in collected] == [1, 2, 4, 6, 8]
    assert pipeline.column("select distinct username from twitter.users where username is not null") == [
        "Ann"
    ]
    assert pipeline.column("select distinct rule from twitter.tweet_rules") == ["old-days"]
    assert pipeline.column("select count(*) from pipeline.dead_letters") == [0]
    assert all(account.balances for account in accounts(pipeline.raw, pipeline.warehouse))
    assert [(r.line, r.why.reason) for r in pipeline.refusals] == [
        (2, "not_json"),
        (4, "version"),
        (6, "not_utf8"),
    ]
    letters = list(pipeline.raw.dead_letters.find().sort("line", 1))
    assert [(d["stage"], d["file"], d["line"], d["reason"]) for d in letters] == [
        ("import", "mine.jsonl", 2, "not_json"),
        ("import", "mine.jsonl", 4, "version"),
        ("import", "mine.jsonl", 6, "not_utf8"),
    ]
    assert bytes(letters[2]["payload"]).strip() == b"\xff\xfe"
    assert "somewhere" not in json.dumps(letters, default=str)


def test_time_is_the_archives(pipeline: Pipeline) -> None:
    """The observation time comes from the archive, else from the caller, and is never now."""
    pipeline.import_file("a", archive())
    given = datetime(2022, 2, 2, tzinfo=UTC)
    pipeline.import_file(
        "b", json.dumps(tweet(20, public_metrics={"like_count": 1})).encode(), observed_at=given
    )
    pipeline.import_file("c", json.dumps(tweet(21, public_metrics={"like_count": 2})).encode())
    pipeline.run()
    observed = pipeline.column("select observed_at from twitter.tweet_metrics order by tweet_id")
    assert observed == [given, datetime(1970, 1, 1, tzinfo=UTC)]
    assert pipeline.column("select observed_at from pipeline.pages order by params ->> 'file'") == [
        datetime.fromisoformat(RETRIEVED),
        given,
        datetime(1970, 1, 1, tzinfo=UTC),
    ]


def test_again_changes_nothing(pipeline: Pipeline) -> None:
    """The same file imported twice gives the same rows, pages and dead letters."""

    def state() -> list[Any]:
        page_rows = "select request_id || params::text || tweet_ids::text from pipeline.pages"
        queries = [
            "select t::text from twitter.tweets t order by id",
            "select u::text from twitter.users u order by id",
            page_rows,
        ]
        return [*map(pipeline.column, queries), sorted(d["_id"] for d in pipeline.raw.dead_letters.find())]

    pipeline.import_file("mine.jsonl", archive())
    pipeline.run()
    before = state()
    pipeline.import_file("mine.jsonl", archive())
    pipeline.run()
    assert state() == before


def test_ranges_are_in_the_books(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each range of lines has a row with its tweets and last offsets; landing settles it, a lost log is noticed."""
    monkeypatch.setattr(importing, "RANGE_RECORDS", 10)
    body = b"".join(json.dumps(tweet(n)).encode() + b"\n" for n in range(1, 26))
    summary = pipeline.import_file("many.jsonl", body)
    assert summary.ranges == 3
    rows = pipeline.warehouse.execute(
        "select source, endpoint, params - 'sha256', cardinality(tweet_ids), topic, topic_id, state from pipeline.pages"
        " order by (params ->> 'from_line')::int"
    ).fetchall()
    same = (pipeline.topic, pipeline.sink.topic_id, "produced")
    assert rows == [
        ("import", "import", {"file": "many.jsonl", "from_line": a, "to_line": b}, b - a + 1, *same)
        for a, b in ((1, 10), (11, 20), (21, 25))
    ]
    assert pages.settle(pipeline.warehouse, pipeline.topic, "another topic")["lost"] == 3
    pipeline.import_file("many.jsonl", body)
    pipeline.run()
    assert pages.settle(pipeline.warehouse, pipeline.topic, pipeline.sink.topic_id) == {
        "settled": 3,
        "lost": 0,
    }
    assert pipeline.column("select count(*) from twitter.tweets") == [25]
    ids = {d["request_id"] for d in pipeline.raw.raw_tweets.find()}
    assert ids == set(pipeline.column("select request_id from pipeline.pages"))


def test_topic_made_anew(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the topic was recreated meanwhile, the range does not count and the message says which lines."""
    put = pipeline.sink.put

    def put_and_remake(message: Message) -> None:
        put(message)
        monkeypatch.setattr(pipeline.sink, "put", put)
        remake(pipeline)

    monkeypatch.setattr(pipeline.sink, "put", put_and_remake)
    with pytest.raises(
        ImportStopped,
        match=r"mine.jsonl: lines 1 to 7 do not count.*(recreated|acknowledged).*Import the file again",
    ):
        pipeline.import_file("mine.jsonl", archive())
    assert pipeline.column("select count(*) from pipeline.pages") == [0]


def test_topic_made_anew_between_two_files(pipeline: Pipeline) -> None:
    """Earlier ranges may be gone with the topic, so the importer does not continue into another one."""
    importer = Importer(pipeline.sink, pipeline.raw, pipeline.warehouse)
    importer.import_file("first.jsonl", io.BytesIO(archive()))
    remake(pipeline)
    with pytest.raises(ImportStopped, match="recreated since the import began"):
        importer.import_file("second.jsonl", io.BytesIO(archive()))


def remake(pipeline: Pipeline) -> None:
    """Delete the topic and make another one of the same name."""
    admin = AdminClient(pipeline.kafka)
    admin.delete_topics([pipeline.topic])[pipeline.topic].result(20)
    wait_until(lambda: _created(admin, pipeline.topic), 20, "the topic of the same name")
    wait_until(lambda: _is_known(admin, pipeline.topic), 20, "the broker's knowledge of it")


def _is_known(admin: AdminClient, topic: str) -> bool:
    """A broker may take a moment until it knows what its controller has just made."""
    try:
        return bool(topic_identity(admin, topic)[0])
    except TopicError:
        return False


def _created(admin: AdminClient, topic: str) -> bool:
    try:
        admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    except KafkaException:  # the one before is still on its way out
        return False
    return True


def test_tweet_too_large_for_kafka(pipeline: Pipeline) -> None:
    """A tweet too large for a message affects only itself: it is refused with its line, and kept."""
    body = b"\n".join(json.dumps(t).encode() for t in (tweet(1), tweet(2, text="x" * 1_200_000), tweet(3)))
    summary = pipeline.import_file("big.jsonl", body)
    assert (summary.tweets, summary.refused) == (2, 1)
    assert [(r.line, r.why.reason) for r in pipeline.refusals] == [(2, "too_large")]
    assert pipeline.raw.dead_letters.count_documents({"line": 2}) == 1


def test_no_archive_at_all(pipeline: Pipeline) -> None:
    """A large file of something else is stopped before it fills the dead letters."""
    with pytest.raises(ImportStopped, match="most of it is not an archive of tweets"):
        pipeline.import_file("table.csv", b"id,text\n" * 20_000)
    assert pipeline.raw.dead_letters.count_documents({}) == 0


def test_command(pipeline: Pipeline, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command imports gzipped files, prints a summary, and exits 1 when something was refused, 2 on misuse."""
    bad, good = tmp_path / "bad.jsonl.gz", tmp_path / "good.json"
    bad.write_bytes(gzip.compress(archive()))
    good.write_text(json.dumps({"data": [tweet(30)]}, indent=2))
    result = command("--json", bad, good)
    assert result.exit_code == 1, result.output
    summary = json.loads(result.stdout)
    assert (summary["tweets"], summary["refused"]) == (6, 3)
    assert [file["file"] for file in summary["files"]] == ["bad.jsonl.gz", "good.json"]
    assert f"{bad}:4: version: " in result.stderr
    assert command(good).exit_code == 0
    for misuse in (
        [],
        ["missing.json"],
        [tmp_path],
        ["--rule", "No Rule", good],
        ["--observed-at", "2999-01-01T00:00:00Z", good],
        ["--observed-at", "2021-01-01T00:00:00", good],
        ["-", "-"],
    ):
        assert command(*misuse).exit_code == 2, misuse
    monkeypatch.setenv("PIPELINE_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setattr("twitter_pipeline.streaming.log.TIMEOUT", 0.5)
    stopped = command(good)
    assert stopped.exit_code == 3
    assert "make up" in stopped.stderr
