"""Paging gives exactly the truth."""

from typing import Any

import pytest

RECENT = "/2/tweets/search/recent"


@pytest.mark.parametrize("max_results", [10, 37, 100])
@pytest.mark.parametrize(
    "query", ["coffee", "#football -is:retweet", "the lang:en", "(music OR コーヒー) has:media"]
)
def test_a_walk_gives_the_truth_newest_first(simulator: Any, query: str, max_results: int) -> None:
    """All pages together hold every searchable id once, from the newest to the oldest."""
    walked = simulator.walk(RECENT, query=query, max_results=max_results)
    assert walked == simulator.truth(query=query)["ids"][::-1]


def test_every_author_timeline_is_the_truth(simulator: Any) -> None:
    """Timelines too, with and without replies and retweets."""
    for user in simulator.world.most_active[:5]:
        path = f"/2/users/{user.id}/tweets"
        for exclude in ({}, {"exclude": "replies"}, {"exclude": "replies,retweets"}):
            walked = simulator.walk(path, max_results=7, **exclude)
            assert walked == simulator.truth(user_id=user.id, **exclude)["ids"][::-1]


def test_meta_speaks_about_its_page(simulator: Any) -> None:
    """newest_id, oldest_id and result_count are those of this page's data."""
    first = simulator.search("coffee")
    second = simulator.search("coffee", next_token=first["meta"]["next_token"])
    for page in (first, second):
        ids = [int(tweet["id"]) for tweet in page["data"]]
        assert ids == sorted(ids, reverse=True)
        assert (int(page["meta"]["newest_id"]), int(page["meta"]["oldest_id"])) == (ids[0], ids[-1])
        assert page["meta"]["result_count"] == len(ids)
    assert int(second["meta"]["newest_id"]) < int(first["meta"]["oldest_id"])


def test_short_pages_are_not_the_last(simulator: Any) -> None:
    """Deleted and edited tweets leave holes: some page holds fewer than max_results and has a next_token."""
    params: dict[str, Any] = {"query": "the", "max_results": 100}
    short = 0
    while True:
        meta = simulator.ok(RECENT, **params)["meta"]
        if "next_token" not in meta:
            break
        short += meta["result_count"] < 100
        params["next_token"] = meta["next_token"]
    assert short


def test_a_token_belongs_to_its_query(simulator: Any) -> None:
    """Another query with the token of the first is a 400."""
    token = simulator.search("coffee")["meta"]["next_token"]
    assert simulator.get(RECENT, query="football", next_token=token).status_code == 400


def test_the_window_of_the_first_page_holds_for_the_walk(start: Any) -> None:
    """Tweets that become old enough during paging do not appear in it."""
    simulator = start(rate=0.5)
    expected = simulator.truth(query="the")["ids"][::-1]
    first = simulator.search("the", max_results=100)
    simulator.control("clock", {"advance_seconds": 300})
    rest = simulator.walk(RECENT, query="the", max_results=100, pagination_token=first["meta"]["next_token"])
    walked = [tweet["id"] for tweet in first["data"]] + rest
    assert len(walked) > 100
    gone = set(expected) - set(simulator.truth(query="the")["ids"])
    assert set(walked) <= set(expected)
    assert set(expected) - set(walked) <= gone


def test_timelines_can_be_walked_back(simulator: Any) -> None:
    """previous_token of the second page leads to the first again."""
    path = f"/2/users/{simulator.world.most_active[0].id}/tweets"
    first = simulator.ok(path)
    second = simulator.ok(path, pagination_token=first["meta"]["next_token"])
    again = simulator.ok(path, pagination_token=second["meta"]["previous_token"])
    assert "previous_token" not in first["meta"]
    assert [tweet["id"] for tweet in again["data"]] == [tweet["id"] for tweet in first["data"]]


def test_polling_with_since_id_while_the_world_grows_misses_nothing(start: Any) -> None:
    """Twenty polls, each from the newest id of the previous one, collect what search showed at their times."""
    simulator = start(rate=1.0)
    seen: set[str] = set(simulator.walk(RECENT, query="coffee", max_results=100))
    newest = max(seen, key=int)
    for _ in range(20):
        simulator.control("clock", {"advance_seconds": 60})
        found = simulator.walk(RECENT, query="coffee", max_results=100, since_id=newest)
        assert not seen & set(found)
        seen |= set(found)
        newest = max(seen, key=int)
    truth = simulator.truth(query="coffee")
    assert set(truth["ids"]) <= seen <= {*truth["ids"], *truth["superseded"], *truth["removed"]}
