"""Accounting for every offset once: what cannot be explained is reported, and checked until it can be."""

from typing import Any

import psycopg
import pytest

from support.envelopes import MALFORMED, envelope
from support.way import Way
from twitter_pipeline.health import accounting
from twitter_pipeline.health.accounting import AccountingFailed, accounts, verify, verify_and_record
from twitter_pipeline.metrics.statsd import Metrics

pytestmark = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)
SILENT = Metrics(None)


def drained(way: Way, first: int, last: int) -> None:
    way.produce(*(envelope({"id": str(i), "text": "t"}) for i in range(first, last + 1)))
    way.drain()


def remembered(way: Way) -> list[tuple[Any, ...]]:
    return way.rows("select partition, accounted_to, unaccounted from pipeline.accounted order by 1")


def test_each_offset_is_checked_once(way: Way, monkeypatch: pytest.MonkeyPatch):
    """Loaded, dead-lettered (by either stage) and removed ones are explained; the next call begins after them."""
    way.produce(*MALFORMED.values(), envelope({"id": "6"}, requested="everything"), envelope(None))
    drained(way, 11, 20)
    way.raw.raw_tweets.update_one(
        {"tweet_id": 12}, {"$set": {"removed_at": "now"}, "$unset": {"envelope": ""}}
    )
    assert [each.unaccounted for each in verify(way.raw, way.warehouse)] == [(), ()]
    assert remembered(way) == [(0, 10, []), (1, 10, [])]
    assert all(account.balances for account in accounts(way.raw, way.warehouse))
    assert verify(way.raw, way.warehouse) == [], "nothing new"
    drained(way, 21, 24)
    looked_at: list[int] = []
    look = accounting._look

    def looking(raw: Any, warehouse: Any, topic_id: str, partition: int, offsets: Any) -> Any:
        looked_at.extend(offsets)
        return look(raw, warehouse, topic_id, partition, offsets)

    monkeypatch.setattr(accounting, "_look", looking)
    verify(way.raw, way.warehouse)
    assert sorted(looked_at) == [10, 10, 11, 11]


def test_what_was_passed_and_not_loaded_is_named_kept_and_raised(way: Way, postgres: Any):
    """A vanished observation, and a document that vanished behind the cursor; once repaired, the accounts balance."""
    drained(way, 1, 8)
    document = way.raw.raw_tweets.find_one({"tweet_id": 2})
    way.raw.raw_tweets.delete_one({"tweet_id": 2})
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(
            "create table public.kept as select * from pipeline.observations where kind = 'envelope' and partition = 0"
        )
        # the observation that proves offset 2 of partition 0, where tweet 5 is
        superuser.execute(
            "update pipeline.observations set offsets = offsets & ~4 where kind = 'envelope' and partition = 0"
        )
        with pytest.raises(AccountingFailed, match="2 offsets were passed") as failed:
            verify_and_record(way.raw, way.warehouse, "run-1", SILENT)
        assert "partition 0 offsets 2" in str(failed.value)
        assert "partition 1 offsets 0" in str(failed.value)
        assert remembered(way) == [(0, 4, [2]), (1, 4, [0])]
        superuser.execute("delete from pipeline.observations where kind = 'envelope' and partition = 0")
        superuser.execute("insert into pipeline.observations select * from public.kept")
    way.raw.raw_tweets.insert_one(document)
    verify_and_record(way.raw, way.warehouse, "run-2", SILENT)
    assert remembered(way) == [(0, 4, []), (1, 4, [])]
    results = (
        "select run_id, outcome, measured::int from pipeline.quality_results where contract = %s order by 1"
    )
    assert way.rows(results, accounting.CONTRACT) == [("run-1", "failed", 2), ("run-2", "passed", 0)]


def test_a_call_checks_a_bounded_number_of_offsets_and_the_next_continues(
    way: Way, monkeypatch: pytest.MonkeyPatch
):
    """A backlog is accounted for in several runs."""
    monkeypatch.setattr(accounting, "SLICE", 3)
    drained(way, 1, 40)
    verify(way.raw, way.warehouse, most=6)
    assert remembered(way) == [(0, 3, []), (1, 3, [])]
    for _ in range(6):
        verify(way.raw, way.warehouse, most=6)
    assert remembered(way) == [(0, 20, []), (1, 20, [])]


def test_the_list_of_what_cannot_be_explained_is_bounded(way: Way, monkeypatch: pytest.MonkeyPatch):
    """Beyond the limit the accounting stops there, and says how many there are."""
    monkeypatch.setattr(accounting, "SLICE", 4)
    monkeypatch.setattr(accounting, "LISTED", 5)
    drained(way, 1, 40)
    way.raw.raw_tweets.delete_many({})
    assert sum(len(each.unaccounted) for each in verify(way.raw, way.warehouse)) == 8
    assert [(to, len(listed)) for _, to, listed in remembered(way)] == [(4, 4), (4, 4)]
    assert way.rows("select unaccounted_count from pipeline.accounted") == [(8,), (8,)]
