"""The last error is reported under the stage it belongs to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.brokers import ON_TANSU
from support.envelopes import envelope
from support.oracle import BAD
from support.way import Way, anew, drain_anew
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.health import report
from twitter_pipeline.settings import Stores
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker, TooManyBadRecords


def errors(way: Way, postgres: Any) -> dict[str, str | None]:
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri=way.mongo_uri,
        mongo_database=way.raw.name,
        kafka_bootstrap=way.kafka["bootstrap.servers"],
    )
    return {stage.stage: stage.last_error for stage in report.look(stores, way.topic).stages}


@ON_TANSU
def test_the_newest_dead_letter_of_each_stage_is_reported_under_that_stage(way: Way, postgres: Any):
    """The newest by time of failure; the letters of an import, whatever their ids, are not landing's."""
    assert errors(way, postgres) == dict.fromkeys(("extract", "land", "transform", "warehouse"))
    way.produce(BAD)
    drain_anew(way)
    letter = {"payload": b"", "failed_at": datetime.now(UTC) + timedelta(seconds=5)}
    way.raw.dead_letters.insert_many(
        [
            {"_id": "!older", **letter, "stage": "land", "reason": "newest", "detail": "by time"},
            {"_id": "import/a", **letter, "stage": "import", "reason": "not_json", "detail": "line 3"},
        ]
    )
    told = errors(way, postgres)
    assert told["land"] == "2 dead letters of stage land, the newest: newest: by time"
    assert told["extract"] == "1 dead letters of stage import, the newest: not_json: line 3"
    assert told["transform"] is None


@ON_TANSU
def test_a_conflict_under_one_coordinate_is_reported_like_every_dead_letter(way: Way, postgres: Any):
    """The incident says when and what; a redelivered dead letter is the same letter and not an incident."""
    way.produce(envelope({"id": "1"}), BAD)
    drain_anew(way)
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'land'")
    drain_anew(way)
    assert way.raw.dead_letters.count_documents({}) == 1
    (topic_id,) = way.rows("select distinct topic_id from pipeline.cursors")[0]
    way.raw.raw_tweets.update_one({"tweet_id": 1}, {"$set": {"sha256": "another"}})
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'land'")
    drain_anew(way)
    key = Coordinate(topic_id, 0, 0).key
    assert errors(way, postgres)["land"] == (
        "2 dead letters of stage land, the newest: coordinate_conflict:"
        f" another payload than the one in raw_tweets under {key}"
    )


@ON_TANSU
def test_a_parked_rule_and_a_notice_come_before_the_newest_failure(way: Way, postgres: Any):
    """Errors of disabled or removed rules are not reported."""
    way.warehouse.execute(
        "insert into pipeline.rules (name, kind, spec, is_enabled, last_error, last_error_at, parked_at, parked_reason) values"
        " ('off', 'search', '{\"query\": \"x\"}', false, 'OldError', now(), null, null), ('tea', 'search', '{\"query\": \"x\"}', true, '503', now(), null, null),"
        " ('mugs', 'search', '{\"query\": \"x\"}', true, '400', now(), now(), 'no such operator')"
    )
    way.warehouse.execute(
        "insert into pipeline.notices (subject, notice) values ('rules file', 'names no rule')"
    )
    assert errors(way, postgres)["extract"] == (
        "rules file: names no rule; rule mugs is parked: no such operator; tea: 503"
    )


def looked(way: Way, postgres: Any) -> report.Health:
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri=way.mongo_uri,
        mongo_database=way.raw.name,
        kafka_bootstrap=way.kafka["bootstrap.servers"],
    )
    return report.look(stores, way.topic)


@ON_TANSU
def test_a_disabled_rules_error_is_no_longer_trouble(way: Way, postgres: Any):
    """A rule that is not polled does not keep the status red; enabled again, its error is reported again."""
    way.warehouse.execute(
        "insert into pipeline.rules (name, kind, spec, interval_seconds, is_enabled, last_error, last_error_at)"
        " values ('old', 'search', '{\"query\": \"x\"}', 60, false, 'refused by X', now())"
    )
    assert errors(way, postgres)["extract"] is None
    assert looked(way, postgres).stages[0].lag == 0
    way.warehouse.execute("update pipeline.rules set is_enabled = true")
    assert errors(way, postgres)["extract"] == "old: refused by X"


@ON_TANSU
def test_resolved_letters_and_settled_gaps_are_no_longer_trouble(way: Way, postgres: Any):
    """Status is red while somebody must act, and green again afterwards."""
    way.produce(BAD, envelope({"id": "1"}, requested="everything"))
    drain_anew(way)
    way.warehouse.execute(
        "insert into pipeline.gaps (kind, rule, reason) values ('window', 'r', 'too long ago')"
    )
    told = errors(way, postgres)
    assert told["land"] is not None
    assert told["transform"] is not None
    assert told["warehouse"] == "1 dead letters, 1 gaps: see schema pipeline"
    way.raw.dead_letters.update_many({}, {"$set": {"resolved_at": datetime.now(UTC)}})
    way.warehouse.execute("update pipeline.dead_letters set resolved_at = now()")
    way.warehouse.execute("update pipeline.gaps set settled_at = now()")
    assert errors(way, postgres) == dict.fromkeys(("extract", "land", "transform", "warehouse"))
    now = looked(way, postgres)
    assert (now.transform_dead_letters, now.land_dead_letters, now.gaps, now.failing) == (0, 0, 0, [])


@ON_TANSU
def test_an_error_that_stops_landing_is_reported_until_the_next_successful_step(way: Way, postgres: Any):
    """TooManyBadRecords stays in the cursor rows that it stopped, until they move."""
    way.produce(*(BAD for _ in range(60)))
    with anew(way) as run, pytest.raises(TooManyBadRecords):
        run.land(breaker=BadRecordBreaker("land", ratio=0.5, least=50))
    now = looked(way, postgres)
    assert {(each.stage, each.partition) for each in now.failing or ()} == {("land", 0), ("land", 1)}
    assert "TooManyBadRecords: land: 60 of 60 records are bad" in (now.stages[1].last_error or "")
    with anew(way) as run:
        run.land()
    assert looked(way, postgres).failing == []


@ON_TANSU
def test_unaccounted_and_missing_offsets_are_figures(way: Way, postgres: Any):
    """What the accounting found and what vanished from raw are in the report behind the metrics."""
    way.warehouse.execute(
        "insert into pipeline.accounted (topic_id, partition, accounted_to, unaccounted_count, unaccounted)"
        " values ('t', 0, 9, 2, '{3,4}')"
    )
    way.warehouse.execute(
        "insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)"
        " values ('offsets', 't', 0, 5, 8, 'missing in raw')"
    )
    now = looked(way, postgres)
    assert (now.unaccounted, now.missing_in_raw) == (2, 3)
    assert now.stages[3].last_error == "1 gaps, 2 unaccounted offsets: see schema pipeline"


@ON_TANSU
def test_the_error_of_a_topic_that_is_gone_is_cleared_once_its_successor_lands(way: Way, postgres: Any):
    """Its cursors never move again: the next successful step clears their errors."""
    way.warehouse.execute(
        "insert into pipeline.cursors (stage, topic, topic_id, partition, failed_at, last_error)"
        " values ('land', %s, 'retired', 0, now(), 'TopicChanged: the batch was dropped')",
        (way.topic,),
    )
    assert [each.topic_id for each in looked(way, postgres).failing or ()] == ["retired"]
    with anew(way) as run:
        run.land()
    assert looked(way, postgres).failing == []


@ON_TANSU
def test_tweets_from_before_content_had_versions_are_counted(way: Way, postgres: Any):
    """Until X returns one again: which of several texts it shows is chance."""
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri=way.mongo_uri,
        mongo_database=way.raw.name,
        kafka_bootstrap=way.kafka["bootstrap.servers"],
    )
    way.warehouse.execute(
        "insert into twitter.tweets (id, text, is_collected) values (1, 'old', true), (2, 'old', true), (3, null, true)"
    )
    assert report.look(stores, way.topic).unversioned_tweets == 2
    way.produce(envelope({"id": "1", "text": "new"}))
    drain_anew(way)
    assert report.look(stores, way.topic).unversioned_tweets == 1
