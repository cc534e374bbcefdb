"""Stores that are away, locked, full or frozen, and clients that leave: the API answers within five seconds."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from support.api import TOKEN, Api, given, served
from support.apps import serving
from support.databases import create_migrated
from twitter_pipeline.api import state as state_of
from twitter_pipeline.api.app import create_app
from twitter_pipeline.api.database import MOST_CONNECTIONS
from twitter_pipeline.deployment import roles
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.servers import RunningServer, free_port, wait_until

TWEETS, PIPELINE = "/api/v1/tweets", "/api/v1/pipeline"
PROMISED_SECONDS = 5.0
WAITING = (
    "select pid from pg_stat_activity where application_name = 'tweet-pipeline-api' and state = 'active'"
)


@pytest.fixture
def own_api(postgres: Any, tmp_path: Path) -> Iterator[Api]:
    """An API over a database of this test's own, so that what it does there meets nobody else."""
    with served(tmp_path, postgres.reader_dsn, postgres.dsn) as api:
        yield api


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[RunningServer, Api]]:
    """A PostgreSQL that this test may stop, and an API over it that has answered once."""
    server = PostgreSQL(tmp_path / "data", free_port(), "superuser", durable=False)
    with (
        RunningServer(server, tmp_path / "log") as running,
        served(tmp_path, create_migrated(server, "tweets").reader_dsn) as api,
    ):
        assert api.get(TWEETS).status_code == 200
        yield running, api


def refused(api: Api, *paths: str) -> list[int]:
    """What the paths answer when requested at once; each within the promised time."""

    def ask(path: str) -> int:
        started = time.monotonic()
        answer = api.get(path)
        assert time.monotonic() - started < PROMISED_SECONDS, path
        assert answer.headers["retry-after"] == "5"
        return answer.status_code

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(ask, paths))


def listed_again(api: Api) -> None:
    wait_until(lambda: api.get(TWEETS).status_code == 200, 20, "an answer after the trouble")


def test_a_frozen_server_is_503_also_for_the_pipelines_state(own_server: tuple[RunningServer, Api]) -> None:
    """With SIGSTOP, sessions hang and new connections are accepted but never answered; afterwards everything works again."""
    running, api = own_server
    # each session of PostgreSQL is a process group of its own
    processes = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        paths = [TWEETS, f"{TWEETS}?words=crema", "/api/v1/counts", "/api/v1/users", PIPELINE] * 4
        assert set(refused(api, *paths)) == {503}
    finally:
        for process in processes:
            process.resume()
    listed_again(api)


def test_a_stopped_server_is_503(own_server: tuple[RunningServer, Api]) -> None:
    """Nothing listens any longer; the pipeline's state reports this instead of failing."""
    running, api = own_server
    running.kill()
    assert set(refused(api, TWEETS, "/api/v1/hashtags", f"{TWEETS}/1")) == {503}
    started = time.monotonic()
    assert {s["answers"] for s in api.data(PIPELINE)["stages"]} == {False}
    assert time.monotonic() - started < PROMISED_SECONDS


def test_an_address_that_swallows_packets_is_503(tmp_path: Path) -> None:
    """A server that accepts connections but never answers, and one whose connection queue is full."""
    with socket.socket() as mute, socket.socket() as waiting:
        mute.bind(("127.0.0.1", 0))
        mute.listen(0)
        address = mute.getsockname()
        waiting.connect(address)
        dsn = f"postgresql://pipeline_reader:canary@127.0.0.1:{address[1]}/tweets"
        with served(tmp_path, dsn) as api:
            assert set(refused(api, *[TWEETS, PIPELINE] * 3)) == {503}


@pytest.mark.parametrize("path", [TWEETS, f"{TWEETS}?words=crema", f"{TWEETS}/1", "/api/v1/counts"])
def test_a_long_lock_is_503_and_not_a_reason_to_ask_for_less(own_api: Api, postgres: Any, path: str) -> None:
    """503 while another session locks the table; afterwards the connection is free again."""
    with psycopg.connect(postgres.superuser_dsn) as rival:
        rival.execute("lock table twitter.tweets in access exclusive mode")
        assert refused(own_api, path) == [503]
        rival.rollback()
    listed_again(own_api)


def test_the_pipelines_state_during_a_long_lock_is_the_last_one_with_its_age(
    own_api: Api, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 only if there was never a state, or the last one is old."""
    first = own_api.data(PIPELINE)
    assert first["age_seconds"] < PROMISED_SECONDS
    with psycopg.connect(postgres.superuser_dsn) as rival:
        rival.execute("lock table twitter.tweets in access exclusive mode")
        wait_until(
            lambda: own_api.data(PIPELINE)["age_seconds"] > state_of.WAIT_SECONDS, 20, "a look that hangs"
        )
        started = time.monotonic()
        stale = own_api.data(PIPELINE)
        assert time.monotonic() - started < PROMISED_SECONDS
        assert stale["stages"][0]["stage"] == "extract"
        with monkeypatch.context() as patch:
            patch.setattr(state_of, "STALE_SECONDS", 1.0)
            assert refused(own_api, PIPELINE) == [503]
        rival.rollback()
    wait_until(lambda: own_api.get(PIPELINE).status_code == 200, 20, "a look after the lock")


def test_a_full_pool_is_503_and_free_afterwards(own_api: Api, postgres: Any) -> None:
    """Four times as many requests as connections, all of them waiting for a lock."""
    with psycopg.connect(postgres.superuser_dsn) as rival:
        rival.execute("lock table twitter.tweets in access exclusive mode")
        assert set(refused(own_api, *[TWEETS] * 4 * MOST_CONNECTIONS)) == {503}
        rival.rollback()
    listed_again(own_api)


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        ("53100", 503),  # disk full
        ("53200", 503),  # out of memory
        ("53300", 503),  # too many connections
        ("57P01", 503),  # shutting down
        ("58030", 503),  # input/output error
        ("XX001", 503),  # damaged page
        ("40001", 503),  # serialization failure, as on a replica
        ("55P03", 503),  # lock not available
        ("53400", 504),  # over temp_file_limit: a narrower request is answered
        ("57014", 504),  # cancelled
        ("42883", 503),  # a function of a newer version
        ("22012", 500),  # a mistake of ours
    ],
)
def test_errors_of_the_server_are_told_apart(own_api: Api, postgres: Any, sqlstate: str, status: int) -> None:
    """SQLSTATE tells a server problem, a request that is too large, and our own mistake apart."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as owner:
        owner.execute(
            "create or replace function twitter.tweets_with(sought tsquery, patterns text[]) returns setof bigint"
            " language plpgsql stable as $$ begin raise exception 'no space left in /secret/place'"
            f" using errcode = '{sqlstate}'; end $$".encode()
        )
        owner.execute(
            "insert into twitter.tweets (id, is_collected) select n, true from generate_series(1, 2100) n"
        )
    answer = own_api.get(TWEETS, params={"words": "crema"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "secret" not in answer.text
    assert own_api.get(TWEETS).status_code == 200


def test_a_query_that_takes_too_long_is_504_and_says_what_to_narrow(own_api: Api, postgres: Any) -> None:
    """PostgreSQL ends the query, which a time limit of ours could not do."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as owner:
        owner.execute(
            "create or replace view twitter.collected_tweet_keys as"
            " select id, author_id, created_at from twitter.tweets, pg_sleep(60) where id is not null"
        )
        owner.execute("insert into twitter.tweets (id, is_collected) values (1, true)")
    assert refused(own_api, TWEETS) == [504]


def half_asked(api: Api, path: str) -> socket.socket:
    """A connection on which a request was sent but whose answer is never read."""
    url = urlsplit(api.url)
    connection = socket.create_connection((url.hostname or "", url.port or 0), timeout=10)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    return connection


def waiting_for(superuser: psycopg.Connection[Any], database: str) -> int:
    """How many queries of the API wait for a lock in this database."""
    (count,) = superuser.execute(
        "select count(*) from pg_stat_activity where application_name = 'tweet-pipeline-api'"
        " and datname = %s and wait_event_type = 'Lock'",
        (database,),
    ).fetchone() or (0,)
    return int(count)


def test_the_query_of_a_client_that_left_is_cancelled(own_api: Api, postgres: Any) -> None:
    """Gone from PostgreSQL within two seconds, long before any limit of time would end it."""
    with (
        psycopg.connect(postgres.superuser_dsn) as rival,
        psycopg.connect(postgres.superuser_dsn, autocommit=True) as watcher,
    ):
        rival.execute("lock table twitter.tweets in access exclusive mode")
        leaving = [half_asked(own_api, TWEETS) for _ in range(3)]
        wait_until(lambda: waiting_for(watcher, postgres.name) == 3, 2.5, "three queries that wait")
        for connection in leaving:
            connection.close()
        left_at = time.monotonic()
        wait_until(lambda: waiting_for(watcher, postgres.name) == 0, 2.5, "no query of a client that left")
        assert time.monotonic() - left_at < 2
        rival.rollback()
    listed_again(own_api)


def test_two_hundred_clients_that_do_not_read_leave_room_for_others(own_api: Api) -> None:
    """An answer is whole before it is sent: a slow reader holds no connection to PostgreSQL."""
    slow = [half_asked(own_api, f"{TWEETS}?limit=1000") for _ in range(200)]
    try:
        wait_until(
            lambda: own_api.get(TWEETS).status_code == 200, 20, "an answer beside two hundred slow readers"
        )
        started = time.monotonic()
        assert own_api.get(TWEETS).status_code == 200
        assert time.monotonic() - started < PROMISED_SECONDS
    finally:
        for connection in slow:
            connection.close()


def test_what_hangs_before_any_query_is_503_too(postgres: Any, tmp_path: Path) -> None:
    """For example, an authentication that queries a frozen database."""

    def hanging() -> None:
        time.sleep(PROMISED_SECONDS + 2)

    app = create_app(given(tmp_path, postgres.reader_dsn), authenticate=hanging, airflow_url="")
    with serving(app) as url:
        assert refused(Api(url, ""), TWEETS, "/") == [503, 503]


@pytest.mark.parametrize(
    ("setting", "is_bounded"),
    [
        ("statement_timeout", lambda value: value == "5min"),
        ("lock_timeout", lambda value: value == "30s"),
        ("idle_in_transaction_session_timeout", lambda value: value == "10min"),
        ("temp_file_limit", lambda value: value == "4GB"),
    ],
)
def test_the_reader_has_limits_of_its_own(
    postgres: Any, setting: str, is_bounded: Callable[[str], bool]
) -> None:
    """The limits apply to every client that connects as pipeline_reader; the loader has none."""
    with psycopg.connect(postgres.reader_dsn) as reader, psycopg.connect(postgres.dsn) as loader:
        (readers,) = reader.execute(f"show {setting}".encode()).fetchone() or ("",)
        (loaders,) = loader.execute(f"show {setting}".encode()).fetchone() or ("",)
    assert is_bounded(readers)
    assert loaders in {"0", "-1"}


def test_roles_of_an_existing_folder_get_their_limits_when_it_starts_again(
    postgres_server: PostgreSQL,
) -> None:
    """The same call creates roles or updates them."""
    with psycopg.connect(postgres_server.superuser_dsn(), autocommit=True) as superuser:
        superuser.execute("alter role pipeline_reader reset all")
        roles.create_role(superuser, "pipeline_reader", "pipeline_reader")
        (limits,) = superuser.execute(
            "select setconfig from pg_db_role_setting join pg_roles on pg_roles.oid = setrole"
            " where rolname = 'pipeline_reader'"
        ).fetchone() or ([],)
    assert "temp_file_limit=4GB" in limits


def test_a_managed_servers_administrator_sets_the_limits_that_he_may(
    postgres_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator may create roles without being a superuser; what only a superuser may set is left out."""
    monkeypatch.setitem(roles.ROLE_LIMITS, "managed_reader", roles.ROLE_LIMITS["pipeline_reader"])
    with psycopg.connect(postgres_server.superuser_dsn(), autocommit=True) as superuser:
        superuser.execute("create role managed login createrole password 'managed'")
        dsn = postgres_server.dsn("postgres", "managed", "managed")
        with psycopg.connect(dsn, autocommit=True) as administrator:
            roles.create_role(administrator, "managed_reader", "managed_reader")
        limits = superuser.execute(
            "select setconfig from pg_db_role_setting join pg_roles on pg_roles.oid = setrole"
            " where rolname = 'managed_reader'"
        ).fetchone()
        superuser.execute("drop role managed_reader")
        superuser.execute("drop role managed")
    assert limits == (
        ["statement_timeout=5min", "lock_timeout=30s", "idle_in_transaction_session_timeout=10min"],
    )
