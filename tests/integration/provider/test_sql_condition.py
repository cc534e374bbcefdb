"""The doorbell for a query, against a real PostgreSQL, iterated without a triggerer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_twitter.triggers import sql_condition
from airflow_provider_twitter.triggers.sql_condition import News, SqlConditionTrigger
from support.airflow_connections import postgres_connection

DUE = "select name, due_at from public.jobs where due_at <= now() and owner = %(owner)s order by name"


@pytest.fixture
def jobs(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    """A table of things that are due, behind the connection `jobs`."""
    monkeypatch.setenv("AIRFLOW_CONN_JOBS", postgres_connection(postgres.dsn, keepalives_idle=30))
    superuser = psycopg.connect(postgres.superuser_dsn, autocommit=True)
    superuser.execute(
        "create table public.jobs (name text, due_at timestamptz default now(), owner text default 'me')"
    )
    superuser.execute("grant all on public.jobs to pipeline_loader")
    return superuser


def bell(**options: Any) -> SqlConditionTrigger:
    given = {"postgres_conn_id": "jobs", "sql": DUE, "parameters": {"owner": "me"}, "poll_seconds": 0.05}
    return SqlConditionTrigger(**{**given, **options})


async def rings(trigger: SqlConditionTrigger, within_seconds: float) -> list[Any]:
    """The payloads that come in time."""
    payloads = []
    running: AsyncIterator[Any] = trigger.run()
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                payloads.append((await anext(running)).payload)
    except TimeoutError:
        return payloads
    finally:
        await running.aclose()  # type: ignore[attr-defined]


def test_it_is_silent_while_the_query_has_no_answer(jobs: psycopg.Connection) -> None:
    """Without a matching row there is no ring, so no run."""
    jobs.execute("insert into public.jobs (name, owner) values ('theirs', 'them')")
    assert asyncio.run(rings(bell(), 1)) == []


def test_rows_ring_once_while_they_stay(jobs: psycopg.Connection) -> None:
    """A row is not rung for again at each check; the event says how many rows there are, not which."""
    jobs.execute("insert into public.jobs (name) values ('a'), ('b')")
    assert asyncio.run(rings(bell(), 1)) == [{"rows": 2}]


def test_a_new_row_waits_for_the_run_that_is_on_its_way(jobs: psycopg.Connection) -> None:
    """The same run finds it too; once the others have been dealt with, a row left over gets its own ring."""
    jobs.execute("insert into public.jobs (name) values ('a')")

    async def change() -> list[Any]:
        ringing = asyncio.create_task(rings(bell(), 4))
        await asyncio.sleep(1)
        await asyncio.to_thread(jobs.execute, "insert into public.jobs (name) values ('b')")
        await asyncio.sleep(1)
        assert not ringing.done()
        await asyncio.to_thread(jobs.execute, "delete from public.jobs where name = 'a'")
        return await ringing

    assert asyncio.run(change()) == [{"rows": 1}, {"rows": 1}]


def test_a_row_that_is_due_at_another_time_is_new(jobs: psycopg.Connection) -> None:
    """A row that was done and is due again rings again, even if no check ever found it gone."""
    jobs.execute("insert into public.jobs (name) values ('a')")

    async def change() -> list[Any]:
        ringing = asyncio.create_task(rings(bell(), 3))
        await asyncio.sleep(1)
        await asyncio.to_thread(jobs.execute, "update public.jobs set due_at = now() where name = 'a'")
        return await ringing

    assert asyncio.run(change()) == [{"rows": 1}, {"rows": 1}]


def test_rows_that_stay_are_rung_for_again_after_the_interval(jobs: psycopg.Connection) -> None:
    """A run that died is repeated."""
    jobs.execute("insert into public.jobs (name) values ('a')")
    assert 3 <= len(asyncio.run(rings(bell(interval_seconds=0.5), 2.2))) <= 5


def test_it_outlives_a_server_that_ends_its_connection(
    jobs: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks, it retries with pauses, and rings for what came meanwhile."""
    monkeypatch.setattr(sql_condition, "outage_pause", lambda outages: 0.05)

    async def break_it() -> list[Any]:
        ringing = asyncio.create_task(rings(bell(), 4))
        await asyncio.sleep(1)
        ended = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'airflow-doorbell'"
        assert len(await asyncio.to_thread(lambda: jobs.execute(ended).fetchall())) == 1
        await asyncio.to_thread(jobs.execute, "insert into public.jobs (name) values ('a')")
        return await ringing

    assert asyncio.run(break_it()) == [{"rows": 1}]


@pytest.mark.parametrize(
    "broken",
    [
        {"sql": "select nothing from nowhere"},
        {"sql": "select 1 where"},
        {"sql": "delete from public.jobs returning name", "parameters": {}},
        {"sql": DUE, "parameters": {"nobody": 1}},
        {"postgres_conn_id": "not_declared"},
    ],
)
def test_it_never_raises_and_never_writes(
    jobs: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    """After an invalid query, one that would write, or a missing connection, it keeps trying."""
    pauses: list[int] = []
    monkeypatch.setattr(sql_condition, "outage_pause", lambda outages: pauses.append(outages) or 0.01)
    jobs.execute("insert into public.jobs (name) values ('a')")
    assert asyncio.run(rings(bell(**broken), 1.5)) == []
    assert len(pauses) > 1
    assert jobs.execute("select count(*) from public.jobs").fetchone() == (1,)


def test_a_query_that_hangs_is_given_up(jobs: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock held by another session does not silence it forever."""
    monkeypatch.setattr(sql_condition, "QUERY_SECONDS", 0.5)
    monkeypatch.setattr(sql_condition, "outage_pause", lambda outages: 0.05)
    jobs.execute("insert into public.jobs (name) values ('a')")

    async def lock_and_let_go() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(jobs.info.dsn, password=jobs.info.password) as other:
            await other.execute("lock table public.jobs")
            ringing = asyncio.create_task(rings(bell(), 4))
            await asyncio.sleep(1.5)
            assert not ringing.done()
        return await ringing

    assert asyncio.run(lock_and_let_go()) == [{"rows": 1}]


def test_the_loop_is_not_blocked_by_a_slow_query(jobs: psycopg.Connection) -> None:
    """Other triggers keep running while PostgreSQL is busy."""

    async def longest_stop() -> float:
        ringing = asyncio.create_task(rings(bell(sql="select pg_sleep(1)", parameters={}), 2))
        await asyncio.sleep(0.5)
        longest, last = 0.0, time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        await ringing
        return longest

    assert asyncio.run(longest_stop()) < 0.3


def test_it_is_remade_from_what_airflow_stores() -> None:
    """No address and no secret; two of a kind are one; a pause of nothing is refused by its name."""
    path, kwargs = bell().serialize()
    assert path == "airflow_provider_twitter.triggers.sql_condition.SqlConditionTrigger"
    again = SqlConditionTrigger(**json.loads(json.dumps(kwargs)))
    assert BaseEventTrigger.hash(*again.serialize()) == BaseEventTrigger.hash(path, kwargs)
    for name in ("poll_seconds", "interval_seconds"):
        with pytest.raises(ValueError, match=name):
            SqlConditionTrigger(**{**kwargs, name: 0})


def test_a_row_that_comes_back_is_news() -> None:
    """A row that vanished is forgotten, so that it rings again when it is back."""
    news = News(60, lambda: 0.0)
    assert [news.are_in(rows) for rows in ([("a",)], [("a",)], [], [("a",)])] == [True, False, False, True]


def test_rings_follow_the_answers() -> None:
    """New rows wait while nobody has answered; after an answer each new one rings; the interval ends every silence."""
    now = 0.0
    news = News(60, lambda: now)
    assert news.are_in([("a",)])
    assert not news.are_in([("a",), ("b",)])
    assert news.are_in([("b",)]), "a was come for, and b was left"
    assert not news.are_in([("b",), ("c",)])
    now = 59
    assert not news.are_in([("b",), ("c",)])
    now = 60
    assert news.are_in([("b",), ("c",)]), "nobody came for a minute"
    assert not news.are_in([("c",)]), "c was rung for with b"
    assert news.are_in([("c",), ("d",)]), "somebody came since, and d was left"
