"""Tweets that were lost on the way are asked for again by their ids."""

from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.lookup import fetch_again


class LookupBooks:
    """Books of lookups that note what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[dict[str, Any]] = []
        self.requests = 0

    def may_spend(self, endpoint: str, price_usd: Any) -> str:
        return "reservation"

    def record_request(self, reservation: str, **facts: Any) -> None:
        self.requests += 1

    def page_acknowledged(self, **facts: Any) -> None:
        self.acknowledged.append(facts)


def some_of_them(handled: Any, asked: Any) -> None:
    """X gives the even ids and says of the others that they are gone."""
    ids = [int(each) for each in asked.params["ids"].split(",")]
    data = [{"id": str(each), "text": "x"} for each in ids if each % 2 == 0]
    errors = [{"resource_id": str(each), "title": "Not Found Error"} for each in ids if each % 2]
    handled.send(msgspec.json.encode({"data": data, "errors": errors}))


def test_what_x_still_gives_is_produced_and_told(x: Any, client: Any, sink: Any) -> None:
    """Ids are asked for by the hundred; the ids that came are returned, and each page is in the books."""
    x.behaves(some_of_them)
    books = LookupBooks()
    found = fetch_again(client, list(range(1, 251)), books, sink, rule="coffee")
    assert found == set(range(2, 251, 2))
    assert [len(asked.params["ids"].split(",")) for asked in x.asked] == [100, 100, 50]
    assert (books.requests, [len(each["tweet_ids"]) for each in books.acknowledged]) == (3, [50, 50, 25])
    assert sorted(sink.ids) == sorted(found)
    assert msgspec.json.decode(sink.messages[0].value)["provenance"]["source"] == "lookup"


def test_a_sink_that_fails_leaves_the_books_alone(x: Any, client: Any, sink: Any) -> None:
    """What Kafka did not acknowledge is not told as fetched."""
    x.behaves(some_of_them)
    sink.break_after = 0
    books = LookupBooks()
    with pytest.raises(ConnectionError):
        fetch_again(client, [1, 2], books, sink, rule=None)
    assert (books.requests, books.acknowledged) == (1, [])
