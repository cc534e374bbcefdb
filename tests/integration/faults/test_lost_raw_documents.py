"""The raw store is wiped, replaced, restored or has holes: noticed, reported, and refilled; never skipped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from support.brokers import ON_APACHE_KAFKA, ON_TANSU
from support.envelopes import envelope
from support.lost_logs import cut, make_topic, wipe
from support.oracle import BAD
from support.way import BRIEF, Way, anew, drain_anew
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.landing.accepted_loss import accept_loss, losses
from twitter_pipeline.landing.documents import raw_document
from twitter_pipeline.landing.drain import land
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.landing.raw_store import RawStore, points_filter, read_points
from twitter_pipeline.stack.servers import RunningServer
from twitter_pipeline.streaming.log import Log, identify


def tweets(first: int, last: int) -> list[bytes]:
    return [envelope({"id": str(i), "text": f"tweet {i}"}) for i in range(first, last + 1)]


def land_anew(way: Way) -> None:
    with anew(way) as next_run:
        next_run.land()


def transform_anew(way: Way) -> None:
    with anew(way) as next_run:
        next_run.transform()


def both_stop(way: Way) -> None:
    """Assert that neither stage continues, that both say so in their cursor rows, and that no gap was written."""
    moved = "select stage, topic_id, partition, next_offset from pipeline.cursors where next_offset > 0"
    before = way.rows(f"{moved} order by 1, 2, 3")
    for stage in (land_anew, transform_anew):
        with pytest.raises(RawStoreLost, match="accept-loss"):
            stage(way)
    assert way.rows(f"{moved} order by 1, 2, 3") == before
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    failing = way.rows(
        "select distinct stage from pipeline.cursors where starts_with(last_error, 'RawStoreLost') order by 1"
    )
    assert failing == [("land",), ("transform",)]


def drop_everything(way: Way) -> None:
    way.raw.client.drop_database(way.raw.name)


def balances(way: Way) -> bool:
    return all(account.balances for account in accounts(way.raw, way.warehouse))


def nothing_fails(way: Way) -> bool:
    return way.rows("select count(*) from pipeline.cursors where last_error is not null") == [(0,)]


@ON_TANSU
def test_a_wiped_raw_store_stops_transform_until_landing_has_refilled_it(way: Way):
    """Kafka still has everything: no tweet is lost, no gap is written, and the identity stays."""
    way.produce(*tweets(1, 6))
    drain_anew(way)
    way.produce(*tweets(7, 12), BAD)
    land_anew(way)
    drop_everything(way)
    with pytest.raises(RawStoreLost, match="has no identity"):
        transform_anew(way)
    assert way.tweet_ids() == [*range(1, 7)]
    land_anew(way)
    transform_anew(way)
    assert way.tweet_ids() == [*range(1, 13)]
    assert way.raw.raw_tweets.count_documents({}) == 12
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert way.rows("select count(*) from pipeline.raw_stores") == [(1,)]
    assert balances(way)
    assert nothing_fails(way)


@ON_TANSU
def test_a_raw_store_restored_from_an_older_copy_is_refilled_from_its_mark(way: Way):
    """The copy has the same identity and lower marks; later messages are landed again and count once."""
    way.produce(*tweets(1, 6))
    drain_anew(way)
    copy = {name: list(way.raw[name].find()) for name in ("raw_tweets", "pipeline_marks")}
    way.produce(*tweets(7, 12))
    land_anew(way)
    for name, documents in copy.items():
        way.raw[name].delete_many({})
        way.raw[name].insert_many(documents)
    with pytest.raises(RawStoreLost, match="partition 0 offsets 3 to 6"):
        transform_anew(way)
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 13)]
    assert balances(way)


@ON_TANSU
def test_another_raw_store_stops_both_stages_until_the_right_one_is_back(way: Way):
    """A wrong address or database is not mistaken for an empty store; nothing is written into it."""
    way.produce(*tweets(1, 6))
    drain_anew(way)
    way.produce(*tweets(7, 8))
    land_anew(way)
    other = replace(way, raw=way.raw.client[f"{way.raw.name}_other"])
    RawStore(other.raw).name("somebody-elses")
    both_stop(other)
    assert other.raw.list_collection_names() == ["pipeline_marks"]
    way.raw.client.drop_database(other.raw.name)
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 9)]
    assert nothing_fails(way)


@ON_APACHE_KAFKA
def test_what_neither_store_has_waits_for_an_operator_and_becomes_settled_gaps(way: Way):
    """Wiped, and the log truncated as well: both stages stop; accepting gives up exactly what Kafka no longer has."""
    way.produce(*tweets(1, 4))
    drain_anew(way)
    way.produce(*tweets(5, 12))
    land_anew(way)
    drop_everything(way)
    cut(way, {0: 4, 1: 4})
    both_stop(way)
    topic_id = identify(way.kafka, way.topic)
    expected = [(2, 4), (0, 2), (4, 6)]  # never loaded, only in raw, still in Kafka
    with anew(way) as operator:
        given_up = losses(way.raw, operator.warehouse, way.kafka, way.topic)
        assert [[*loss.never_loaded, loss.only_in_raw, loss.refilled] for loss in given_up] == [
            expected,
            expected,
        ]
        assert (
            accept_loss(
                way.raw, operator.warehouse, way.kafka, way.topic, by="operator", reason="the disk is gone"
            )
            == given_up
        )
    drain_anew(way)
    assert way.tweet_ids() == [1, 2, 3, 4, 9, 10, 11, 12]
    gaps = (
        "select kind, topic_id, partition, from_offset, to_offset, settled_by, settlement from pipeline.gaps"
    )
    assert way.rows(f"{gaps} order by kind, partition") == [
        (kind, topic_id, partition, start, end, "operator", "the disk is gone")
        for kind, (start, end) in (("offsets", (2, 4)), ("raw", (0, 2)))
        for partition in (0, 1)
    ]
    assert balances(way)
    assert nothing_fails(way)


def test_a_store_lost_together_with_the_broker_stops_both_until_the_loss_is_accepted(
    tansu: RunningServer, make_way: Callable[..., Way]
):
    """The offsets of a topic that is gone cannot be refilled; the new topic is not blocked for good."""
    way = make_way(tansu.server.bootstrap, "raw-tweets")  # type: ignore[attr-defined]
    make_topic(way)
    way.produce(*tweets(1, 2))
    drain_anew(way)
    way.produce(*tweets(3, 6))
    land_anew(way)
    drop_everything(way)
    wipe(way, tansu)
    way.produce(*tweets(7, 8))
    both_stop(way)
    with anew(way) as operator:
        accept_loss(way.raw, operator.warehouse, way.kafka, way.topic, by="operator", reason="both disks")
        again = losses(way.raw, operator.warehouse, way.kafka, way.topic)
    assert again == []
    drain_anew(way)
    assert way.tweet_ids() == [1, 2, 7, 8]
    assert balances(way)


def delete_from_raw(way: Way, *tweet_ids: int) -> None:
    for tweet_id in tweet_ids:
        assert way.raw.raw_tweets.delete_one({"tweet_id": tweet_id}).deleted_count == 1


@ON_TANSU
def test_single_documents_that_are_missing_in_raw_are_read_again_from_kafka(way: Way):
    """At the beginning, in the middle and at the end of a range, and a dead letter too: nothing is lost."""
    way.produce(*tweets(1, 4), BAD, *tweets(5, 11))
    land_anew(way)
    delete_from_raw(way, 1, 5, 11)
    way.raw.dead_letters.delete_many({})
    with anew(way) as run:
        done = run.transform()
    assert (done.read_again, done.missing) == (4, 0)
    assert way.tweet_ids() == [*range(1, 12)]
    assert way.raw.raw_tweets.count_documents({}) == 11
    assert way.raw.dead_letters.count_documents({}) == 1
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert balances(way)


@ON_APACHE_KAFKA
def test_single_documents_that_kafka_no_longer_has_are_gap_rows_and_the_rest_loads(way: Way):
    """One row for each range, and only for what is missing."""
    way.produce(*tweets(1, 12))
    land_anew(way)
    delete_from_raw(way, 3, 5, 9)  # partition 0, offsets 1, 2 and 4
    cut(way, {0: 3, 1: 3})
    with anew(way) as run:
        done = run.transform()
    assert (done.read_again, done.missing) == (1, 2)
    assert way.tweet_ids() == [1, 2, 4, *range(6, 13)]
    assert way.rows("select partition, from_offset, to_offset, reason from pipeline.gaps") == [
        (0, 1, 3, "missing in raw")
    ]
    assert balances(way)


def test_documents_missing_of_a_topic_that_is_gone_are_gap_rows(
    tansu: RunningServer, make_way: Callable[..., Way]
):
    """The same offsets of the topic that now has its name are not read instead."""
    way = make_way(tansu.server.bootstrap, "raw-tweets")  # type: ignore[attr-defined]
    make_topic(way)
    way.produce(*tweets(1, 6))
    land_anew(way)
    old = identify(way.kafka, way.topic)
    delete_from_raw(way, 2)
    wipe(way, tansu)
    way.produce(*tweets(11, 16))
    drain_anew(way)
    assert way.tweet_ids() == [1, 3, 4, 5, 6, *range(11, 17)]
    assert way.rows("select topic_id, partition, from_offset, to_offset from pipeline.gaps") == [
        (old, 1, 0, 1)
    ]
    assert balances(way)


def test_documents_missing_by_the_hundred_are_a_broken_store_and_no_gap(
    tansu: RunningServer, make_way: Callable[..., Way]
):
    """Marks and identity exist but most documents do not: a person must look before anything is given up."""
    way = make_way(tansu.server.bootstrap, "raw-tweets")  # type: ignore[attr-defined]
    make_topic(way)
    way.produce(*tweets(1, 200))
    land_anew(way)
    way.raw.raw_tweets.drop()
    wipe(way, tansu)
    with pytest.raises(RawStoreLost, match="100 of 100 documents"):
        transform_anew(way)
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert way.rows("select sum(next_offset) from pipeline.cursors where stage = 'transform'") == [(0,)]


@ON_TANSU
def test_a_store_wiped_under_a_landing_drain_does_not_let_its_cursor_move(
    way: Way, monkeypatch: pytest.MonkeyPatch
):
    """The mark cannot be raised in a store that is no longer the one that was opened."""
    way.produce(*tweets(1, 6))
    poll = Log.poll

    def wiped_after_reading(log: Log, most: int, wait_seconds: float) -> Any:
        messages = poll(log, most, wait_seconds)
        if messages:
            drop_everything(way)
        return messages

    with anew(way) as run, monkeypatch.context() as patch:
        patch.setattr(Log, "poll", wiped_after_reading)
        with pytest.raises(RawStoreLost):
            land(way.kafka, way.raw, run.warehouse, topic=way.topic, linger=BRIEF)
    assert way.rows("select sum(next_offset) from pipeline.cursors") == [(0,)]
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 7)]
    assert balances(way)


def forget_identity(way: Way, superuser_dsn: str) -> None:
    """Put both stores into the state before identities and marks existed."""
    way.raw.pipeline_marks.drop()
    with psycopg.connect(superuser_dsn, autocommit=True) as superuser:
        superuser.execute("delete from pipeline.raw_stores")


@ON_TANSU
def test_a_store_from_before_identities_is_adopted_at_the_first_run(way: Way, postgres: Any):
    """Its newest documents exist: marks are set to landing's cursors, and both stages continue."""
    way.produce(*tweets(1, 6))
    drain_anew(way)
    way.produce(*tweets(7, 8))
    land_anew(way)
    forget_identity(way, postgres.superuser_dsn)
    transform_anew(way)
    way.produce(*tweets(9, 10))
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 11)]
    topic_id = identify(way.kafka, way.topic)
    store_id = RawStore(way.raw).identity() or ""
    assert RawStore(way.raw).marks([(topic_id, 0), (topic_id, 1)], store_id) == {
        (topic_id, 0): 5,
        (topic_id, 1): 5,
    }


@ON_TANSU
def test_an_empty_store_from_before_identities_is_not_adopted(way: Way, postgres: Any):
    """The first run after an upgrade must not mistake a wiped store for a new one."""
    way.produce(*tweets(1, 6))
    drain_anew(way)
    drop_everything(way)
    forget_identity(way, postgres.superuser_dsn)
    both_stop_at_adoption = pytest.raises(RawStoreLost, match="none of the newest 3")
    with both_stop_at_adoption:
        land_anew(way)
    assert RawStore(way.raw).identity() is None
    with anew(way) as operator:
        accept_loss(way.raw, operator.warehouse, way.kafka, way.topic, by="operator", reason="new disk")
    drain_anew(way)
    assert way.raw.raw_tweets.count_documents({}) == 6, "Kafka had all of it"
    assert balances(way)


@ON_APACHE_KAFKA
def test_offsets_that_the_log_skips_are_recorded_as_empty(way: Way):
    """Transaction markers and an aborted transaction are offsets without a record: each is accounted for."""
    way.produce(*tweets(1, 2))
    producer = Producer({**way.kafka, "transactional.id": f"test-{way.topic}", "acks": "all"})
    producer.init_transactions(30)
    for first, is_committed in ((3, True), (5, False), (7, True)):
        producer.begin_transaction()
        for number, value in enumerate(tweets(first, first + 1)):
            producer.produce(way.topic, value=value, partition=number)
        producer.flush(20)
        producer.commit_transaction(20) if is_committed else producer.abort_transaction(20)
    drain_anew(way)
    assert way.tweet_ids() == [1, 2, 3, 4, 7, 8]
    # 0: before; 1: committed, 2: its marker; 3: aborted, 4: its marker; 5: committed, 6: its marker
    assert way.rows("select partition, from_offset, to_offset from pipeline.empty_ranges order by 1, 2") == [
        (partition, start, end) for partition in (0, 1) for start, end in ((2, 3), (3, 5), (6, 7))
    ] or way.rows(
        "select partition, sum(to_offset - from_offset) from pipeline.empty_ranges group by 1 order by 1"
    ) == [(0, 4), (1, 4)]
    assert way.rows("select distinct next_offset from pipeline.cursors") == [(7,)]
    assert way.rows("select count(*) from pipeline.gaps") == [(0,)]
    assert [(a.consumed, a.landed, a.empty) for a in accounts(way.raw, way.warehouse)] == [
        (7, 3, 4),
        (7, 3, 4),
    ]
    assert balances(way)


@ON_APACHE_KAFKA
def test_skipped_offsets_that_the_logs_start_has_passed_are_a_gap(way: Way, monkeypatch: pytest.MonkeyPatch):
    """The log is truncated after its start was checked: the read offsets jump, and the range is a gap, not empty."""
    way.produce(*tweets(1, 12))
    read_from = Log.read_from

    def cut_and_read_behind(log: Log, positions: Any) -> None:
        cut(way, {0: 4, 1: 4})
        read_from(log, dict.fromkeys(positions, 4))

    with monkeypatch.context() as patch:
        patch.setattr(Log, "read_from", cut_and_read_behind)
        land_anew(way)
    transform_anew(way)
    gaps = way.rows("select partition, from_offset, to_offset from pipeline.gaps order by 1")
    assert gaps == [(0, 0, 4), (1, 0, 4)]
    assert way.rows("select count(*) from pipeline.empty_ranges") == [(0,)]
    assert way.tweet_ids() == [9, 10, 11, 12]
    assert balances(way)


class Finds(CommandListener):
    """Every find command that is sent, with its filter."""

    def __init__(self) -> None:
        self.filters: list[tuple[str, Any]] = []

    def started(self, event: Any) -> None:
        if event.command_name == "find":
            self.filters.append((event.command["find"], event.command.get("filter", {})))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


@contextmanager
def listening(way: Way) -> Iterator[tuple[Way, Finds]]:
    finds = Finds()
    with MongoClient[Any](way.mongo_uri, event_listeners=[finds]) as client, anew(way) as run:
        yield replace(run, raw=client[way.raw.name]), finds


@ON_TANSU
def test_raw_is_read_by_its_index_whatever_is_stored(way: Way):
    """By the server's own plan: it examines as many keys and documents as were requested, among thousands."""
    raw = way.raw.raw_tweets
    raw.insert_many([{"_id": Coordinate("t", 0, offset).key, "envelope": b""} for offset in range(5_000)])
    ids = [Coordinate("t", 0, offset).key for offset in range(4_000, 4_025)]
    plan = raw.find(points_filter(ids)).explain()
    assert "COLLSCAN" not in str(plan)
    stats = plan["executionStats"]
    assert (stats["totalKeysExamined"], stats["totalDocsExamined"]) == (25, 25)
    assert sorted(read_points(raw, "t", 0, range(4_990, 5_010), {"_id": 1})) == [*range(4_990, 5_000)]


@ON_TANSU
def test_open_dead_letters_are_counted_by_an_index(way: Way):
    """Status and metrics query every few seconds, and resolved letters stay stored."""
    way.produce(BAD)
    drain_anew(way)
    open_letters = {"stage": "land", "resolved_at": None}
    assert "COLLSCAN" not in str(way.raw.dead_letters.find(open_letters).sort("failed_at", -1).explain())


@ON_TANSU
def test_landing_transform_and_accounting_read_raw_by_points_only(way: Way):
    """No stage queries a range of ids, which the embedded server answers with a scan of the whole collection."""
    way.produce(*tweets(1, 80), BAD)
    with listening(way) as (run, finds):
        run.land()
        run.transform()
        assert balances(run)
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'land'")
    with listening(way) as (run, again):
        run.land()
    asked = [
        wanted for name, wanted in finds.filters + again.filters if name in {"raw_tweets", "dead_letters"}
    ]
    assert asked
    for wanted in asked:
        assert set(wanted["_id"]) == {"$in"}, wanted


@ON_TANSU
def test_a_gap_of_ten_million_offsets_is_passed_over(way: Way, postgres: Any):
    """Ids that are known to be empty are not requested."""
    way.produce(*tweets(1, 2))
    drain_anew(way)
    topic_id, far = identify(way.kafka, way.topic), 10_000_000
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(
            "insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)"
            " values ('offsets', %s, 0, 1, %s, 'test')",
            (topic_id, far),
        )
        superuser.execute(
            "insert into pipeline.empty_ranges (topic_id, partition, from_offset, to_offset) values (%s, 1, 1, %s)",
            (topic_id, far),
        )
        superuser.execute("update pipeline.cursors set next_offset = %s where stage = 'land'", (far + 1,))
    store = RawStore(way.raw)
    for partition in (0, 1):
        store.raise_mark(topic_id, partition, store.identity() or "", 0, far + 1)
        value = envelope({"id": str(100 + partition), "text": "behind"})

        way.raw.raw_tweets.insert_one(
            raw_document(value, Coordinate(topic_id, partition, far), datetime.now(UTC))
        )
    with listening(way) as (run, finds):
        run.transform()
    assert way.tweet_ids() == [1, 2, 100, 101]
    assert sum(len(wanted["_id"]["$in"]) for name, wanted in finds.filters if name == "raw_tweets") <= 10_010
    assert balances(way)
