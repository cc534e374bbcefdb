"""From Kafka to the tables: everything arrives, once, and no bad record affects others."""

from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from pymongo.errors import PyMongoError

from support.envelopes import MALFORMED, envelope
from support.way import Way
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.stages import TRANSFORM
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker, TooManyBadRecords
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.streaming.published_positions import PublishedPositions


def test_every_malformed_message_is_one_dead_letter_and_the_others_load(way: Way):
    """Bytes, coordinates and reason are kept; the partition continues after it."""
    values = [
        envelope({"id": "1", "text": "before"}),
        *MALFORMED.values(),
        envelope({"id": "2", "text": "after"}),
    ]
    places = way.produce(*values)
    way.drain()
    letters = {d["_id"]: d for d in way.raw.dead_letters.find()}
    topic_id = way.rows("select topic_id from pipeline.cursors limit 1")[0][0]
    for (reason, value), place in zip(MALFORMED.items(), places[1:-1], strict=True):
        letter = letters.pop(Coordinate(topic_id, *place).key)
        assert (letter["reason"], letter["payload"]) == (reason, value)
    assert not letters
    assert way.tweet_ids() == [1, 2]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_nul_and_lone_surrogates_in_text_are_a_sanitised_row(way: Way):
    """The row loads without what PostgreSQL cannot store; raw keeps the original bytes."""
    value = envelope({"id": "5", "text": "a\x00b\ud83dc"})
    way.produce(value)
    way.drain()
    assert way.rows("select text, is_sanitized from twitter.tweets") == [("ab\ufffdc", True)]
    assert way.raw.raw_tweets.find_one({"tweet_id": 5})["envelope"] == value


def test_an_envelope_that_lands_but_cannot_be_read_is_dead_lettered_in_the_same_transaction(way: Way):
    """Landing checks ids and shape, transform everything: what only transform refuses ends up in PostgreSQL."""
    value = envelope({"id": "6", "text": "fine"}, requested="everything")
    way.produce(envelope({"id": "5"}), value, envelope({"id": "7"}))
    way.drain()
    assert way.tweet_ids() == [5, 7]
    assert way.rows("select reason, payload from pipeline.dead_letters") == [("shape", value)]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_a_row_that_postgresql_refuses_is_narrowed_down_to_itself(way: Way, postgres):
    """The rejection is unforeseen; the batch is halved until the record is alone, and the others load."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("alter table twitter.tweets add check (text <> 'forbidden')")
    way.produce(*(envelope({"id": str(i), "text": "forbidden" if i == 13 else "fine"}) for i in range(1, 41)))
    way.drain()
    assert way.tweet_ids() == [i for i in range(1, 41) if i != 13]
    ((reason, detail),) = way.rows("select reason, detail from pipeline.dead_letters")
    assert reason == "refused"
    assert "check constraint" in detail
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_draining_again_changes_nothing(way: Way):
    """A redelivery is the same document, and a replay writes no row: same contents, same transaction ids."""
    way.produce(
        *(
            envelope({"id": str(i), "text": "t", "author_id": "9", "public_metrics": {"like_count": i}})
            for i in range(1, 30)
        )
    )
    way.drain()
    look = "select id, xmin::text, ctid::text, loaded_at from twitter.tweets order by id"
    before = way.rows(look)
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset")
    landed = way.land()
    assert (landed.read, landed.duplicates) == (29, 29)
    way.transform()
    assert way.rows(look) == before
    assert way.raw.raw_tweets.count_documents({}) == 29


def test_two_payloads_under_one_coordinate_are_an_incident_and_not_a_duplicate(way: Way):
    """The payload landed first stays; the other is stored as a dead letter that says so."""
    ((partition, offset),) = way.produce(envelope({"id": "1", "text": "true"}))
    way.land()
    topic_id = way.rows("select topic_id from pipeline.cursors limit 1")[0][0]
    key = Coordinate(topic_id, partition, offset).key
    way.raw.raw_tweets.update_one({"_id": key}, {"$set": {"sha256": "another"}})
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset")
    way.land()
    assert way.raw.dead_letters.find_one({"_id": f"{key}/conflict"})["reason"] == "coordinate_conflict"


def test_too_many_bad_records_stop_the_stage_before_a_cursor_moves(way: Way):
    """A changed source must not drain the topic into the dead letters."""
    way.produce(*(b"<html>503</html>" for _ in range(80)))
    with pytest.raises(TooManyBadRecords, match=r"(\d+) of \1 "):
        way.land(breaker=BadRecordBreaker("land", ratio=0.5, least=1))
    assert way.raw.dead_letters.count_documents({}) == 0
    assert {n for (n,) in way.rows("select next_offset from pipeline.cursors")} == {0}


def test_a_removed_tweet_does_not_come_back(way: Way):
    """Deletion is final: it returns neither as data nor as an include of another tweet, and the accounts balance."""
    way.warehouse.execute("insert into pipeline.tombstones (tweet_id, reason) values (4, 'deleted')")
    tweet = {
        "id": "4",
        "text": "gone",
        "entities": {"hashtags": [{"tag": "x"}]},
        "public_metrics": {"like_count": 1},
    }
    way.produce(envelope(tweet), envelope({"id": "5", "text": "re"}, includes={"tweets": [tweet]}))
    way.drain()
    assert way.tweet_ids() == [5]
    assert way.rows("select count(*) from twitter.tweet_hashtags") == [(0,)]
    assert way.rows("select count(*) from twitter.tweet_metrics") == [(0,)]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_transform_reads_nothing_beyond_landings_cursor(way: Way):
    """Unordered inserts become visible in any order: documents before one past the cursor may still be missing."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 9)))
    way.land()
    way.warehouse.execute(
        "update pipeline.cursors set next_offset = 2 where stage = 'land' and next_offset > 2"
    )
    way.transform()
    assert len(way.tweet_ids()) == 4


def test_a_transform_that_begins_before_landing_waits_for_what_lands(way: Way):
    """Both stages are woken together; the second does not leave just because nothing moved in the last hour."""
    way.produce(envelope({"id": "1", "text": "before"}))
    way.drain()
    way.warehouse.execute("update pipeline.cursors set updated_at = updated_at - interval '1 hour'")
    way.produce(envelope({"id": "2", "text": "now"}))
    waits = []

    def land_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            way.land()

    way.transform(sleep=land_meanwhile, linger=Linger(stay_seconds=20, quiet_seconds=3))
    assert way.tweet_ids() == [1, 2]


def test_envelopes_without_a_tweet_are_accounted_for(way: Way):
    """Includes that no tweet of the page needs are sent alone."""
    way.produce(
        envelope(None, includes={"users": [{"id": "3", "username": "u"}], "tweets": [{"id": "8"}]}),
        envelope(None),
    )
    way.drain()
    assert way.rows("select id, is_collected from twitter.tweets") == [(8, False)]
    assert [a.loaded for a in accounts(way.raw, way.warehouse) if a.consumed] == [1, 1]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_an_unknown_observation_time_ranks_oldest(way: Way):
    """An archive without a time never overwrites an observation, whichever comes first."""
    for order in (("2026-01-01T00:00:00Z", None), (None, "2026-01-01T00:00:00Z")):
        tweet_id = str(10 + (order[0] is None))
        for at in order:
            likes = 1 if at is None else 9
            way.produce(envelope({"id": tweet_id, "public_metrics": {"like_count": likes}}, observed_at=at))
            way.drain()
    assert (
        way.rows("select like_count, twitter.observed_at(metrics_version) from twitter.tweets")
        == [(9, datetime(2026, 1, 1, tzinfo=UTC))] * 2
    )


def test_a_fault_of_the_infrastructure_is_raised_and_never_dead_lettered(way: Way):
    """If MongoDB refuses, no record is lost: the cursor stays, and the next drain lands it."""
    way.produce(envelope({"id": "1"}))
    unreachable = way.raw.client.__class__("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300")["tweets"]
    reachable, way.raw = way.raw, unreachable
    with pytest.raises(PyMongoError):
        way.land()
    way.raw = reachable
    way.drain()
    assert way.tweet_ids() == [1]


def test_dead_letters_of_an_older_version_are_found_under_the_new_name_of_their_stage(way: Way) -> None:
    """`landing` is `land` now; an older letter is found by the new name."""
    way.raw.dead_letters.insert_one(
        {"_id": "t/00000/0000000000000000001", "stage": "landing", "reason": "shape"}
    )
    way.produce(envelope({"id": "1"}))
    way.land()
    assert [letter["stage"] for letter in way.raw.dead_letters.find()] == ["land"]


def test_a_partition_without_work_is_published_too(way: Way) -> None:
    """A group that knows nothing of a partition would count it as lagging, and ring for it again and again."""
    way.produce(envelope({"id": "1"}), envelope({"id": "2"}))
    way.land()
    way.transform()
    with (
        PublishedPositions(way.kafka, way.topic, TRANSFORM.group) as known,
        closing(Consumer({**way.kafka, "group.id": TRANSFORM.group})) as consumer,
    ):
        known.publish({0: 0, 1: 0})  # as a new group would have it
        assert way.transform().loaded == 0
        both = [TopicPartition(way.topic, partition) for partition in (0, 1)]
        assert [each.offset for each in consumer.committed(both, timeout=10)] == [1, 1]
