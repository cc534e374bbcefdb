"""A turn of a rule against a scripted X, in place of the adapter: no client, no HTTP."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.sinks import RememberingSink
from twitter_pipeline.collection import asking, kinds, pages, rules
from twitter_pipeline.collection.accounts import LookedUp
from twitter_pipeline.collection.asking import AccountState, Polled, Refetched
from twitter_pipeline.collection.collect import CollectionFailed, RuleParked, collect_rule
from twitter_pipeline.collection.kind import Target
from twitter_pipeline.collection.lease import RuleWaits, lease_rule

NOW = datetime.now(UTC)
AHEAD = timedelta(seconds=90)
"""How far the scripted X's clock is ahead of ours."""
NAMES = [f"user{number}" for number in range(10)]


def did(**given: Any) -> Polled:
    return Polled(
        **{
            "pages": 1,
            "tweets": 2,
            "newest_id": 9,
            "ended": "last_page",
            "cost_usd": Decimal("0.01"),
            **given,
        }
    )


@dataclass
class ScriptedX:
    """Answers by subject of the target; an exception in the script is raised. Looks up every name as its number."""

    polls: dict[str, Polled | Exception] = field(default_factory=dict)
    refetches: list[Refetched | Exception] = field(default_factory=list)
    lookups: Callable[[list[str]], LookedUp] = lambda names: LookedUp({n: int(n[4:]) for n in names})
    base_url: str = "http://127.0.0.1:1"
    asked: list[tuple[Target, dict[str, Any]]] = field(default_factory=list)
    starts: list[datetime | None] = field(default_factory=list)

    def server_now(self, now: datetime) -> datetime:
        return now + AHEAD

    def poll(self, target: Target, ledger: Any, sink: Any, **how: Any) -> Polled:
        self.asked.append((target, how))
        self.starts.append(ledger.resume().start_time)
        return self._or_raise(self.polls.get(target.subject, did()))

    def refetch(self, tweet_ids: Any, ledger: Any, sink: Any, *, rule: str) -> Refetched:
        return self._or_raise(self.refetches.pop(0))

    def look_up(self, usernames: Any, ledger: Any) -> LookedUp:
        return self.lookups(list(usernames))

    def subjects(self) -> list[str]:
        return [target.subject for target, _ in self.asked]

    @staticmethod
    def _or_raise(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def x() -> ScriptedX:
    return ScriptedX()


@pytest.fixture
def connection(postgres: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def turn(x: ScriptedX, connection: Any, mongo: Any) -> Callable[..., Polled]:
    """Take a turn of rule r, which asks for what the field of a kind says."""

    def take(budget_usd: Decimal | None = None, **fields: Any) -> Polled:
        [kind] = [each for each in kinds.KINDS.values() if each.field in fields]
        given = {"kind": kind.name, "spec": Jsonb(kind.parse(fields.pop(kind.field))), **fields}
        names, places = ", ".join(given), ", ".join(f"%({name})s" for name in given)
        changes = ", ".join(f"{name} = excluded.{name}" for name in given)
        connection.execute(
            f"insert into pipeline.rules (name, {names}) values ('r', {places})"
            f" on conflict (name) do update set {changes}".encode(),
            given,
        )
        with lease_rule(connection, "r", "this test") as lease:
            return collect_rule(
                rules.find(connection, "r"),
                x,
                connection,
                mongo.database,
                RememberingSink(),
                lease,
                budget_usd=budget_usd,
                max_pages=7,
                clock=lambda: NOW,
            )

    return take


def row(connection: Any, query: str) -> Any:
    return connection.execute(query.encode()).fetchone()


def test_a_search_is_polled_as_its_rule_says(x: ScriptedX, turn: Any) -> None:
    """Page size, overlap and page limit; the turn returns what the poll did."""
    assert turn(query="tea", page_size=20, overlap_seconds=5) == did()
    [(target, how)] = x.asked
    assert (target.endpoint, target.parameters) == ("search_recent", {"query": "tea"})
    assert (how["rule"], how["page_size"], how["max_pages"]) == ("r", 20, 7)
    assert how["overlap"] == timedelta(seconds=5)


def test_a_turn_over_accounts_sums_its_polls(x: ScriptedX, turn: Any) -> None:
    """Pages, tweets and money add up, the newest id is the highest, and one unfinished poll leaves the turn unfinished."""
    x.polls = {"0": did(newest_id=None), "1": did(newest_id=30, ended="max_pages", is_finished=False)}
    assert turn(accounts=NAMES[:3]) == Polled(3, 6, 30, "max_pages", Decimal("0.03"), is_finished=False)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"query": "tea"}, None),
        ({"query": "tea", "first_poll_days": 2}, NOW + AHEAD - timedelta(days=2)),
        ({"accounts": ["user1"]}, NOW + AHEAD - timedelta(days=7)),
        ({"accounts": ["user1"], "first_poll_days": 7300}, None),
    ],
)
def test_a_first_poll_reaches_back_as_its_rule_says(
    x: ScriptedX, turn: Any, fields: dict[str, Any], start: datetime | None
) -> None:
    """By X's clock; a poll that reaches back as far as its kind allows leaves the start to X."""
    turn(**fields)
    assert x.starts == [start]


def test_a_rate_limit_ends_the_turn_and_gives_the_rule_back(x: ScriptedX, turn: Any, connection: Any) -> None:
    """Due a second after the reset, without an error; the account that met the limit goes to the end of the queue."""
    reset = datetime.now(UTC) + timedelta(minutes=5)
    x.polls = {"1": asking.RateLimited("used up", reset)}
    with pytest.raises(RuleWaits, match="'r' waits: used up"):
        turn(accounts=NAMES[:3])
    assert x.subjects() == ["0", "1"]
    assert row(connection, "select next_due_at, last_error from pipeline.rules") == (
        reset + timedelta(seconds=1),
        None,
    )


@pytest.mark.parametrize(
    "stopped",
    [asking.CredentialsRefused("no", 401), asking.SpendingStopped("no"), asking.AddressRefused("no")],
    ids=repr,
)
def test_what_concerns_all_items_ends_the_turn(
    x: ScriptedX, turn: Any, connection: Any, stopped: asking.XError
) -> None:
    """The others are not polled; the rule's error begins with the name that alerts look for."""
    x.polls = {"0": stopped}
    with pytest.raises(type(stopped)):
        turn(accounts=NAMES[:3])
    assert x.subjects() == ["0"]
    assert row(connection, "select last_error from pipeline.rules") == (f"{type(stopped).__name__}: no",)


@pytest.mark.parametrize(
    "failed",
    [
        asking.XError("no"),
        asking.TryAgain("no"),
        asking.InvalidRequest("no"),
        asking.CredentialsRefused("no", 403),
    ],
    ids=repr,
)
def test_one_account_that_fails_holds_up_no_other(
    x: ScriptedX, turn: Any, connection: Any, failed: asking.XError
) -> None:
    """Its failure is recorded with it and raised at the end; the rule is not parked."""
    x.polls = {"1": failed}
    with pytest.raises(CollectionFailed) as told:
        turn(accounts=NAMES[:3])
    assert x.subjects() == ["0", "1", "2"]
    assert [each.__notes__ for each in told.value.exceptions] == [["account user1"]]
    failures = connection.execute(
        "select username, last_failure from pipeline.accounts order by 1"
    ).fetchall()
    assert failures == [("user0", None), ("user1", f"{type(failed).__name__}: no"), ("user2", None)]
    assert row(connection, "select parked_at from pipeline.rules") == (None,)


def test_an_x_that_is_down_is_not_asked_for_every_account(x: ScriptedX, turn: Any, connection: Any) -> None:
    """Five failures in a row are enough; the rule is due when the longest of the waits that X asked for is over."""
    waits = [timedelta(minutes=minutes) for minutes in (1, 9, 2, 3, 4)]
    x.polls = {str(number): asking.TryAgain("503", wait) for number, wait in enumerate(waits)}
    with pytest.raises(CollectionFailed) as told:
        turn(accounts=NAMES)
    assert len(told.value.exceptions) == len(x.asked) == 5
    assert row(connection, "select next_due_at from pipeline.rules") == (NOW + timedelta(minutes=9),)


def test_an_answer_between_failures_restarts_the_count(x: ScriptedX, turn: Any) -> None:
    """Eight of ten accounts fail, never five in a row: all are asked for."""
    x.polls = {str(number): asking.TryAgain("503") for number in range(10) if number not in (4, 9)}
    with pytest.raises(CollectionFailed) as told:
        turn(accounts=NAMES)
    assert (len(x.asked), len(told.value.exceptions)) == (10, 8)


def test_a_refused_query_parks_the_rule_and_an_outage_does_not(
    x: ScriptedX, turn: Any, connection: Any
) -> None:
    """Only X's verdict about the request is final."""
    x.polls = {"search tea": asking.TryAgain("503")}
    with pytest.raises(CollectionFailed):
        turn(query="tea")
    assert row(connection, "select parked_reason from pipeline.rules") == (None,)
    x.polls = {"search tea": asking.InvalidRequest("no such operator")}
    with pytest.raises(RuleParked, match="X refuses its query: no such operator"):
        turn(query="tea")
    assert row(connection, "select parked_reason from pipeline.rules") == ("no such operator",)


@pytest.mark.parametrize(("state", "again"), [("gone", 1), ("protected", 0), ("suspended", 0)])
def test_what_x_says_about_an_account_is_recorded_with_it(
    x: ScriptedX, turn: Any, connection: Any, state: str, again: int
) -> None:
    """It is neither a failure nor a successful read; a name whose id is dead is looked up again at the next turn."""
    looked_up: list[list[str]] = []
    x.lookups = lambda names: looked_up.append(names) or LookedUp({n: int(n[4:]) for n in names})  # type: ignore[func-returns-value]
    x.polls = {"1": did(tweets=0, newest_id=None, state=AccountState(state, "X's words"))}
    turn(accounts=["user1"])
    look = "select state, state_reason, last_failure from pipeline.accounts"
    assert row(connection, look) == (state, "X's words", None)
    assert row(connection, "select last_polled_at from pipeline.rules") == (None,)
    turn(accounts=["user1"])
    assert len(looked_up) == 1 + again


def test_names_that_fail_a_lookup_are_found_by_bisection(x: ScriptedX, turn: Any, connection: Any) -> None:
    """Two of ten: both are refused with X's reason, the other eight are read."""

    def look_up(names: list[str]) -> LookedUp:
        if {"user3", "user8"} & set(names):
            raise asking.InvalidRequest("usernames")
        return LookedUp({name: int(name[4:]) for name in names})

    x.lookups = look_up
    turn(accounts=NAMES)
    assert sorted(map(int, x.subjects())) == [0, 1, 2, 4, 5, 6, 7, 9]
    refused = connection.execute(
        "select username from pipeline.accounts where state = 'disallowed' order by 1"
    )
    assert refused.fetchall() == [("user3",), ("user8",)]


def test_a_lookup_that_fails_leaves_known_accounts_readable(x: ScriptedX, turn: Any) -> None:
    """The unknown name is reported as unanswered along with the outage; the other accounts do not wait for it."""
    turn(accounts=["user1"])

    def away(names: list[str]) -> LookedUp:
        raise asking.TryAgain("503")

    x.lookups, x.asked = away, []
    with pytest.raises(CollectionFailed) as told:
        turn(accounts=["user1", "user2"])
    assert x.subjects() == ["1"]
    assert [str(each) for each in told.value.exceptions] == [
        "503",
        "account user2: X did not say which user this is",
    ]


def lose_pages(connection: Any, *tweet_ids: int) -> None:
    for tweet_id in tweet_ids:
        connection.execute(
            "insert into pipeline.pages (request_id, rule, source, endpoint, params, tweet_ids, topic, topic_id, offsets,"
            " observed_at, state) values (%s, 'r', 'search', '/', '{}', %s, 't', 'i', '{}', now(), 'lost')",
            (f"page-{tweet_id}", [tweet_id]),
        )


def test_lost_pages_come_first_and_what_x_refuses_of_them_is_a_gap(
    x: ScriptedX, turn: Any, connection: Any
) -> None:
    """Each page is requested once per turn, as long as X answers at all."""
    lose_pages(connection, 1, 2, 3)
    x.refetches = [
        Refetched(frozenset({1}), {}, frozenset()),
        Refetched(frozenset(), {2: "Not Found Error"}, frozenset()),
        Refetched(frozenset(), {}, frozenset({3})),
    ]
    turn(query="tea")
    states = connection.execute("select request_id, state from pipeline.pages order by 1").fetchall()
    assert states == [("page-1", "refetched"), ("page-2", "gone"), ("page-3", "lost")]
    assert row(connection, "select kind, rule, tweet_ids from pipeline.gaps") == ("tweets", "r", [2])
    assert len(x.asked) == 1


def test_a_lost_page_that_cannot_be_fetched_now_delays_nothing(
    x: ScriptedX, turn: Any, connection: Any
) -> None:
    """Neither the next lost page nor the poll; the turn raises the failure at its end."""
    lose_pages(connection, 1, 2)
    x.refetches = [asking.InvalidRequest("400"), Refetched(frozenset({2}), {}, frozenset())]
    with pytest.raises(CollectionFailed) as told:
        turn(query="tea")
    assert told.value.exceptions[0].__notes__ == ["lost page page-1"]
    assert [each.request_id for each in pages.lost(connection, "r")] == ["page-1"]
    assert x.subjects() == ["search tea"]


def test_a_rule_that_asks_for_something_else_leaves_its_history_where_it_is(
    x: ScriptedX, turn: Any, connection: Any
) -> None:
    """Another query abandons the previous search; accounts do not, and a search does not abandon them."""
    for subject in ("search tea", "1"):
        connection.execute(
            "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"tea\"}') on conflict do nothing"
        )
        connection.execute(
            "insert into pipeline.checkpoints (rule, subject, since_id) values ('r', %s, 5)", (subject,)
        )
    abandoned = "select array_agg(subject) from pipeline.checkpoints where abandoned_at is not null"
    turn(accounts=["user1"])
    assert row(connection, abandoned) == (None,)
    turn(query="mugs")
    assert row(connection, abandoned) == (["search tea"],)
    turn(query="tea")
    assert row(connection, abandoned) == (None,)


def test_without_a_budget_an_x_that_costs_is_asked_for_nothing(x: ScriptedX, turn: Any) -> None:
    """Whatever starts the turn: the address decides here what may be spent."""
    x.base_url = "https://93.184.215.14"
    left: list[Decimal | None] = []
    poll = x.poll
    x.poll = lambda target, ledger, sink, **how: (
        left.append(ledger.left_usd()) or poll(target, ledger, sink, **how)
    )  # type: ignore[func-returns-value,method-assign]
    turn(query="tea")
    turn(query="tea", budget_usd=Decimal(5))
    x.base_url = "http://127.0.0.1:1"
    turn(query="tea")
    assert left == [Decimal(0), Decimal(5), None]
