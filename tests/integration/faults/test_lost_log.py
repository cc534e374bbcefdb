"""The log is wiped, recreated or truncated ahead of the cursor: noticed, reported, and fetched again; never confused."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from support.brokers import ON_APACHE_KAFKA
from support.envelopes import envelope
from support.lost_logs import cut, make_topic, wipe
from support.way import BRIEF, Way, anew, drain_anew
from tweet_envelope.topic import TopicChanged, TopicMissing
from twitter_pipeline.collection import pages
from twitter_pipeline.collection.ledgers import RefetchLedger
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.landing.drain import land
from twitter_pipeline.landing.raw_store import mark_key
from twitter_pipeline.stack.servers import RunningServer, wait_until
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.streaming.log import Log, Truncated, identify

# Deletion and retention: Tansu has no delete_records, and its answer to a fetch from a deleted topic ends librdkafka
# 2.16 by SIGSEGV (rd_kafka_metadata_update_op meets a leader hint without a topic's name). A wiped Tansu does not.
LONG = Linger(stay_seconds=60, quiet_seconds=60)


def make_anew(way: Way) -> None:
    """Delete the topic and create one of the same name."""
    before = identify(way.kafka, way.topic)
    admin = AdminClient(way.kafka)
    admin.delete_topics([way.topic])[way.topic].result(20)

    def another() -> bool:
        with suppress(KafkaException):  # the old topic is still there, or the new one is
            make_topic(way)
        try:
            return identify(way.kafka, way.topic) != before
        except TopicMissing:
            return False

    wait_until(another, 20, "another topic of the same name")
    way.ends.clear()


def note_page(way: Way, request_id: str, tweet_ids: list[int], places: list[tuple[int, int]]) -> None:
    """Record a page as the collector does once Kafka has acknowledged it."""
    offsets: dict[int, int] = {}
    for partition, offset in places:
        offsets[partition] = max(offset, offsets.get(partition, 0))
    RefetchLedger(way.warehouse, way.raw, "rule", None).page_acknowledged(
        request_id=request_id,
        endpoint="/2/tweets",
        params={},
        tweet_ids=tweet_ids,
        topic=way.topic,
        topic_id=identify(way.kafka, way.topic),
        offsets=offsets,
        observed_at=datetime.now(UTC),
    )


def collect(way: Way, request_id: str, tweet_ids: list[int]) -> list[tuple[int, int]]:
    """Fetch, produce and record a page."""
    places = way.produce(*(envelope({"id": str(i), "text": f"of {request_id}"}) for i in tweet_ids))
    note_page(way, request_id, tweet_ids, places)
    return places


def states(way: Way) -> dict[str, str]:
    return dict(way.rows("select request_id, state from pipeline.pages"))


def lose_and_fetch_again(way: Way, lose: Callable[[], None]) -> None:
    """Two pages land, two more are lost with the log before landing; one lost tweet is deleted at X meanwhile."""
    collect(way, "landed-1", [1, 2])
    collect(way, "landed-2", [3, 4])
    drain_anew(way)
    old = identify(way.kafka, way.topic)
    collect(way, "lost-1", [5, 6])
    collect(way, "lost-2", [7, 8])
    lose()
    new = identify(way.kafka, way.topic)
    assert new != old
    assert pages.settle(way.warehouse, way.topic, new) == {"settled": 2, "lost": 2}
    for page in pages.lost(way.warehouse, "rule"):
        still_there = [i for i in page.tweet_ids if i != 7]
        collect(way, f"again-{page.request_id}", still_there)
        refused = {7: "Not Found Error"} if 7 in page.tweet_ids else {}
        assert pages.refetched(way.warehouse, page, still_there, refused) == list(refused)
    drain_anew(way)
    assert pages.settle(way.warehouse, way.topic, new) == {"settled": 2, "lost": 0}
    assert pages.lost(way.warehouse, "rule") == []
    assert states(way) == {
        "landed-1": "settled",
        "landed-2": "settled",
        "lost-1": "refetched",
        "lost-2": "refetched",
        "again-lost-1": "settled",
        "again-lost-2": "settled",
    }
    assert way.rows("select kind, rule, tweet_ids from pipeline.gaps") == [("tweets", "rule", [7])]
    assert way.tweet_ids() == [1, 2, 3, 4, 5, 6, 8]
    assert sorted(d["tweet_id"] for d in way.raw.raw_tweets.find()) == [1, 2, 3, 4, 5, 6, 8]
    starts = way.rows(
        "select distinct start_offset from pipeline.cursors where stage = 'land' and topic_id = %s", new
    )
    assert starts == [(0,)]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_a_wiped_broker_costs_requests_and_no_tweets(tansu: RunningServer, make_way: Callable[..., Way]):
    """What had not landed is fetched again by id, what X no longer returns is a gap row, the rest stays."""
    way = make_way(tansu.server.bootstrap, "raw-tweets")  # type: ignore[attr-defined]
    make_topic(way)
    lose_and_fetch_again(way, lambda: wipe(way, tansu))


@ON_APACHE_KAFKA
def test_a_recreated_topic_costs_requests_and_no_tweets(way: Way):
    """The same offsets of another topic are different coordinates."""
    lose_and_fetch_again(way, lambda: make_anew(way))


def drain_across(way: Way, change: Callable[[], None]) -> None:
    """A lingering drain has landed some; the topic is replaced by one with its own messages under the same offsets."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 5)))
    ended: list[BaseException] = []

    def stay(dsn: str) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                land(way.kafka, way.raw, connection, topic=way.topic, linger=LONG)
        except Exception as error:  # noqa: BLE001 - the test checks it
            ended.append(error)

    drain = threading.Thread(target=stay, args=(way.dsn,))
    drain.start()
    wait_until(lambda: way.raw.raw_tweets.count_documents({}) == 4, 20, "the lingering drain's first batch")
    old = identify(way.kafka, way.topic)
    change()
    way.produce(*(envelope({"id": str(i)}) for i in range(11, 31)))
    drain.join(40)
    assert not drain.is_alive()
    (error,) = ended
    assert isinstance(error, TopicChanged), error
    assert way.raw.raw_tweets.count_documents({"tweet_id": {"$gt": 10}, "_id": {"$regex": f"^{old}/"}}) == 0
    assert way.rows("select sum(next_offset) from pipeline.cursors where topic_id = %s", old) == [(4,)]
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 5), *range(11, 31)]
    assert way.raw.raw_tweets.count_documents({}) == 24
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def test_a_drain_that_reads_while_the_broker_is_wiped_drops_its_batch(
    tansu: RunningServer, make_way: Callable[..., Way]
):
    """It ends with TopicChanged; nothing of the new topic is stored under the old one's coordinates."""
    way = make_way(tansu.server.bootstrap, "raw-tweets")  # type: ignore[attr-defined]
    make_topic(way)
    drain_across(way, lambda: wipe(way, tansu))


@ON_APACHE_KAFKA
def test_a_drain_that_reads_while_the_topic_is_recreated_drops_its_batch(way: Way):
    """It ends with TopicChanged; nothing of the new topic is stored under the old one's coordinates."""
    drain_across(way, lambda: make_anew(way))


class Interrupted:
    """A log that is replaced right after a batch was read."""

    def __init__(self, change: Callable[[], None]) -> None:
        self._change, self._poll = change, Log.poll

    def __call__(self, log: Log, most: int, wait_seconds: float) -> Any:
        messages = self._poll(log, most, wait_seconds)
        if messages:
            self._change()
        return messages


@ON_APACHE_KAFKA
def test_a_batch_read_right_before_the_change_is_dropped(way: Way, monkeypatch: pytest.MonkeyPatch):
    """It is no longer known whether its messages are of the old or the new topic: neither store has them."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 9)))
    with anew(way) as first_run, monkeypatch.context() as patch:
        interrupted = Interrupted(lambda: make_anew(way))
        patch.setattr(Log, "poll", lambda *args: interrupted(*args))
        with pytest.raises(TopicChanged):
            land(way.kafka, way.raw, first_run.warehouse, topic=way.topic, linger=BRIEF)
    assert way.raw.raw_tweets.count_documents({}) == 0
    assert way.rows("select sum(next_offset) from pipeline.cursors") == [(0,)]


@ON_APACHE_KAFKA
def test_a_log_truncated_ahead_of_the_cursor_is_a_gap_row_and_the_drain_continues(way: Way):
    """Never silently: the gap is recorded, its pages are lost, and what follows it loads."""
    collect(way, "landed", [1, 2])
    drain_anew(way)
    collect(way, "cut", [3, 4, 5, 6])
    collect(way, "behind", [7, 8])
    cut(way, {0: 3, 1: 3})
    drain_anew(way)
    gaps = way.rows("select partition, from_offset, to_offset from pipeline.gaps order by 1")
    assert gaps == [(0, 1, 3), (1, 1, 3)]
    assert way.tweet_ids() == [1, 2, 7, 8]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))
    pages.settle(way.warehouse, way.topic, identify(way.kafka, way.topic))
    assert states(way)["landed"] == "settled"
    assert states(way)["cut"] == "lost"


@ON_APACHE_KAFKA
def test_a_log_truncated_under_a_reading_drain_is_a_gap_row_and_the_drain_continues(
    way: Way, monkeypatch: pytest.MonkeyPatch
):
    """The broker says that the position is out of range: the same as if it had been truncated before."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 13)))
    places = {0: 4, 1: 4}
    read_from, cuts = Log.read_from, iter([places])

    def cut_before_the_first_fetch(log: Log, positions: Any) -> None:
        if (before := next(cuts, None)) is not None:
            cut(way, before)
        read_from(log, positions)

    monkeypatch.setattr(Log, "read_from", cut_before_the_first_fetch)
    drain_anew(way)
    assert way.rows("select partition, from_offset, to_offset from pipeline.gaps order by 1") == [
        (0, 0, 4),
        (1, 0, 4),
    ]
    assert way.tweet_ids() == [9, 10, 11, 12]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


@ON_APACHE_KAFKA
def test_messages_landed_before_the_cursor_moved_and_truncated_then_count_once(way: Way):
    """A drain died between the insert and the cursor, then the log was truncated: landed, and not also in the gap."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 9)))
    drain_anew(way)
    way.warehouse.execute("update pipeline.cursors set next_offset = 0")
    way.raw.raw_tweets.delete_one({"tweet_id": 2})
    cut(way, {0: 3, 1: 3})
    drain_anew(way)
    assert way.rows("select count(*) from pipeline.gaps") == [(2,)]
    assert [(a.consumed, a.landed, a.in_gaps) for a in accounts(way.raw, way.warehouse)] == [
        (4, 4, 0),
        (4, 3, 1),
    ]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


@ON_APACHE_KAFKA
def test_a_log_that_ends_before_the_cursor_stops_the_drain(way: Way):
    """A broker that lost its newest records reuses their offsets: continuing would skip new records."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 5)))
    drain_anew(way)
    way.warehouse.execute("update pipeline.cursors set next_offset = 100 where stage = 'land'")
    with anew(way) as next_run, pytest.raises(RuntimeError, match="out of range"):
        replace(next_run, ends={}).land()


@ON_APACHE_KAFKA
def test_a_partition_whose_log_ends_before_the_cursor_does_not_stop_the_others(way: Way):
    """Its error is in its cursor row at once, the other partition lands, and the drain raises at its end."""
    way.produce(*(envelope({"id": str(i)}) for i in range(1, 5)))
    drain_anew(way)
    topic_id = identify(way.kafka, way.topic)
    way.warehouse.execute(
        "update pipeline.cursors set next_offset = 100 where stage = 'land' and partition = 0"
    )
    way.raw.pipeline_marks.update_one({"_id": mark_key(topic_id, 0)}, {"$set": {"landed_to": 100}})
    way.produce(*(envelope({"id": str(i)}) for i in range(5, 9)))
    with anew(way) as next_run, pytest.raises(Truncated, match="partition 0"):
        land(way.kafka, way.raw, next_run.warehouse, topic=way.topic, linger=Linger(20, 3))
    positions = way.rows(
        "select partition, next_offset from pipeline.cursors where stage = 'land' order by 1"
    )
    assert positions == [(0, 100), (1, 4)]
    failing = way.rows("select partition from pipeline.cursors where last_error like %s", "Truncated: %")
    assert failing == [(0,)]
