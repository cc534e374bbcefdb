"""Dead letters of every stage: listed, re-driven after a fix, settled, and then no longer trouble."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from bson import Binary

from support.desk import GREEN, Desk
from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.health.accounting import accounts, verify
from twitter_pipeline.transform.engine import Unreadable
from twitter_pipeline.transform.engines.rows import Batch

pytestmark = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)
TOO_NEW = envelope({"id": "3", "text": "of version 9"}).replace(
    b'"envelope_version": 1', b'"envelope_version": 9'
)


def balances(desk: Desk) -> bool:
    return all(account.balances for account in accounts(desk.way.raw, desk.way.warehouse))


def refused_by_postgres(desk: Desk, postgres: Any) -> None:
    """Tweets 1 to 4; number 2 is rejected, and then the cause is fixed."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("alter table twitter.tweets add constraint forbidden check (text <> 'forbidden')")
        desk.way.produce(
            *(envelope({"id": str(i), "text": "forbidden" if i == 2 else "fine"}) for i in range(1, 5))
        )
        desk.way.drain()
        superuser.execute("alter table twitter.tweets drop constraint forbidden")


def written_letter(desk: Desk, stage: str, letter_id: str, payload: bytes, **more: Any) -> None:
    desk.way.raw.dead_letters.insert_one(
        {
            "_id": letter_id,
            "stage": stage,
            "reason": "too_large",
            "detail": "its envelope is larger than Kafka takes",
            "payload": Binary(payload),
            "failed_at": datetime.now(UTC),
            **more,
        }
    )


def test_a_letter_of_transform_is_loaded_under_its_own_coordinates_and_resolved(desk: Desk, postgres: Any):
    """After the fix it is a row like the others; a second re-drive changes nothing, and status is green."""
    refused_by_postgres(desk, postgres)
    verify(desk.way.raw, desk.way.warehouse)
    assert desk.open_letters() == [("transform", "refused")]
    assert "1 dead letters" in (desk.troubles()["warehouse"] or "")
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"loaded": 1}
    assert desk.way.tweet_ids() == [1, 2, 3, 4]
    observed = 'select partition, "offset" from pipeline.observed where kind = %s and object_id = 2'
    assert desk.way.rows(observed, "tweet") == [(1, 0)]
    assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"resolved already": 1}
    assert desk.way.rows(observed, "tweet") == [(1, 0)]
    assert desk.open_letters() == []
    assert desk.open_letters("--all") == [("transform", "refused")]
    assert desk.troubles() == GREEN
    assert [(a.loaded, a.transform_dead_letters) for a in accounts(desk.way.raw, desk.way.warehouse)] == [
        (2, 0),
        (2, 0),
    ]
    assert balances(desk)


def test_a_letter_that_is_refused_again_stays_open(desk: Desk):
    """The command says why and ends with status 1."""
    desk.way.produce(envelope({"id": "6"}, requested="everything"))
    desk.way.drain()
    result = desk.run("dead-letters", "redrive", "--stage", "transform")
    assert result.exit_code == 1
    assert ": refused: shape: " in result.output
    assert desk.open_letters() == [("transform", "shape")]
    assert desk.way.tweet_ids() == []


def test_a_letter_of_landing_goes_into_raw_and_the_tables_under_its_own_coordinates(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """The cursors passed it long ago; a newer version that understands it loads it as if it had never failed."""
    desk.way.produce(envelope({"id": "1"}), envelope({"id": "2"}), TOO_NEW, envelope({"id": "4"}))
    desk.way.drain()
    assert desk.open_letters() == [("land", "version")]
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    assert desk.run("dead-letters", "redrive", letter["id"]).exit_code == 1
    assert desk.open_letters() == [("land", "version")], "this version still does not understand it"
    desk.way.raw.dead_letters.update_one(
        {"_id": letter["id"]}, {"$set": {"payload": envelope({"id": "3", "text": "mended"})}}
    )
    for expected in ("loaded", "resolved already"):
        assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {expected: 1}
        assert desk.way.tweet_ids() == [1, 2, 3, 4]
        assert desk.way.raw.raw_tweets.count_documents({"tweet_id": 3}) == 1
        assert desk.way.raw.raw_tweets.find_one({"tweet_id": 3})["_id"] == letter["id"]
    observed = 'select partition, "offset" from pipeline.observed where kind = %s and object_id = 3'
    assert desk.way.rows(observed, "tweet") == [(0, 1)]
    assert desk.troubles() == GREEN
    assert [(a.loaded, a.land_dead_letters) for a in accounts(desk.way.raw, desk.way.warehouse)] == [
        (2, 0),
        (2, 0),
    ]
    assert balances(desk)


def test_a_redrive_killed_before_the_letter_was_resolved_is_driven_again(desk: Desk):
    """The rows and the document exist already: they stay the same, and now the letter is resolved."""
    desk.way.produce(TOO_NEW)
    desk.way.drain()
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    desk.way.raw.dead_letters.update_one({"_id": letter["id"]}, {"$set": {"payload": envelope({"id": "3"})}})
    desk.ask("dead-letters", "redrive", letter["id"])
    desk.way.raw.dead_letters.update_one({"_id": letter["id"]}, {"$set": {"resolved_at": None}})
    assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"loaded": 1}
    assert desk.way.tweet_ids() == [3]
    assert desk.way.raw.raw_tweets.count_documents({}) == 1
    assert desk.open_letters() == []


def test_a_letter_of_extract_is_produced_again_when_it_fits_into_a_message(desk: Desk):
    """From Kafka on it is processed like every tweet."""
    written_letter(desk, "extract", "extract/request-1/31", envelope({"id": "31"}))
    desk.way.land()
    assert desk.open_letters() == [("extract", "too_large")]
    assert "dead letters of stage extract" in (desk.troubles()["extract"] or "")
    assert desk.ask("dead-letters", "redrive", "--stage", "extract")["counts"] == {"produced": 1}
    desk.way.ends = {}
    desk.way.drain()
    assert desk.way.tweet_ids() == [31]
    assert desk.troubles() == GREEN


def test_a_letter_of_extract_too_large_for_kafka_is_loaded_outside_all_offsets(desk: Desk):
    """It has no coordinates in a log: it gets its own in raw, which the accounting of offsets ignores."""
    desk.way.produce(envelope({"id": "1"}))
    desk.way.drain()
    large = envelope({"id": "32", "text": "x", "note_tweet": {"text": "y" * 1_200_000}})
    written_letter(desk, "extract", "extract/request-1/32", large)
    assert desk.ask("dead-letters", "redrive", "extract/request-1/32")["counts"] == {"loaded": 1}
    assert desk.way.tweet_ids() == [1, 32]
    key = Coordinate("extract/request-1", 0, 32).key
    assert desk.way.raw.raw_tweets.find_one({"tweet_id": 32})["_id"] == key
    assert desk.troubles() == GREEN
    assert balances(desk)


def test_a_letter_of_an_import_or_of_a_conflict_is_settled_by_hand(desk: Desk):
    """A letter that cannot be re-driven says so and stays open; settled with a reason it is no longer trouble."""
    written_letter(
        desk, "import", "import/a.jsonl/000000003/ff", b"{", reason="not_json", file="a.jsonl", line=3
    )
    written_letter(desk, "land", "t/00000/0000000000000000001/conflict", b"{", reason="coordinate_conflict")
    outcome = desk.ask("dead-letters", "redrive", "--all")
    assert outcome["counts"] == {"not possible": 2}
    assert any("import the file again" in letter["detail"] for letter in outcome["letters"])
    assert desk.troubles()["extract"] is not None
    ids = [letter["id"] for letter in outcome["letters"]]
    assert sorted(
        desk.ask("dead-letters", "settle", *ids, "--because", "seen and mended")["settled"]
    ) == sorted(ids)
    assert desk.ask("dead-letters", "settle", *ids, "--because", "again")["settled"] == []
    assert desk.open_letters() == []
    shown = desk.ask("dead-letters", "show", ids[0])
    assert shown["resolution"] == "settled: seen and mended"
    assert shown["resolved_by"]
    assert desk.troubles() == GREEN


def test_a_settled_letter_of_transform_stays_accounted_for(desk: Desk):
    """Settling closes the letter; the record still counts as a dead letter of transform."""
    desk.way.produce(envelope({"id": "6"}, requested="everything"))
    desk.way.drain()
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    assert desk.run("dead-letters", "settle", letter["id"]).exit_code == 2, "without a reason"
    desk.ask("dead-letters", "settle", letter["id"], "--because", "spam")
    assert desk.troubles() == GREEN
    assert [each.unaccounted for each in verify(desk.way.raw, desk.way.warehouse)] == [()]
    assert balances(desk)


def test_a_removed_tweets_letter_does_not_bring_it_back(desk: Desk, postgres: Any):
    """Its raw document is a stub by now: the letter is resolved as removed."""
    refused_by_postgres(desk, postgres)
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    desk.way.raw.raw_tweets.update_one(
        {"tweet_id": 2}, {"$set": {"removed_at": datetime.now(UTC)}, "$unset": {"envelope": ""}}
    )
    assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"removed": 1}
    assert desk.way.tweet_ids() == [1, 3, 4]
    assert desk.open_letters() == []


def test_lists_are_bounded_filtered_and_newest_first(desk: Desk):
    """If there are too many, the list shows the newest and says that there are more."""
    desk.way.produce(*(b"{}" for _ in range(6)), b"", envelope({"id": "6"}, requested="everything"))
    desk.way.drain()
    answer = desk.ask("dead-letters", "list", "--limit", "3")
    assert (len(answer["letters"]), answer["more"]) == (3, True)
    assert desk.open_letters("--stage", "land", "--reason", "empty") == [("land", "empty")]
    assert desk.open_letters("--stage", "transform") == [("transform", "shape")]
    failed_at = [letter["failed_at"] for letter in desk.ask("dead-letters", "list")["letters"]]
    assert failed_at == sorted(failed_at, reverse=True)
    assert len(failed_at) == 8


def test_show_returns_the_bytes_and_an_unknown_id_is_named(desk: Desk):
    """The stored bytes are those that arrived."""
    bad = b"<html>\xff</html>"
    desk.way.produce(bad)
    desk.way.drain()
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    assert desk.run("dead-letters", "show", letter["id"], "--bytes").stdout_bytes == bad
    assert desk.ask("dead-letters", "show", letter["id"])["payload_bytes"] == len(bad)
    for unknown in ("transform/t/00000/0000000000000000001", "transform/x", "nothing"):
        for words in (("show", unknown), ("redrive", unknown), ("settle", unknown, "--because", "x")):
            result = desk.run("dead-letters", *words)
            assert result.exit_code == 2
            assert unknown in result.output
    assert desk.run("dead-letters", "redrive").exit_code == 2


def test_a_fault_of_the_server_during_a_redrive_leaves_the_letter_open(
    desk: Desk, postgres: Any, monkeypatch: pytest.MonkeyPatch
):
    """The command fails with the server's own message, and nothing was done."""
    refused_by_postgres(desk, postgres)
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("revoke insert, update on twitter.tweets from pipeline_loader")
        result = desk.run("dead-letters", "redrive", "--all")
    assert result.exit_code == 1
    assert "permission denied" in result.output
    assert desk.open_letters() == [("transform", "refused")]


def test_a_letter_that_transform_refuses_leaves_nothing_in_raw(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """A letter of landing that would only fail one stage later stays as it is."""
    desk.way.produce(TOO_NEW)
    desk.way.drain()
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    desk.way.raw.dead_letters.update_one({"_id": letter["id"]}, {"$set": {"payload": envelope({"id": "3"})}})

    def refuse(*_: Any) -> None:
        raise Unreadable("shape", "still not")

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "add_envelope", refuse)
        assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"refused": 1}
    assert desk.way.raw.raw_tweets.count_documents({}) == 0
    assert balances(desk)


def test_a_letter_of_land_under_the_word_of_older_versions_is_found_and_loaded(desk: Desk) -> None:
    """Before the first landing of the new version has given it the word of today."""
    desk.way.produce(envelope({"id": "1"}), TOO_NEW)
    desk.way.drain()
    (letter,) = desk.ask("dead-letters", "list")["letters"]
    older = {"stage": "landing", "payload": envelope({"id": "3", "text": "mended"})}
    desk.way.raw.dead_letters.update_one({"_id": letter["id"]}, {"$set": older})
    assert desk.open_letters("--stage", "land") == [("landing", "version")]
    assert desk.ask("dead-letters", "redrive", letter["id"])["counts"] == {"loaded": 1}
    assert desk.way.tweet_ids() == [1, 3]
