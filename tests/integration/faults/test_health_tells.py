"""What went wrong last is told under the stage it belongs to."""

from datetime import UTC, datetime, timedelta
from typing import Any

from twitter_pipeline import health
from twitter_pipeline.landing.documents import Coordinate
from twitter_pipeline.settings import Stores

from ..path.conftest import Way, envelope
from .conftest import BAD, ON_TANSU, drain_anew


def errors(way: Way, postgres: Any) -> dict[str, str | None]:
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri=way.mongo_uri,
        mongo_database=way.raw.name,
        kafka_bootstrap=way.kafka["bootstrap.servers"],
    )
    return {stage["stage"]: stage["last_error"] for stage in health.stages(stores, way.topic)}


@ON_TANSU
def test_the_newest_dead_letter_of_each_stage_is_told_under_that_stage(way: Way, postgres: Any):
    """Newest by the time of failing, and an import's letters, whatever their ids, are not landing's."""
    assert errors(way, postgres) == dict.fromkeys(("extract", "landing", "transform", "warehouse"))
    way.produce(BAD)
    drain_anew(way)
    letter = {"payload": b"", "failed_at": datetime.now(UTC) + timedelta(seconds=5)}
    way.raw.dead_letters.insert_many(
        [
            {"_id": "!older", **letter, "stage": "landing", "reason": "newest", "detail": "by time"},
            {"_id": "import/a", **letter, "stage": "import", "reason": "not_json", "detail": "line 3"},
        ]
    )
    told = errors(way, postgres)
    assert told["landing"] == "2 dead letters of stage landing, the newest: newest: by time"
    assert told["extract"] == "1 dead letters of stage import, the newest: not_json: line 3"
    assert told["transform"] is None


@ON_TANSU
def test_a_conflict_under_one_coordinate_is_told_like_every_dead_letter(way: Way, postgres: Any):
    """The incident says when and what; a redelivered dead letter is the same one and no incident."""
    way.produce(envelope({"id": "1"}), BAD)
    drain_anew(way)
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'landing'")
    drain_anew(way)
    assert way.raw.dead_letters.count_documents({}) == 1
    (topic_id,) = way.rows("select distinct topic_id from pipeline.cursors")[0]
    way.raw.raw_tweets.update_one({"tweet_id": 1}, {"$set": {"sha256": "another"}})
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'landing'")
    drain_anew(way)
    key = Coordinate(topic_id, 0, 0).key
    assert errors(way, postgres)["landing"] == (
        "2 dead letters of stage landing, the newest: coordinate_conflict:"
        f" another payload than the one in raw_tweets under {key}"
    )


@ON_TANSU
def test_a_parked_rule_and_a_notice_stand_before_the_newest_failure(way: Way, postgres: Any):
    """What a disabled or removed rule failed of is no news."""
    way.warehouse.execute(
        "insert into pipeline.rules (name, query, is_enabled, last_error, last_error_at, parked_at, parked_reason) values"
        " ('off', 'x', false, 'OldError', now(), null, null), ('tea', 'x', true, '503', now(), null, null),"
        " ('mugs', 'x', true, '400', now(), now(), 'no such operator')"
    )
    way.warehouse.execute(
        "insert into pipeline.notices (subject, notice) values ('rules file', 'names no rule')"
    )
    assert errors(way, postgres)["extract"] == (
        "rules file: names no rule; rule mugs is parked: no such operator; tea: 503"
    )
