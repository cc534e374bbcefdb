"""A poll sends everything new to the sink and then moves the checkpoint up, in that order."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.client import InvalidRequest, RateLimited, UnprovenAnswer, XClient
from airflow_provider_twitter.poll import BudgetSpent, Checkpoint, PollResult, Timeline, poll
from support.x_server import id_at
from tweet_envelope.ids import earlier, made_at

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AS_X = ("since_id", "until_id", "sorting")


TOP = id_at(NOW - timedelta(hours=1))


def clock() -> datetime:
    return NOW


def ids_of(books: Any) -> tuple[int | None, int | None, int | None]:
    """since_id, until_id and newest_id of the checkpoint."""
    return books.checkpoint.since_id, books.checkpoint.until_id, books.checkpoint.newest_id


def tweets(first: int, last: int) -> list[int]:
    """Ids as X makes them, from the first small number to the last, up or down."""
    step = 1 if last >= first else -1
    return [TOP + number for number in range(first, last + step, step)]


def run(client: XClient, books: Any, sink: Any, **options: Any) -> PollResult:
    """One poll for coffee with pages of ten and without overlap."""
    given: dict[str, Any] = {"clock": clock, "page_size": 10, "overlap": timedelta(0), **options}
    return poll(client, "coffee", books, sink, **given)


def test_a_first_poll_reads_all_pages_and_then_moves_since_id(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """Every page is produced, then acknowledged in the books; since_id moves once, after the last one."""
    x.behaves(emulator(tweets(1, 25), honours=AS_X))
    result = run(client, books, sink, rule="r")
    assert sink.ids == tweets(25, 1)
    assert (result.pages, result.tweets, result.newest_id, result.ended) == (3, 25, TOP + 25, "last_page")
    acknowledged = books.noted("page_acknowledged")
    assert [each["poll_newest_id"] for each in acknowledged] == [TOP + 25] * 3
    assert [each["resume_until_id"] for each in acknowledged] == [TOP + 16, TOP + 6, TOP + 1]
    assert acknowledged[0]["tweet_ids"] == tweets(25, 16)
    assert (acknowledged[0]["topic"], acknowledged[0]["topic_id"]) == ("raw-tweets", "topic-1")
    assert acknowledged[1]["offsets"] == {0: 19}
    assert books.notes[-1] == ("poll_finished", {"newest_id": TOP + 25})
    assert ids_of(books) == (TOP + 25, None, None)


def test_the_next_poll_asks_only_for_newer_tweets(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """A second poll starts at since_id and leaves the checkpoint alone when nothing came."""
    books.checkpoint = Checkpoint(since_id=TOP + 25)
    x.behaves(emulator(tweets(1, 25), honours=AS_X))
    result = run(client, books, sink)
    assert (result.tweets, result.ended, sink.messages) == (0, "last_page", [])
    assert ids_of(books) == (TOP + 25, None, None)


def test_a_poll_that_broke_goes_on_below_what_was_acknowledged(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """After a failure in the middle, the next poll resumes below the oldest acknowledged id; nothing is lost."""
    books.checkpoint = Checkpoint(since_id=TOP + 5)
    emulated = emulator(tweets(1, 35), honours=AS_X)
    x.behaves(emulated)
    sink.break_after = 1
    with pytest.raises(ConnectionError):
        run(client, books, sink)
    assert ids_of(books) == (TOP + 5, TOP + 26, TOP + 35)

    sink.break_after = None
    emulated.ids += tweets(36, 37)
    result = run(client, books, sink)
    assert sink.ids == tweets(35, 6)
    assert (result.newest_id, ids_of(books)) == (TOP + 35, (TOP + 35, None, None))

    run(client, books, sink)
    assert sink.ids[-2:] == tweets(37, 36)


def test_a_page_that_was_not_acknowledged_is_not_in_the_books(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """Fetched means acknowledged: a sink that fails leaves the checkpoint where it was."""
    x.behaves(emulator(tweets(1, 5), honours=AS_X))
    sink.break_after = 0
    with pytest.raises(ConnectionError):
        run(client, books, sink)
    assert books.noted("page_acknowledged") == []
    assert ids_of(books) == (None, None, None)


def test_max_pages_leaves_the_poll_to_be_gone_on_with(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """A bounded poll ends resumable, and the following ones reach the end."""
    x.behaves(emulator(tweets(1, 50), honours=AS_X))
    first = run(client, books, sink, max_pages=2)
    assert first.ended == "max_pages"
    assert ids_of(books) == (None, TOP + 31, TOP + 50)
    run(client, books, sink, max_pages=2)
    assert run(client, books, sink, max_pages=2).ended == "last_page"
    assert sink.ids == tweets(50, 1)
    assert ids_of(books) == (TOP + 50, None, None)


def test_polls_overlap_by_the_configured_span(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """since_id is asked for a minute earlier, in the arithmetic of snowflakes, for tweets indexed late."""
    books.checkpoint = Checkpoint(since_id=id_at(NOW - timedelta(minutes=5), sequence=7))
    x.answers({"meta": {"result_count": 0}})
    poll(client, "coffee", books, sink, clock=clock, overlap=timedelta(seconds=60))
    assert int(x.asked[0].params["since_id"]) == id_at(NOW - timedelta(minutes=6), sequence=7)


def test_ids_that_hold_no_time_are_not_moved(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """Small ids of another emulator are sent unchanged."""
    books.checkpoint = Checkpoint(since_id=1042)
    x.answers({"meta": {"result_count": 0}})
    poll(client, "coffee", books, sink, clock=clock, overlap=timedelta(hours=1))
    assert x.asked[0].params["since_id"] == "1042"


TOO_OLD = {"errors": [{"message": "'since_id' must be newer", "parameters": {"since_id": ["5"]}}]}


def dated(moment: datetime) -> dict[str, str]:
    return {"date": format_datetime(moment, usegmt=True)}


def test_a_since_id_out_of_reach_falls_back_to_a_start_time(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """When X no longer reaches back to since_id the poll takes all that is left, and writes down what is not."""
    old = id_at(NOW - timedelta(days=9))
    books.checkpoint = Checkpoint(since_id=old)
    x.answers(TOO_OLD, 400)
    x.answers({"data": [{"id": str(TOP)}], "meta": {"result_count": 1}})
    result = poll(client, "coffee", books, sink, clock=clock)
    assert "since_id" not in x.asked[1].params
    assert x.asked[1].params["start_time"] == "2026-02-22T12:01:00Z"
    assert result.searched_from == datetime(2026, 2, 22, 12, 1, tzinfo=UTC)
    assert (sink.ids, books.checkpoint.since_id) == ([TOP], TOP)
    [gap] = books.gaps
    assert (gap.since_id, gap.from_at, gap.to_at) == (
        earlier(old, timedelta(seconds=60), NOW),
        NOW - timedelta(days=9),
        result.searched_from,
    )


def test_what_is_too_old_is_computed_by_the_clock_of_x(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """The same checkpoint is too old where X's own Date says so, whatever our clock says."""
    books.checkpoint = Checkpoint(since_id=id_at(NOW - timedelta(days=6)))
    x.answers(TOO_OLD, 400, **dated(NOW + timedelta(days=2)))
    x.answers({"meta": {"result_count": 0}}, **dated(NOW + timedelta(days=2)))
    poll(client, "coffee", books, sink, clock=clock)
    assert x.asked[1].params["start_time"] == "2026-02-24T12:01:00Z"


def test_an_emulators_checkpoint_is_too_old_by_what_its_newest_tweet_said(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """Small ids contain no time; the checkpoint keeps the newest tweet's created_at, which decides."""
    books.checkpoint = Checkpoint(since_id=41, since_at=NOW - timedelta(days=8))
    x.answers(TOO_OLD, 400)
    x.answers({"data": [{"id": "42"}], "meta": {"result_count": 1}})
    poll(client, "coffee", books, sink, clock=clock)
    assert (sink.ids, len(books.gaps)) == ([42], 1)


@pytest.mark.parametrize("age", [timedelta(minutes=20), timedelta(days=6)])
def test_a_refusal_that_names_since_id_is_not_believed_where_it_cannot_be(
    x: Any, client: XClient, books: Any, sink: Any, age: timedelta
) -> None:
    """A recent checkpoint is not too old because a refusal names its parameter; the refusal is passed on."""
    books.checkpoint = before = Checkpoint(since_id=id_at(NOW - age))
    x.answers(TOO_OLD, 400)
    with pytest.raises(InvalidRequest):
        poll(client, "coffee", books, sink, clock=clock)
    assert (books.checkpoint, books.gaps, len(x.asked)) == (before, [], 1)


def test_the_fallback_does_not_repeat(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """A poll that breaks after the fallback goes on from its start_time, and writes no second gap."""
    books.checkpoint = Checkpoint(since_id=id_at(NOW - timedelta(days=9)))
    x.answers(TOO_OLD, 400)
    x.answers({"data": [{"id": str(TOP)}], "meta": {"result_count": 1, "next_token": "n"}})
    x.answers(b"", 429)
    x.answers({"meta": {"result_count": 0}})
    with pytest.raises(RateLimited):
        poll(client, "coffee", books, sink, clock=clock)
    poll(client, "coffee", books, sink, clock=clock)
    assert "since_id" not in x.asked[-1].params
    assert (x.asked[-1].params["start_time"], x.asked[-1].params["until_id"]) == (
        "2026-02-22T12:01:00Z",
        str(TOP),
    )
    assert (len(books.gaps), books.checkpoint.since_id) == (1, TOP)


def test_only_the_overlap_is_out_of_reach(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """A checkpoint within reach whose overlap is not is asked for as it is; nothing is missing."""
    since_id = id_at(NOW - timedelta(days=7) + timedelta(minutes=1, seconds=30))
    books.checkpoint = Checkpoint(since_id=since_id)
    x.answers(TOO_OLD, 400)
    x.answers()
    poll(client, "coffee", books, sink, clock=clock)
    assert (x.asked[1].params["since_id"], books.gaps) == (str(since_id), [])


def test_an_unfinished_poll_out_of_reach_is_closed(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """When X no longer reaches back to where a poll was interrupted, it ends with what it had, and a gap."""
    until_id, newest_id = id_at(NOW - timedelta(days=8)), id_at(NOW - timedelta(days=7, hours=12))
    books.checkpoint = Checkpoint(id_at(NOW - timedelta(days=10)), until_id, newest_id)
    x.answers({"errors": [{"message": "'until_id' must be newer"}]}, 400)
    result = poll(client, "coffee", books, sink, clock=clock)
    assert (result.ended, books.checkpoint.since_id) == ("out_of_reach", newest_id)
    assert [(gap.until_id, gap.to_at) for gap in books.gaps] == [(until_id, NOW - timedelta(days=8))]


def test_a_fast_clock_of_ours_does_not_shorten_a_first_poll(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """If our clock is ahead, the first answer's Date reveals it, and the poll continues below with the correct start."""
    books.checkpoint = Checkpoint(start_time=NOW - timedelta(days=30))
    there, made = NOW - timedelta(hours=2), id_at(NOW - timedelta(hours=3))
    x.answers({"data": [{"id": str(made)}], "meta": {"result_count": 1}}, **dated(there))
    x.answers({"meta": {"result_count": 0}}, **dated(there))
    poll(client, "coffee", books, sink, clock=clock)
    assert [asked.params["start_time"] for asked in x.asked] == [
        "2026-02-22T12:01:00Z",
        "2026-02-22T10:01:00Z",
    ]
    assert x.asked[1].params["until_id"] == str(made)


def test_a_start_time_out_of_reach_is_moved_up(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """Recent search refuses a start more than 7 days ago, so a first poll asks for as much as there is."""
    books.checkpoint = Checkpoint(start_time=NOW - timedelta(days=30))
    x.answers({"meta": {"result_count": 0}})
    poll(client, "coffee", books, sink, clock=clock)
    assert x.asked[0].params["start_time"] == "2026-02-22T12:01:00Z"


def test_an_expired_token_is_replaced_by_the_oldest_id(
    x: Any, client: XClient, books: Any, sink: Any
) -> None:
    """If X no longer accepts a next_token, nothing is lost: the poll asks below the oldest id."""
    x.answers({"data": [{"id": "9"}, {"id": "8"}], "meta": {"next_token": "old"}})
    x.answers({"errors": [{"message": "expired", "parameters": {"next_token": ["old"]}}]}, 400)
    x.answers({"data": [{"id": "7"}], "meta": {}})
    result = poll(client, "coffee", books, sink, clock=clock)
    assert x.asked[2].params["until_id"] == "8"
    assert (sink.ids, result.ended) == ([9, 8, 7], "last_page")


def test_other_refusals_are_passed_on(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """A query that X refuses ends the poll with its error."""
    x.answers({"errors": [{"message": "bad operator", "parameters": {"query": ["a"]}}]}, 400)
    with pytest.raises(InvalidRequest, match="bad operator"):
        poll(client, "coffee", books, sink, clock=clock)


def test_a_rate_limit_in_the_middle_keeps_what_was_acknowledged(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """A 429 on the second page leaves the first in the books, so that the poll resumes below it."""
    x.behaves(emulator(tweets(1, 20), honours=AS_X)).answers(b"", 429).behaves(
        emulator(tweets(1, 20), honours=AS_X)
    )
    with pytest.raises(RateLimited):
        run(client, books, sink)
    assert ids_of(books) == (None, TOP + 11, TOP + 20)
    run(client, books, sink)
    assert sink.ids == tweets(20, 1)


def test_a_spent_budget_stops_the_poll_before_the_request(
    x: Any, client: XClient, books: Any, sink: Any, emulator: Any
) -> None:
    """The request that could pass the budget is not sent; what was fetched before is kept."""
    books.budget_usd = Decimal("0.20")
    x.behaves(emulator(tweets(1, 30), honours=AS_X))
    with pytest.raises(BudgetSpent):
        run(client, books, sink)
    assert len(x.asked) == 2
    assert books.spent_usd == Decimal("0.10")
    assert len(sink.ids) == 20


def test_a_timeline_is_polled_the_same_way(x: Any, client: XClient, books: Any, sink: Any) -> None:
    """A user's timeline ends up in envelopes of source "timeline"."""
    x.answers({"data": [{"id": "9"}], "meta": {"next_token": "n"}})
    x.answers({"data": [{"id": "8"}], "meta": {}})
    poll(client, Timeline(12, exclude=("retweets",)), books, sink, clock=clock)
    assert [asked.params.get("pagination_token") for asked in x.asked] == [None, "n"]
    provenance = msgspec.json.decode(sink.messages[0].value)["provenance"]
    assert (provenance["source"], provenance["endpoint"]) == ("timeline", "/2/users/:id/tweets")


REFUSALS = {
    "protected": ("Authorization Error", "not-authorized-for-resource", "protected"),
    "suspended": ("Forbidden", "resource-not-found", "suspended"),
    "gone": ("Not Found Error", "resource-not-found", "gone"),
}


@pytest.mark.parametrize(("title", "kind", "state"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("meta", [{}, {"meta": {"result_count": 0}}], ids=["without meta", "with meta"])
def test_a_timeline_that_x_does_not_show_is_a_state_of_its_account(
    x: Any, client: XClient, books: Any, sink: Any, title: str, kind: str, state: str, meta: dict[str, Any]
) -> None:
    """Errors that all name the account are what X says about it: the poll stays unfinished, since_id where it was."""
    books.checkpoint = before = Checkpoint(since_id=TOP)
    error = {"resource_id": "12", "title": title, "type": f"https://api.x.com/2/problems/{kind}"}
    x.answers({"errors": [error], **meta})
    result = poll(client, Timeline(12), books, sink, clock=clock)
    assert (result.ended, result.is_finished, result.state.state) == ("account_state", False, state)
    assert (books.checkpoint, len(x.asked)) == (before, 1)
    assert msgspec.json.decode(sink.messages[0].value)["errors"][0]["title"] == title


@pytest.mark.parametrize(
    "errors",
    [
        [{"resource_id": "13", "type": "https://api.x.com/2/problems/resource-not-found"}],
        [{"resource_id": "12", "type": "https://api.x.com/2/problems/resource-unavailable"}],
        [
            {"resource_id": "12", "type": "https://api.x.com/2/problems/resource-not-found"},
            {"message": "Internal error", "code": 131},
        ],
    ],
    ids=["another account", "a passing error", "and an internal error"],
)
def test_other_errors_say_nothing_about_the_account(
    x: Any, client: XClient, books: Any, sink: Any, errors: list[Any]
) -> None:
    """An answer whose errors do not all name the requested account has failed."""
    x.answers({"errors": errors})
    with pytest.raises(UnprovenAnswer):
        poll(client, Timeline(12), books, sink, clock=clock)


def test_page_and_bound_are_checked_first(client: XClient, books: Any, sink: Any) -> None:
    """A poll of no pages is refused before anything is asked."""
    with pytest.raises(ValueError, match="max_pages"):
        poll(client, "coffee", books, sink, max_pages=0)


def test_the_time_in_an_id_is_believed_only_where_it_can_be() -> None:
    """A recent snowflake tells its time; a small id and one from the future do not."""
    assert made_at(id_at(NOW), NOW) == NOW
    assert made_at(1042, NOW) is None
    assert made_at(2**63 - 1, NOW) is None
    assert earlier(1042, timedelta(days=1), NOW) == 1042
