"""What a data scientist reads over HTTP: pages, filters, single tweets, users, hashtags, counts."""

from typing import Any

import pytest

from support.api import Api
from support.loading import tweet_id
from twitter_pipeline.api.examples import EXAMPLES

ALL = [*range(60, -1, -1)]


def test_pages_follow_each_other_without_gap_or_repeat(api: Api):
    """By next_cursor, newest first, until it is null; removed and merely included tweets are not among them."""
    seen, cursor = [], None
    while True:
        params = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = api.data("/api/v1/tweets", **params)
        assert page["meta"]["count"] == len(page["data"]) <= 7
        seen += [int(t["id"]) - tweet_id(0) for t in page["data"]]
        if (cursor := page["meta"]["next_cursor"]) is None:
            break
    assert seen == ALL


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"author": "author_1"}, [60, *range(57, -1, -3)]),
        ({"author": "@AUTHOR_2"}, [*range(58, 0, -3)]),
        ({"author": "nobody"}, []),
        ({"hashtag": "#coFFee"}, [*range(59, 0, -2)]),
        ({"rule": "tens-3"}, [*range(39, 29, -1)]),
        ({"rule": "tens-3", "hashtag": "coffee", "author": "author_1"}, [39, 33]),
        ({"words": "100% CREMA"}, [*range(59, 0, -2)]),
        ({"words": "10_% crema"}, []),
        ({"words": "text 7"}, [57, 47, 37, 27, 17, 7]),
        ({"since": "2026-03-02", "until": "2026-03-02T05:00:00Z"}, [28, 27, 26, 25, 24]),
        ({"since": "2026-03-03T12:00:00+02:00"}, [60, 59, 58]),
        ({"until": "2026-03-01"}, []),
    ],
)
def test_filters_select(api: Api, filters: dict[str, str], numbers: list[int]):
    """Author and hashtag in any case, all of the words taken literally, since inclusive and until exclusive."""
    assert api.ids(**filters, limit=1000) == numbers


def shape(value: Any) -> Any:
    """Keys all the way down, lists by their first element, null as a type of its own."""
    if isinstance(value, dict):
        return {key: shape(v) for key, v in value.items()}
    return [shape(v) for v in value[:1]] if isinstance(value, list) else None


def test_one_tweet_is_what_the_list_shows_and_what_openapi_promises(api: Api):
    """The same object, by id; its keys are those of the example."""
    listed = api.data("/api/v1/tweets", limit=3)["data"][1]
    assert api.data(f"/api/v1/tweets/{tweet_id(59)}") == listed
    assert listed.keys() == EXAMPLES["tweet"].keys()
    assert listed["metrics"].keys() == EXAMPLES["tweet"]["metrics"].keys()
    assert listed["id"] == str(tweet_id(59))
    assert listed["created_at"] == "2026-03-03T11:30:00.000Z"
    assert listed["author"] == {"id": "3", "username": "Author_3", "name": "Author 3"}
    assert (listed["hashtags"], listed["rules"]) == (["coffee"], ["tens-5"])
    assert listed["metrics"]["like_count"] == 59
    assert listed["metrics"]["reply_count"] is None


@pytest.mark.parametrize("number", [98, 99, 61])
def test_what_is_not_collected_is_not_found(api: Api, number: int):
    """404 for a removed tweet, one that is only an include, and an unknown one."""
    answer = api.get(f"/api/v1/tweets/{tweet_id(number)}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert str(tweet_id(number)) in answer.json()["detail"]


def test_users_in_pages_by_name_and_by_id(api: Api):
    """Newest id first; a name in any case; how many tweets were collected."""
    first = api.data("/api/v1/users", limit=2)
    assert [u["id"] for u in first["data"]] == ["3", "2"]
    rest = api.data("/api/v1/users", limit=2, cursor=first["meta"]["next_cursor"])
    assert ([u["id"] for u in rest["data"]], rest["meta"]["next_cursor"]) == (["1"], None)
    (found,) = api.data("/api/v1/users", username="author_1")["data"]
    assert found == api.data("/api/v1/users/1")
    assert found.keys() == EXAMPLES["user"].keys()
    assert found["collected_tweet_count"] == 21


def test_hashtags_of_a_window(api: Api):
    """Most used first, with the number of people."""
    day = api.data("/api/v1/hashtags", since="2026-03-01", until="2026-03-02")
    assert day["data"] == [
        {"tag": "coffee", "display_tag": "Coffee", "tweet_count": 12, "author_count": 3},
    ]
    assert day["meta"] == {"since": "2026-03-01T00:00:00.000Z", "until": "2026-03-02T00:00:00.000Z"}


def test_counts_have_every_hour_and_the_same_sum_as_the_list(api: Api):
    """Hours without tweets are listed with 0; the filters are the same as for the list."""
    window = {"since": "2026-02-28T22:00:00Z", "until": "2026-03-04", "rule": "tens-1"}
    counted = api.data("/api/v1/counts", **window)
    assert len(counted["data"]) == 74
    assert counted["data"][0] == {"start": "2026-02-28T22:00:00Z", "tweet_count": 0}
    assert counted["meta"]["total"] == sum(h["tweet_count"] for h in counted["data"])
    assert counted["meta"]["total"] == len(api.ids(**window)) == 10
    by_day = api.data("/api/v1/counts", **window, granularity="day")
    assert [d["tweet_count"] for d in by_day["data"]] == [0, 10, 0, 0]


def test_the_pipelines_state_tells_what_does_not_answer(api: Api):
    """Kafka and MongoDB are away here: that is an answer with its reason, not an error."""
    state = api.data("/api/v1/pipeline")
    assert state.keys() == EXAMPLES["pipeline"].keys()
    stages = {s["stage"]: s for s in state["stages"]}
    assert stages["warehouse"]["count"] == 61
    assert stages["land"]["answers"] is False
    assert "does not answer" in stages["land"]["last_error"]
    assert state["spend"] == {"month_usd": "0", "budget_usd": None}
