"""A failed load: a bad record is dead-lettered, a server error loses nothing, and no partition stops the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from support.brokers import ON_TANSU
from support.envelopes import envelope
from support.way import Way, anew
from twitter_pipeline.health import report
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.settings import Stores
from twitter_pipeline.transform.drain import PartitionsFailed

pytestmark = ON_TANSU
OF_A_RECORD = ["21000", "22001", "22003", "22P05", "23502", "23514", "54000"]
OF_THE_SERVER = [
    "08006", "25006", "26000", "28000", "3D000", "40001", "42501", "42703", "42P01", "53100", "53200", "55P03",
    "57P03", "58030", "XX000", "XX001",
]  # fmt: skip
UNKNOWN = ["P0001", "0A000", "2F002", "38000", "39000"]


@contextmanager
def failing(postgres: Any, body: str, when: str) -> Iterator[None]:
    """Rows of twitter.tweets for which `when` holds meet `body` in a trigger."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(
            "create function public.fail() returns trigger language plpgsql as $$ begin"
            f" if {when} then {body} end if; return new; end $$".encode()
        )
        superuser.execute(
            "create trigger fail before insert on twitter.tweets for each row execute function public.fail()"
        )
        try:
            yield
        finally:
            superuser.execute("drop function public.fail cascade")


def raising(sqlstate: str) -> str:
    return f"raise exception 'made by a test' using errcode = '{sqlstate}';"


def landed(way: Way, count: int = 16) -> None:
    """Tweets 1 to `count`: the odd ones in partition 0, the even ones in partition 1."""
    way.produce(*(envelope({"id": str(i), "text": "t"}) for i in range(1, count + 1)))
    with anew(way) as run:
        run.land()


def transform_anew(way: Way, **options: Any) -> None:
    with anew(way) as run:
        run.transform(sleep=lambda seconds: None, **options)


def letters(way: Way) -> list[tuple[Any, ...]]:
    return way.rows('select partition, "offset", reason from pipeline.dead_letters order by 1, 2')


def balances(way: Way) -> bool:
    return all(account.balances for account in accounts(way.raw, way.warehouse))


@pytest.mark.parametrize("sqlstate", OF_A_RECORD)
def test_a_bad_record_is_dead_lettered_alone(sqlstate: str, way: Way, postgres: Any):
    """Values, integrity, cardinality and a row too large for an index are narrowed down to the record."""
    landed(way)
    with failing(postgres, raising(sqlstate), "new.id = 7"):
        transform_anew(way)
    assert letters(way) == [(0, 3, "refused")]
    assert way.tweet_ids() == [i for i in range(1, 17) if i != 7]
    assert balances(way)


@pytest.mark.parametrize("sqlstate", OF_A_RECORD[:1])
def test_a_bad_record_is_dead_lettered_even_if_it_is_the_only_one(sqlstate: str, way: Way, postgres: Any):
    """An error known to be caused by the record needs no other record as proof."""
    landed(way, 1)
    with failing(postgres, raising(sqlstate), "true"):
        transform_anew(way)
    assert letters(way) == [(0, 0, "refused")]


@pytest.mark.parametrize("sqlstate", OF_THE_SERVER)
def test_a_server_error_is_raised_and_loses_nothing(sqlstate: str, way: Way, postgres: Any):
    """No dead letter, no cursor moved, the partition is named; once the server works again, everything loads."""
    landed(way)
    with failing(postgres, raising(sqlstate), "new.id = 7"), pytest.raises(psycopg.Error) as raised:
        transform_anew(way)
    assert raised.value.sqlstate == sqlstate
    assert letters(way) == []
    assert way.tweet_ids() == [*range(2, 17, 2)], "the other partition goes on"
    ((partition, error),) = way.rows(
        "select partition, last_error from pipeline.cursors where failed_at is not null"
    )
    assert (partition, "made by a test" in error) == (0, True)
    transform_anew(way)
    assert way.tweet_ids() == [*range(1, 17)]
    assert way.rows("select count(*) from pipeline.cursors where last_error is not null") == [(0,)]
    assert balances(way)


@pytest.mark.parametrize("sqlstate", UNKNOWN)
@pytest.mark.parametrize("tweet_id", [1, 7, 15])
def test_an_unknown_error_dead_letters_the_record_if_another_one_loads(
    sqlstate: str, tweet_id: int, way: Way, postgres: Any
):
    """First, in the middle or last in its batch: the other records show that it is not the server."""
    landed(way)
    with failing(postgres, raising(sqlstate), f"new.id = {tweet_id}"):
        transform_anew(way)
    assert letters(way) == [(0, tweet_id // 2, "refused")]
    assert way.tweet_ids() == [i for i in range(1, 17) if i != tweet_id]
    assert balances(way)


@pytest.mark.parametrize("sqlstate", UNKNOWN)
def test_an_unknown_error_of_all_records_dead_letters_none_of_them(sqlstate: str, way: Way, postgres: Any):
    """No other record loads: the error is raised and nothing is dead-lettered."""
    landed(way)
    with failing(postgres, raising(sqlstate), "new.id % 2 = 1"), pytest.raises(psycopg.Error):
        transform_anew(way)
    assert letters(way) == []
    assert way.tweet_ids() == [*range(2, 17, 2)]
    transform_anew(way)
    assert way.tweet_ids() == [*range(1, 17)]


def with_timeout(way: Way, milliseconds: int) -> None:
    with anew(way) as run:
        run.warehouse.execute(f"set statement_timeout = {milliseconds}".encode())
        run.transform()


def test_a_batch_that_is_too_slow_is_halved_and_loads(way: Way, postgres: Any):
    """Eight rows of 0.12 s each exceed half a second, fewer do not: they load in smaller batches."""
    landed(way)
    with failing(postgres, "perform pg_sleep(0.12);", "new.id % 2 = 1"):
        with_timeout(way, 500)
    assert way.tweet_ids() == [*range(1, 17)]
    assert letters(way) == []
    assert balances(way)


def test_a_record_that_is_too_slow_alone_is_never_a_dead_letter(way: Way, postgres: Any):
    """A statement timeout is about the server's load; records before it load, the rest waits."""
    landed(way)
    with (
        failing(postgres, "perform pg_sleep(30);", "new.id = 7"),
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        with_timeout(way, 400)
    assert letters(way) == []
    assert way.tweet_ids() == [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16]
    transform_anew(way)
    assert way.tweet_ids() == [*range(1, 17)]


def test_several_failing_partitions_are_all_named_and_shown(way: Way, postgres: Any):
    """The drain raises all of them; status has the newest under its stage and how many more there are."""
    landed(way)
    with failing(postgres, raising("42501"), "true"), pytest.raises(PartitionsFailed) as raised:
        transform_anew(way)
    assert "partition 0" in str(raised.value)
    assert "partition 1" in str(raised.value)
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri=way.mongo_uri,
        mongo_database=way.raw.name,
        kafka_bootstrap=way.kafka["bootstrap.servers"],
    )
    looked = report.look(stores, way.topic)
    assert [(each.stage, each.partition) for each in looked.failing or ()] == [
        ("transform", 1),
        ("transform", 0),
    ]
    shown = {stage.stage: stage.last_error for stage in looked.stages}["transform"]
    assert (
        shown == f"partition 1 of {way.topic}: InsufficientPrivilege: made by a test (and 1 more partitions)"
    )


def test_a_bug_in_our_own_code_dead_letters_the_record_that_triggers_it(
    way: Way, monkeypatch: pytest.MonkeyPatch
):
    """An envelope that makes transform fail in an unforeseen way does not block its partition."""
    from twitter_pipeline.transform.engines.rows import Batch

    add_envelope = Batch.add_envelope

    def stumbling(self: Batch, payload: bytes, *args: Any, **more: Any) -> None:
        if b'"id": "7"' in payload:
            raise KeyError("unforeseen")
        add_envelope(self, payload, *args, **more)

    landed(way)
    monkeypatch.setattr(Batch, "add_envelope", stumbling)
    transform_anew(way)
    assert letters(way) == [(0, 3, "refused")]
    assert way.tweet_ids() == [i for i in range(1, 17) if i != 7]
    assert balances(way)
