"""Collection in PostgreSQL: the hard stop holds across processes, checkpoints have two phases, pages are settled."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from twitter_pipeline.collection import accounts, budget, pages
from twitter_pipeline.collection.accounts import LookedUp
from twitter_pipeline.collection.kind import Target
from twitter_pipeline.collection.lease import LeaseHeld, lease_rule
from twitter_pipeline.collection.ledgers import Checkpoint, PollLedger, RefetchLedger
from twitter_pipeline.streaming import cursors

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEARCH = Target("search_recent", {"query": "x"}, "search x", "search", succeeds="search ")


@pytest.fixture
def connection(postgres: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(
            "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"x\"}')"
        )
        yield connection


def test_the_hard_stop_holds_across_processes(postgres: Any, connection: Any) -> None:
    """Of eight concurrent requests on a budget for five, exactly five may be sent, and the refusal names the setting."""

    def ask(_: int) -> bool:
        with psycopg.connect(postgres.dsn, autocommit=True) as own:
            try:
                budget.reserve(own, "/2/tweets/search/recent", Decimal("1"), Decimal("5"), "r")
            except budget.BudgetExceeded as refused:
                return "X_BUDGET_USD" not in str(refused)
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 5
    assert budget.spent_this_month(connection) == 5


def test_an_unanswered_reservation_counts_in_full_and_a_settled_one_at_its_cost(connection: Any) -> None:
    """The sum is never too low, and last month does not count."""
    first = budget.reserve(connection, "/", Decimal("1.5"), Decimal("2"), "r")
    with pytest.raises(budget.BudgetExceeded):
        budget.reserve(connection, "/", Decimal("1.5"), Decimal("2"), "r")
    budget.settle(connection, first, Decimal("0.5"))
    budget.reserve(connection, "/", Decimal("1.5"), Decimal("2"), "r")
    connection.execute("update pipeline.spend set reserved_at = reserved_at - interval '32 days'")
    assert budget.spent_this_month(connection) == 0


def test_play_money_is_not_counted(connection: Any) -> None:
    """Without a budget nothing is counted, so a budget that is set later is complete."""
    budget.settle(connection, budget.reserve(connection, "/", Decimal("99"), None, "r"), Decimal("99"))
    assert budget.spent_this_month(connection) == 0


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("http://127.0.0.1:18081", None, None),
        ("http://10.0.0.7:8080", None, None),
        ("https://93.184.215.14", None, Decimal(0)),
        ("https://no-such-host.invalid", None, Decimal(0)),
        ("https://93.184.215.14", Decimal(5), Decimal(5)),
        ("http://127.0.0.1:18081", Decimal(5), Decimal(5)),
    ],
)
def test_without_a_budget_nothing_may_be_spent_where_it_could_cost(
    connection: Any, url: str, given: Decimal | None, expected: Decimal | None
) -> None:
    """However the collector was started: nothing is sent to an address outside this machine and network."""
    limit = budget.limit(url, given)
    assert limit == expected
    if limit == 0:
        with pytest.raises(budget.BudgetExceeded):
            budget.reserve(connection, "/2/tweets/search/recent", Decimal("0.5"), limit, "r")


def page(number: int, ids: list[int], topic_id: str = "t", last: int = 9, **more: Any) -> dict[str, Any]:
    return {
        "request_id": f"page-{number}",
        "endpoint": "/2/tweets/search/recent",
        "params": {"query": "x"},
        "tweet_ids": ids,
        "topic": "raw-tweets",
        "topic_id": topic_id,
        "offsets": {0: last},
        "observed_at": NOW,
        **more,
    }


def test_a_checkpoint_moves_below_acknowledged_pages_and_up_only_at_the_end(
    connection: Any, mongo: Any
) -> None:
    """Phase one stores the oldest acknowledged id, phase two the newest of the whole poll, and never moves back."""
    with lease_rule(connection, "r", "me") as lease:
        poll = PollLedger(connection, mongo.database, lease, SEARCH)
        assert poll.resume() == Checkpoint()
        poll.page_acknowledged(**page(1, [30, 20]), poll_newest_id=30, resume_until_id=20)
        assert poll.resume() == Checkpoint(since_id=None, until_id=20, newest_id=30)
        poll.page_acknowledged(**page(2, [15, 10]), poll_newest_id=30, resume_until_id=10)
        poll.poll_finished(30)
        assert poll.resume() == Checkpoint(since_id=30)
        poll.poll_finished(25)
        assert poll.resume() == Checkpoint(since_id=30)


def test_a_ledger_whose_lease_was_taken_writes_nothing(connection: Any, mongo: Any) -> None:
    """A frozen collector that wakes up after a takeover is skipped."""
    with pytest.raises(LeaseHeld), lease_rule(connection, "r", "frozen") as lease:
        connection.execute("update pipeline.rules set leased_by = 'another'")
        poll = PollLedger(connection, mongo.database, lease, SEARCH)
        poll.page_acknowledged(**page(1, [30]), poll_newest_id=30, resume_until_id=30)
    assert connection.execute("select count(*) from pipeline.pages").fetchone() == (0,)


def test_every_request_is_recorded_and_its_cost_settled(connection: Any, mongo: Any) -> None:
    """Failed requests too, with parameters, rate limit and error."""
    with lease_rule(connection, "r", "me") as lease:
        poll = PollLedger(connection, mongo.database, lease, SEARCH, budget_usd=Decimal("2"))
        reservation = poll.may_spend("/2/tweets/search/recent", Decimal("1.5"))
        poll.record_request(
            reservation,
            request_id="q1",
            endpoint="/2/tweets/search/recent",
            params={"query": "x"},
            status=503,
            rate_limit={"limit": 450, "remaining": 449},
            result_count=0,
            cost_usd=Decimal("0"),
            observed_at=NOW,
            error="X answered 503",
        )
    recorded = mongo.database.api_requests.find_one({"_id": "q1"})
    assert (recorded["status"], recorded["error"], recorded["params"]) == (
        503,
        "X answered 503",
        {"query": "x"},
    )
    assert budget.spent_this_month(connection) == 0


def test_pages_are_settled_by_landing_lost_with_their_topic_and_fetched_again(
    connection: Any, mongo: Any
) -> None:
    """Tweets that X no longer returns become a gap row with their ids."""
    with lease_rule(connection, "r", "me") as lease:
        poll = PollLedger(connection, mongo.database, lease, SEARCH)
        poll.page_acknowledged(**page(1, [1, 2], last=4), poll_newest_id=2, resume_until_id=1)
        poll.page_acknowledged(**page(2, [3, 4], last=9), poll_newest_id=4, resume_until_id=1)
    cursors.declare(connection, "land", "raw-tweets", "t", {0: 0})
    connection.execute("update pipeline.cursors set next_offset = 5")
    assert pages.settle(connection, "raw-tweets", "t") == {"settled": 1, "lost": 0}
    assert pages.settle(connection, "raw-tweets", "another") == {"settled": 0, "lost": 1}
    (lost,) = pages.lost(connection, "r")
    assert (lost.request_id, lost.tweet_ids) == ("page-2", [3, 4])
    RefetchLedger(connection, mongo.database, "r", None).page_acknowledged(**page(3, [3], topic_id="another"))
    assert pages.refetched(connection, lost, {3}, {4: "Not Found Error"}) == [4]
    assert pages.lost(connection, "r") == []
    assert connection.execute("select kind, tweet_ids from pipeline.gaps").fetchall() == [("tweets", [4])]


def test_tweets_that_x_does_not_answer_for_are_requested_ten_times(connection: Any, mongo: Any) -> None:
    """Silence says nothing about a tweet; the page stays lost for its open ids, which are given up in the end."""
    with lease_rule(connection, "r", "me") as lease:
        poll = PollLedger(connection, mongo.database, lease, SEARCH)
        poll.page_acknowledged(**page(1, [1, 2, 3]), poll_newest_id=3, resume_until_id=1)
    assert pages.settle(connection, "raw-tweets", "another") == {"settled": 0, "lost": 1}
    (lost,) = pages.lost(connection, "r")
    assert pages.refetched(connection, lost, {1}, {}, {2, 3}) == []
    for _ in range(8):
        (lost,) = pages.lost(connection, "r")
        assert lost.tweet_ids == [2, 3]
        assert pages.refetched(connection, lost, set(), {}, {2, 3}) == []
    assert pages.refetched(connection, lost, set(), {}, {2, 3}) == [2, 3]
    assert pages.lost(connection, "r") == []
    gap = connection.execute("select tweet_ids, reason like '%did not answer%' from pipeline.gaps").fetchone()
    assert gap == ([2, 3], True)


def test_a_page_in_a_gap_of_the_log_is_lost_and_not_settled(connection: Any, mongo: Any) -> None:
    """Landing's cursor passed it without reading it."""
    with lease_rule(connection, "r", "me") as lease:
        poll = PollLedger(connection, mongo.database, lease, SEARCH)
        poll.page_acknowledged(**page(1, [1, 2], last=4), poll_newest_id=2, resume_until_id=1)
    cursors.declare(connection, "land", "raw-tweets", "t", {0: 0})
    connection.execute("update pipeline.cursors set next_offset = 8")
    connection.execute(
        "insert into pipeline.gaps (kind, topic_id, partition, from_offset, to_offset, reason)"
        " values ('offsets', 't', 0, 3, 8, 'retention')"
    )
    assert pages.settle(connection, "raw-tweets", "t") == {"settled": 0, "lost": 1}


NOBODY = {"nobody": ("gone", "Not Found Error")}


def test_account_names_are_asked_for_once_and_unknown_ones_again_after_a_day(connection: Any) -> None:
    """Each lookup costs a user read."""
    asked: list[list[str]] = []

    def look_up(names: list[str]) -> LookedUp:
        asked.append(names)
        return LookedUp({"alice": 7} if "alice" in names else {}, NOBODY)

    def resolved(names: list[str], now: datetime) -> list[tuple[str, int]]:
        return [
            (each.username, each.user_id)
            for each in accounts.resolve(connection, names, look_up, now).accounts
        ]

    assert resolved(["Alice", "nobody"], NOW) == [("alice", 7)]
    assert resolved(["alice", "nobody"], NOW) == [("alice", 7)]
    assert resolved(["alice", "nobody"], NOW + timedelta(days=2)) == [("alice", 7)]
    assert asked == [["alice", "nobody"], ["nobody"]]
    state = connection.execute("select state, state_reason from pipeline.accounts where username = 'nobody'")
    assert state.fetchone() == ("gone", "Not Found Error")


def test_a_name_that_another_took_over_says_so(connection: Any) -> None:
    """An id that X no longer knows is resolved again; another id under the same name is a different user."""
    accounts.resolve(connection, ["alice"], lambda _: LookedUp({"alice": 7}), NOW)
    accounts.id_is_dead(connection, "alice", "Not Found Error", now=NOW)
    found = accounts.resolve(connection, ["alice"], lambda _: LookedUp({"alice": 9}), NOW)
    assert [each.user_id for each in found.accounts] == [9]
    accounts.note_read(connection, "alice", "alice", NOW + timedelta(hours=1))
    look = "select state, state_since, previous_user_id, user_id from pipeline.accounts"
    assert connection.execute(look).fetchone() == ("taken over", NOW, 7, 9)


def test_a_renamed_account_is_still_read_and_says_so(connection: Any) -> None:
    """The id stays; the time since it has another name is kept, even while nothing new arrives."""
    accounts.resolve(connection, ["alice"], lambda _: LookedUp({"alice": 7}), NOW)
    for hours, name in enumerate(["Alice", "Alice_Two", None, "Alice_Two"]):
        accounts.note_read(connection, "alice", name, NOW + timedelta(hours=hours))
    look = "select state, state_since, state_reason, current_username from pipeline.accounts"
    assert connection.execute(look).fetchone() == (
        "renamed",
        NOW + timedelta(hours=1),
        "the account goes by @Alice_Two now",
        "Alice_Two",
    )
    accounts.note_read(connection, "alice", "alice", NOW + timedelta(hours=9))
    assert connection.execute(look).fetchone() == (None, None, None, "alice")


@pytest.mark.parametrize("state", ["protected", "suspended", "disallowed"])
def test_an_account_that_x_does_not_show_is_tried_daily(connection: Any, state: str) -> None:
    """Its state keeps the time it began; a successful read ends it."""
    accounts.resolve(connection, ["alice", "bob"], lambda _: LookedUp({"alice": 7, "bob": 8}), NOW)
    accounts.note_state(connection, "alice", state, "X's words", now=NOW)
    accounts.note_state(connection, "alice", state, "X's words", now=NOW + timedelta(hours=1))

    def names(now: datetime) -> list[str]:
        return [
            each.username for each in accounts.resolve(connection, ["alice", "bob"], LookedUp, now).accounts
        ]

    assert names(NOW + timedelta(hours=2)) == ["bob"]
    assert names(NOW + timedelta(hours=26)) == ["alice", "bob"]
    assert connection.execute(
        "select state_since from pipeline.accounts where state = %s", (state,)
    ).fetchone() == (NOW,)
    accounts.note_read(connection, "alice", None, NOW + timedelta(hours=26))
    assert connection.execute(
        "select count(*) from pipeline.accounts where state is not null"
    ).fetchone() == (0,)


def test_the_least_recently_served_accounts_come_first(connection: Any) -> None:
    """Whatever the outcome was."""
    ids = {"alice": 7, "bob": 8, "carl": 9}
    accounts.resolve(connection, list(ids), lambda _: LookedUp(ids), NOW)
    for minute, name in enumerate(["carl", "alice"]):
        accounts.note_served(connection, name, NOW + timedelta(minutes=minute))
    found = accounts.resolve(connection, list(ids), LookedUp, NOW)
    assert [each.username for each in found.accounts] == ["bob", "carl", "alice"]
