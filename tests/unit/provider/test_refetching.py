"""Tweets that were lost on the way are refetched by id."""

from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.refetching import refetch


class RefetchLedger:
    """A ledger for refetches that notes what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[dict[str, Any]] = []
        self.requests = 0

    def may_spend(self, endpoint: str, price_usd: Any) -> str:
        return "reservation"

    def record_request(self, reservation: str, **facts: Any) -> None:
        self.requests += 1

    def page_acknowledged(self, **facts: Any) -> None:
        self.acknowledged.append(facts)

    def set_aside(self, **facts: Any) -> None:
        raise AssertionError("nothing here is too large")


def some_of_them(handled: Any, asked: Any) -> None:
    """X returns the even ids and says that the others are gone."""
    ids = [int(each) for each in asked.params["ids"].split(",")]
    data = [{"id": str(each), "text": "x"} for each in ids if each % 2 == 0]
    errors = [
        {"resource_id": str(each), "type": "https://api.x.com/2/problems/resource-not-found"}
        for each in ids
        if each % 2
    ]
    handled.send(msgspec.json.encode({"data": data, "errors": errors}))


def test_what_x_still_gives_is_produced_and_told(x: Any, client: Any, sink: Any) -> None:
    """Ids are requested by the hundred; the ids found are returned, and each page is in the ledger."""
    x.behaves(some_of_them)
    books = RefetchLedger()
    found = refetch(client, list(range(1, 251)), books, sink, rule="coffee")
    assert found.found == set(range(2, 251, 2))
    assert (found.refused.keys(), found.unanswered) == (set(range(1, 251, 2)), set())
    assert [len(asked.params["ids"].split(",")) for asked in x.asked] == [100, 100, 50]
    assert (books.requests, [len(each["tweet_ids"]) for each in books.acknowledged]) == (3, [50, 50, 25])
    assert sorted(sink.ids) == sorted(found.found)
    assert msgspec.json.decode(sink.messages[0].value)["provenance"]["source"] == "lookup"


def test_a_sink_that_fails_leaves_the_books_alone(x: Any, client: Any, sink: Any) -> None:
    """What Kafka did not acknowledge does not count as fetched."""
    x.behaves(some_of_them)
    sink.break_after = 0
    books = RefetchLedger()
    with pytest.raises(ConnectionError):
        refetch(client, [1, 2], books, sink, rule=None)
    assert (books.requests, books.acknowledged) == (1, [])


@pytest.mark.parametrize(
    "kind", ["resource-unavailable", "internal-error", "some-new-type", None], ids=lambda kind: str(kind)
)
def test_what_x_does_not_answer_is_no_verdict(x: Any, client: Any, sink: Any, kind: str | None) -> None:
    """A tweet that is neither found nor refused for a known reason is requested again, and then left unanswered."""
    error = {"resource_id": "2"} | ({"type": f"https://api.x.com/2/problems/{kind}"} if kind else {})
    x.answers({"data": [{"id": "1"}], "errors": [error]})
    result = refetch(client, [1, 2], RefetchLedger(), sink, rule=None)
    assert (result.found, result.refused, result.unanswered) == ({1}, {}, {2})
    assert [asked.params["ids"] for asked in x.asked] == ["1,2", "2", "2"]


def test_what_x_answers_at_the_second_try_is_found(x: Any, client: Any, sink: Any) -> None:
    """Only the missing tweets are requested again."""
    x.answers({"data": [{"id": "1"}]}).answers({"data": [{"id": "2"}]})
    result = refetch(client, [1, 2], RefetchLedger(), sink, rule=None)
    assert (result.found, result.unanswered) == ({1, 2}, set())


def test_an_outage_leaves_one_hundred_open_and_goes_on_with_the_next(x: Any, client: Any, sink: Any) -> None:
    """Answers that keep proving nothing are no verdict about any tweet."""
    x.answers({})
    result = refetch(client, list(range(150)), RefetchLedger(), sink, rule=None)
    assert (result.found, result.refused, result.unanswered) == (set(), {}, set(range(150)))
    assert len(x.asked) == 6
