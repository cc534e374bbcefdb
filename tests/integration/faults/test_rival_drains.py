"""Concurrent drains: on the same partitions one continues, on different ones none loses an update."""

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from support.brokers import ON_TANSU
from support.envelopes import envelope
from support.oracle import observation
from support.way import BRIEF, Way, anew, drain_anew
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.landing.drain import land
from twitter_pipeline.stack.servers import wait_until
from twitter_pipeline.streaming import cursors
from twitter_pipeline.streaming.cursors import Fenced
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform
from twitter_pipeline.warehouse import model

LONG = Linger(stay_seconds=60, quiet_seconds=60)
Run = Callable[[Way, Linger], Any]


def a_landing(way: Way, linger: Linger) -> Any:
    return land(way.kafka, way.raw, way.warehouse, topic=way.topic, linger=linger, batch_size=3)


def a_transform(way: Way, linger: Linger) -> Any:
    return transform(way.raw, way.warehouse, topic=way.topic, linger=linger, batch_size=3)


def in_background(pool: ThreadPoolExecutor, way: Way, run: Run, linger: Linger = LONG) -> Future[Any]:
    def on_a_connection_of_its_own() -> Any:
        with anew(way) as own:
            return run(own, linger)

    return pool.submit(on_a_connection_of_its_own)


@ON_TANSU
@pytest.mark.parametrize(("stage", "run"), [("land", a_landing), ("transform", a_transform)])
def test_of_two_drains_of_the_same_partitions_the_first_ends_fenced(way: Way, stage: str, run: Run):
    """Not with an error that would be retried, because a retry would end the second one. Nothing is stored twice."""
    way.produce(*(observation(i) for i in range(1, 9)))
    if stage == "transform":
        with anew(way) as own:
            own.land()
    with ThreadPoolExecutor(1) as pool:
        first = in_background(pool, way, run)
        wait_until(
            lambda: sum(cursors.positions(way.warehouse, stage).values()) == 8, 20, "the first drain's work"
        )
        with anew(way) as successor:
            for topic_id, partition in cursors.positions(way.warehouse, stage):
                cursors.take(successor.warehouse, stage, topic_id, partition)
        assert isinstance(first.exception(30), Fenced)
    way.produce(*(observation(i) for i in range(9, 31)))
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 31)]
    assert way.raw.raw_tweets.count_documents({}) == 30
    assert way.rows("select count(*) from pipeline.observed where kind = 'envelope'") == [(30,)]
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


def hang_up(connection: psycopg.Connection[Any]) -> None:
    """Lose everything that the server still sends on this connection, as a reset of its socket does."""
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("partitions", [None, [("t", 0), ("t", 1)]])
def test_a_drain_that_never_learns_why_its_connection_ended_asks_pipeline_cursors(
    postgres: Any, partitions: list[tuple[str, int]] | None
):
    """Terminated by a successor it is fenced, even if the server's final message was lost with the socket."""
    with (
        psycopg.connect(postgres.dsn, autocommit=True) as first,
        psycopg.connect(postgres.dsn, autocommit=True) as successor,
    ):
        cursors.declare(first, "land", "raw-tweets", "t", {0: 0, 1: 0})
        with pytest.raises(Fenced), cursors.fenced_when_ended(first, "land", partitions):
            held = [cursors.take(first, "land", "t", partition) for partition in (0, 1)]
            cursors.take(successor, "land", "t", 1)
            hang_up(first)
            cursors.advance(first, [(cursor, 1) for cursor in held])
        assert set(cursors.positions(successor, "land").values()) == {0}


def test_a_connection_that_broke_without_a_successor_is_an_error_to_be_retried(postgres: Any):
    """A drain of other partitions, or an earlier one of these, does not count as a successor."""
    with (
        psycopg.connect(postgres.dsn, autocommit=True) as earlier,
        psycopg.connect(postgres.dsn, autocommit=True) as sibling,
        psycopg.connect(postgres.dsn, autocommit=True) as drain,
    ):
        cursors.declare(earlier, "land", "raw-tweets", "t", {0: 0, 1: 0})
        cursors.take(earlier, "land", "t", 0)
        with (
            pytest.raises(psycopg.OperationalError) as lost,
            cursors.fenced_when_ended(drain, "land", [("t", 0)]),
        ):
            cursors.take(drain, "land", "t", 0)
            cursors.take(sibling, "land", "t", 1)
            hang_up(drain)
            cursors.seconds_since_a_move(drain, "land")
        assert not isinstance(lost.value, psycopg.errors.AdminShutdown)


@ON_TANSU
def test_two_drains_that_start_at_once_leave_each_tweet_once(way: Way):
    """Whichever wins, the other is fenced or has nothing to do."""
    way.produce(*(observation(i) for i in range(1, 41)))
    with ThreadPoolExecutor(4) as pool:
        runs = [
            in_background(pool, way, run, BRIEF) for run in (a_landing, a_landing, a_transform, a_transform)
        ]
        ended = [run.exception(60) for run in runs]
    assert all(error is None or isinstance(error, Fenced) for error in ended), ended
    drain_anew(way)
    assert way.tweet_ids() == [*range(1, 41)]
    assert way.raw.raw_tweets.count_documents({}) == 40
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


@ON_TANSU
def test_a_partition_taken_between_two_statements_of_the_taker_does_not_block_it(way: Way):
    """Another drain took it and froze in a transaction after we looked up the owner: we look again."""
    cursors.declare(way.warehouse, "transform", way.topic, "t", {0: 0})

    class Overtaken(psycopg.Connection[Any]):
        rival: psycopg.Connection[Any] | None = None

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            if query == cursors.TAKE and Overtaken.rival is None:
                Overtaken.rival = psycopg.connect(way.dsn, autocommit=True)
                held = cursors.take(Overtaken.rival, "transform", "t", 0)
                Overtaken.rival.execute("begin")
                cursors.hold(Overtaken.rival, held)
            return super().execute(query, *args, **kwargs)

    with Overtaken.connect(way.dsn, autocommit=True) as connection:
        assert cursors.take(connection, "transform", "t", 0).epoch == 2
    assert Overtaken.rival is not None
    with pytest.raises(psycopg.errors.AdminShutdown):
        Overtaken.rival.execute("select 1")
    Overtaken.rival.close()


def contents(way: Way) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for table in model.IN_LOADING_ORDER:
        columns = ", ".join(table.columns)
        found[table.name] = way.rows(f"select {columns} from twitter.{table.name} order by {columns}")
    for name in (table.name for table in model.DERIVED):
        found[name] = way.rows(f"select * from twitter.{name} order by 1, 2")
    return found


@ON_TANSU
def test_two_transforms_that_touch_the_same_users_lose_no_update(way: Way, postgres: Any):
    """Loaded by two drains at once in small batches, the tables are the same as from one drain."""
    way.produce(*(observation(i) for i in range(1, 121)))
    with anew(way) as own:
        own.land()
    drain_anew(way)
    expected = contents(way)
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        loaded = [table.name for table in model.IN_LOADING_ORDER]
        names = ", ".join(f"twitter.{name}" for name in (*loaded, *(table.name for table in model.DERIVED)))
        superuser.execute(f"truncate {names}, pipeline.observations".encode())
        superuser.execute("delete from pipeline.cursors where stage = 'transform'")
    (topic_id,) = way.rows("select distinct topic_id from pipeline.cursors")[0]
    start = threading.Barrier(2)

    def one(partition: int) -> None:
        with anew(way) as own:
            start.wait()
            transform(
                own.raw,
                own.warehouse,
                topic=way.topic,
                partitions=[(topic_id, partition)],
                batch_size=4,
                linger=BRIEF,
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, (0, 1)))
    assert contents(way) == expected
    assert all(a.balances for a in accounts(way.raw, way.warehouse))


@ON_TANSU
def test_a_deadlock_is_retried_and_costs_nothing(way: Way, postgres: Any):
    """Our drains lock in one order; another client that does not makes one of them the victim."""
    way.produce(envelope({"id": "1", "author_id": "1"}), envelope({"id": "2", "author_id": "2"}))
    drain_anew(way)
    newer = [{"id": str(i), "username": "new"} for i in (1, 2)]
    way.produce(envelope({"id": "3"}, includes={"users": newer}, observed_at="2026-05-01T00:00:00Z"))
    with anew(way) as own:
        own.land()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres.superuser_dsn) as rival:
        rival.execute("set deadlock_timeout = '60s'")  # so that the drain notices, and is the victim
        rival.execute("update twitter.users set name = 'rival' where id = 2")
        drain = in_background(pool, way, a_transform, BRIEF)
        waiting = "select count(*) from pg_locks where not granted"
        wait_until(lambda: way.rows(waiting) == [(1,)], 20, "the drain, waiting for the rival's row")
        rival.execute("update twitter.users set name = 'rival' where id = 1")  # returns: the victim let go
        rival.rollback()
        drain.result(30)
    assert way.rows("select id, username from twitter.users where id < 3 order by 1") == [
        (1, "new"),
        (2, "new"),
    ]
    assert way.rows("select count(*) from pipeline.dead_letters") == [(0,)]
    assert way.tweet_ids() == [1, 2, 3]
