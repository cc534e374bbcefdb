"""The rules of time and id windows, and their 400s."""

from itertools import pairwise
from typing import Any

import pytest

from x_api_simulator.clock import first_id, moment_of, to_text

RECENT = "/2/tweets/search/recent"
DAY_MS = 86_400_000


@pytest.fixture
def now_ms(simulator: Any) -> int:
    moment: int = simulator.world.now_ms()
    return moment


def _seconds(at_ms: int) -> str:
    return to_text(at_ms)[:19] + "Z"


def test_without_an_end_search_stops_thirty_seconds_ago(simulator: Any, now_ms: int) -> None:
    """The default end_time is now - 30 s: younger tweets exist, and are not shown."""
    newest = int(simulator.search("coffee OR is OR the", max_results=10)["meta"]["newest_id"])
    later = simulator.truth(query="coffee OR is OR the", end_time=to_text(now_ms + 1))["ids"]
    assert moment_of(newest) < now_ms - 30_000
    assert moment_of(int(later[-1])) >= now_ms - 30_000


def test_start_is_inclusive_and_end_exclusive_by_the_second(simulator: Any, now_ms: int) -> None:
    """The tweet of the starting second is in; the one of the ending second is out."""
    some = int(simulator.truth(query="coffee")["ids"][-50])
    second_ms = moment_of(some) // 1000 * 1000
    later = simulator.walk(RECENT, query="coffee", start_time=_seconds(second_ms), max_results=100)
    earlier = simulator.walk(RECENT, query="coffee", end_time=_seconds(second_ms), max_results=100)
    assert str(some) in later
    assert str(some) not in earlier
    assert sorted(later + earlier, key=int) == simulator.truth(query="coffee")["ids"]


def test_since_and_until_ids_are_exclusive(simulator: Any) -> None:
    """since_id and until_id themselves are not in the answer."""
    ids = simulator.truth(query="coffee")["ids"]
    page = simulator.search("coffee", since_id=ids[-8], until_id=ids[-2])
    assert [tweet["id"] for tweet in page["data"]] == ids[-3:-8:-1]


def test_a_page_without_hits_has_only_a_result_count(simulator: Any) -> None:
    """No data, no ids, no token: recordings/sfm-twitter-harvester/warc_01.json."""
    assert simulator.search("wordthatnobodysays") == {"meta": {"result_count": 0}}


def test_until_id_reaches_into_the_last_thirty_seconds(simulator: Any, now_ms: int) -> None:
    """until_id takes the place of end_time, and with it of its default."""
    page = simulator.search("coffee OR is OR the", until_id=str(first_id(now_ms)))
    assert moment_of(int(page["meta"]["newest_id"])) > now_ms - 30_000


@pytest.mark.parametrize(
    ("params", "blamed"),
    [
        ({"start_time": "-8d"}, "start_time"),
        ({"since_id": "-8d"}, "since_id"),
        ({"until_id": "-8d"}, "until_id"),
        ({"since_id": "12345"}, "since_id"),
        ({"since_id": "12x"}, "since_id"),
        ({"end_time": "-5s"}, "end_time"),
        ({"end_time": "+1d"}, "end_time"),
        ({"start_time": "2026-03-01"}, "start_time"),
        ({"start_time": "2026-03-01T00:00:00+00:00"}, "start_time"),
        ({"start_time": "-1h", "since_id": "-1h"}, "since_id"),
        ({"end_time": "-1h", "until_id": "-1h"}, "until_id"),
        ({"start_time": "-1h", "end_time": "-2h"}, "end_time"),
        ({"since_id": "-1h", "until_id": "-2h"}, "until_id"),
        ({"next_token": "abc"}, "next_token"),
        ({"next_token": "abc", "pagination_token": "abc"}, "pagination_token"),
        ({"max_results": "9"}, "max_results"),
        ({"max_results": "101"}, "max_results"),
        ({"max_results": "ten"}, "max_results"),
        ({"sort_order": "best"}, "sort_order"),
        ({"colour": "red"}, "colour"),
        ({"tweet.fields": "created_at,shoe_size"}, "tweet.fields"),
        ({"tweet.fields": "id", "post.fields": "id"}, "tweet.fields"),
        ({"expansions": "authors"}, "expansions"),
        ({"query": ""}, "query"),
    ],
)
def test_broken_rules_are_a_400_that_names_the_parameter(
    simulator: Any, now_ms: int, params: dict[str, str], blamed: str
) -> None:
    """Every objection names the parameter and its value; the type is invalid-request."""
    units = {"s": 1_000, "h": 3_600_000, "d": DAY_MS}

    def written(name: str, value: str) -> str:
        if value[:1] not in ("+", "-"):
            return value
        moment = now_ms + int(value[:-1]) * units[value[-1]]
        return str(first_id(moment)) if name.endswith("_id") else _seconds(moment)

    asked = {"query": "coffee"} | {name: written(name, value) for name, value in params.items()}
    answer = simulator.get(RECENT, **asked)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] in {
        f"https://api.{host}.com/2/problems/invalid-request" for host in ("twitter", "x")
    }
    assert blamed in {name for error in answer.json()["errors"] for name in error["parameters"]}


def test_a_missing_query_is_a_400(simulator: Any) -> None:
    """query is required."""
    assert simulator.get(RECENT).status_code == 400


def test_timelines_know_no_seven_days_and_no_thirty_seconds(simulator: Any, now_ms: int) -> None:
    """A timeline takes start_time with since_id (the id wins) and shows tweets of the last seconds."""
    user = simulator.world.most_active[0]
    path = f"/2/users/{user.id}/tweets"
    everything = simulator.walk(path, max_results=100)
    assert everything == simulator.truth(user_id=user.id)["ids"][::-1]
    page = simulator.ok(path, since_id=everything[3], start_time="2011-01-01T00:00:00Z")
    assert [tweet["id"] for tweet in page["data"]] == everything[:3]
    assert simulator.get(path, start_time="2010-01-01T00:00:00Z").status_code == 400
    assert simulator.get(path, max_results=4).status_code == 400


def test_counts_of_buckets_add_up_to_the_window(simulator: Any) -> None:
    """Hourly buckets are cut at the window's edges, touch each other, and their sum is the total."""
    counts = simulator.ok("/2/tweets/counts/recent", query="coffee")
    buckets = counts["data"]
    assert sum(bucket["tweet_count"] for bucket in buckets) == counts["meta"]["total_tweet_count"]
    assert all(one["end"] == two["start"] for one, two in pairwise(buckets))
    truth = simulator.truth(query="coffee")
    everything = sum(len(truth[part]) for part in ("ids", "superseded", "removed"))
    assert counts["meta"]["total_tweet_count"] == everything
