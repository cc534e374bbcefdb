"""Other servers that speak the X API do less than X; polls of them still end and lose nothing."""

import contextlib
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.poll import Checkpoint, poll

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture
def shuffled() -> list[int]:
    ids = list(range(1, 48))
    random.Random(7).shuffle(ids)
    return ids


@pytest.mark.parametrize("honours", [(), ("since_id",), ("until_id",), ("since_id", "until_id")])
def test_unsorted_pages_are_all_read(
    x: Any,
    client: XClient,
    books: Any,
    sink: Any,
    emulator: Any,
    shuffled: list[int],
    honours: tuple[str, ...],
) -> None:
    """Unsorted pages are read to the last one, and since_id becomes the highest id of the first page."""
    x.behaves(emulator(shuffled, honours=honours))
    result = poll(client, "coffee", books, sink, clock=clock, page_size=10)
    assert sorted(sink.ids) == sorted(shuffled)
    assert (result.ended, books.checkpoint) == ("last_page", Checkpoint(since_id=max(shuffled[:10])))


def test_an_interrupted_poll_of_an_unsorted_server_starts_over(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any, shuffled: list[int]
) -> None:
    """With unsorted pages, no id says how far a poll was: it starts over and loses nothing."""
    x.behaves(emulator(shuffled, honours=("since_id", "until_id")))
    sink.break_after = 2
    with pytest.raises(ConnectionError):
        poll(client, "coffee", books, sink, clock=clock, page_size=10)
    sink.break_after = None
    poll(client, "coffee", books, sink, clock=clock, page_size=10)
    assert set(sink.ids) == set(shuffled)


def test_an_order_that_was_not_shown_is_not_believed(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """A few small ids that happen to decrease do not prove that a server sorts: an interrupted poll starts over."""
    x.behaves(emulator([3, 1, 2], honours=("since_id", "until_id")))
    sink.break_after = 2
    with pytest.raises(ConnectionError):
        poll(client, "coffee", books, sink, clock=clock, page_size=1)
    sink.break_after = None
    poll(client, "coffee", books, sink, clock=clock, page_size=1)
    assert set(sink.ids) == {1, 2, 3}


def test_a_tweet_added_at_the_end_is_found(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """A server that ignores since_id and appends what is new is read to its last page."""
    emulated = emulator([5, 4, 3, 2, 1])
    x.behaves(emulated)
    poll(client, "coffee", books, sink, clock=clock, page_size=1)
    emulated.ids.append(10_001)
    poll(client, "coffee", books, sink, clock=clock, page_size=1)
    assert 10_001 in sink.ids


def test_a_server_that_ignores_since_id_is_read_down_to_the_known(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """Once a hundred tweets came newest first, a page with nothing above the checkpoint ends the poll."""
    x.behaves(emulator(range(1, 1001), honours=("sorting",)))
    books.checkpoint = Checkpoint(since_id=985)
    result = poll(client, "coffee", books, sink, clock=clock, page_size=10)
    assert (result.pages, result.ended) == (10, "reached_the_known")
    assert books.checkpoint == Checkpoint(since_id=1000)


def test_a_server_that_ignores_until_id_is_read_from_the_top_again(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """Resuming below an id on a server that ignores ids reads more, never less."""
    x.behaves(emulator(range(1, 31), honours=("sorting",)))
    books.checkpoint = Checkpoint(until_id=11, newest_id=30)
    result = poll(client, "coffee", books, sink, clock=clock, page_size=10)
    assert set(sink.ids) == set(range(1, 31))
    assert result.ended == "last_page"


def test_a_page_that_repeats_forever_is_given_up_with_a_gap(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """A page that repeats whatever the token leaves the poll unfinished; the third such poll records a gap."""
    x.answers({"data": [{"id": "9"}, {"id": "8"}], "meta": {"next_token": "again"}})
    first = poll(client, "coffee", books, sink, clock=clock)
    assert (first.ended, first.is_finished, sink.ids) == ("gave_up", False, [9, 8])
    assert (len(x.asked) <= 3, books.checkpoint.since_id) == (True, None)
    results = [poll(client, "coffee", books, sink, clock=clock) for _ in range(3)]
    assert [each.ended for each in results] == ["gave_up", "gave_up", "left_out"]
    assert (books.checkpoint.since_id, len(books.gaps)) == (9, 1)


def test_a_token_that_loops_does_not_hide_what_is_below(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """If tokens lead in a circle, the poll continues by id and reaches the last tweet."""
    honest = emulator(range(1, 51), honours=("until_id", "sorting"))

    def looping(handled: Any, asked: Any) -> None:
        if int(asked.params.get("next_token", "0")) >= 10:
            asked.params["next_token"] = "10"
        honest(handled, asked)

    x.behaves(looping)
    result = poll(client, "coffee", books, sink, clock=clock, page_size=10)
    assert sorted(sink.ids) == list(range(1, 51))
    assert result.ended == "last_page"


def test_an_empty_page_with_a_token_is_not_the_end(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """Fewer tweets than requested, or even none, do not mean the last page."""
    x.answers({"data": [{"id": "9"}], "meta": {"next_token": "a"}})
    x.answers({"meta": {"result_count": 0, "next_token": "b"}})
    x.answers({"data": [{"id": "8"}], "meta": {}})
    assert poll(client, "coffee", books, sink, clock=clock).ended == "last_page"
    assert sink.ids == [9, 8]


def test_empty_pages_are_followed_to_the_page_limit(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """If a server returns no tweets but always another page, polls end unfinished at the limit, and finally with a gap."""
    numbers = iter(range(10_000))
    x.behaves(lambda handled, asked: handled.send(b'{"meta":{"next_token":"%d"}}' % next(numbers)))
    results = [poll(client, "coffee", books, sink, clock=clock, max_pages=20) for _ in range(3)]
    assert [each.ended for each in results] == ["max_pages", "max_pages", "left_out"]
    assert (len(x.asked), len(books.gaps)) == (60, 1)


def test_tweets_without_usable_ids_are_passed_on(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """Missing fields, even ids, neither stop a poll nor drop the tweet."""
    x.answers({"data": [{"text": "no id"}, {"id": "7"}], "meta": {}})
    poll(client, "coffee", books, sink, clock=clock)
    assert len(sink.messages) == 2
    assert books.noted("page_acknowledged")[0]["tweet_ids"] == [7]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.integers(1, 10_000), unique=True, max_size=40),
    later=st.lists(st.integers(10_001, 20_000), unique=True, max_size=20),
    honours=st.sets(st.sampled_from(["since_id", "until_id", "sorting"])),
    page_size=st.integers(1, 15),
    break_after=st.integers(0, 4),
)
def test_whatever_a_server_ignores_nothing_is_lost(
    x: Any,
    client: XClient,
    emulator: Any,
    books: Any,
    sink: Any,
    ids: list[int],
    later: list[int],
    honours: set[str],
    page_size: int,
    break_after: int,
) -> None:
    """Interrupted anywhere and repeated, polls of any such server collect every tweet and come to an end."""
    server, own_books, own_sink = (
        emulator(ids, honours=sorted(honours)),
        type(books)(),
        type(sink)(break_after),
    )
    x.now_behaves(server)

    def poll_once() -> None:
        poll(client, "coffee", own_books, own_sink, clock=clock, page_size=page_size)

    with contextlib.suppress(ConnectionError):
        poll_once()
    own_sink.break_after = None
    poll_once()
    server.ids += later
    poll_once()
    poll_once()
    assert set(own_sink.ids) == {*ids, *later}
