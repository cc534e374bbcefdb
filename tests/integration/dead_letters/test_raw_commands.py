"""What an operator does when the raw store has lost data: check, accept, settle."""

from datetime import UTC, datetime
from typing import Any

import pytest

from support.desk import GREEN, Desk
from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.landing.raw_store import mark_key

pytestmark = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)


def test_check_tells_a_whole_store_from_one_that_lost_something(desk: Desk):
    """Landing refills by itself what Kafka still has: the command says so, and afterwards reports a whole store."""
    desk.way.produce(*(envelope({"id": str(i)}) for i in range(1, 5)))
    desk.way.drain()
    assert desk.ask("raw", "check")["is_whole"]
    desk.way.raw.client.drop_database(desk.way.raw.name)
    told = desk.run("raw", "check")
    assert told.exit_code == 1
    assert "offsets 0 to 2 are still in Kafka and will be landed again" in told.output
    desk.way.land()
    assert desk.ask("raw", "check")["is_whole"]


def retired_topic_that_lost(desk: Desk, held: int, landed: int) -> None:
    """Cursors of a topic that Kafka no longer has: `landed` offsets, of which raw holds the first `held`."""
    desk.way.produce(envelope({"id": "1"}))
    desk.way.drain()
    store_id = desk.way.rows("select store_id from pipeline.raw_stores")[0][0]
    for stage in ("land", "transform"):
        desk.way.warehouse.execute(
            "insert into pipeline.cursors (stage, topic, topic_id, partition, next_offset) values (%s, %s, 'old', 0, %s)",
            (stage, desk.way.topic, landed if stage == "land" else 0),
        )
    desk.way.raw.pipeline_marks.insert_one(
        {"_id": mark_key("old", 0), "store_id": store_id, "landed_to": held}
    )
    for offset in range(held):
        desk.way.raw.raw_tweets.insert_one(
            {
                "_id": Coordinate("old", 0, offset).key,
                "envelope": envelope({"id": str(100 + offset)}),
                "landed_at": datetime.now(UTC),
            }
        )


def test_accepting_a_loss_needs_a_reason_and_lets_both_stages_go_on(desk: Desk):
    """The command asks first; then the gap is settled with the reason and the user, and what remains is loaded."""
    retired_topic_that_lost(desk, held=2, landed=5)
    with pytest.raises(RawStoreLost, match="topic old partition 0 offsets 2 to 5"):
        desk.way.transform()
    assert desk.run("raw", "accept-loss", "--yes").exit_code == 2
    asked = desk.run("raw", "accept-loss", "--because", "no backup")
    assert "offsets 2 to 5 are lost and were never loaded" in asked.output
    assert asked.exit_code == 1, "nobody confirmed"
    assert desk.way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert len(desk.ask("raw", "accept-loss", "--because", "no backup", "--yes")) == 1
    assert desk.ask("raw", "accept-loss", "--because", "no backup", "--yes") == [], (
        "there is nothing more to accept"
    )
    desk.way.transform()
    assert desk.way.tweet_ids() == [1, 100, 101]
    assert desk.way.rows("select from_offset, to_offset, settlement from pipeline.gaps") == [
        (2, 5, "no backup")
    ]
    desk.way.land()
    assert desk.troubles() == GREEN


def test_a_gap_is_settled_once(desk: Desk):
    """It stays in the table with the reason, and no longer counts as trouble."""
    desk.way.warehouse.execute(
        "insert into pipeline.gaps (kind, rule, reason) values ('window', 'r', 'too long ago')"
    )
    (gap_id,) = desk.way.rows("select id from pipeline.gaps")[0]
    desk.way.land()
    assert desk.troubles()["warehouse"] == "1 gaps: see schema pipeline"
    for expected in ("settled", "no open gap"):
        assert expected in desk.run("raw", "settle-gap", str(gap_id), "--because", "known").output
    assert desk.way.rows("select settlement from pipeline.gaps") == [("known",)]
    assert desk.troubles() == GREEN


def test_a_store_of_somebody_else_is_named(desk: Desk, monkeypatch: Any):
    """The identity found and the one expected are both shown."""
    desk.way.produce(envelope({"id": "1"}))
    desk.way.drain()
    desk.way.raw.pipeline_marks.update_one({"_id": "identity"}, {"$set": {"store_id": "somebody-elses"}})
    told = desk.ask("raw", "check")
    assert (told["identity"], told["is_whole"]) == ("somebody-elses", False)
    with pytest.raises(RawStoreLost, match="is store somebody-elses"):
        desk.way.land()
