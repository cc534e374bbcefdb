"""What a request may have cost stays recorded, and requests of unknown outcome are not repeated without end."""

import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from twitter_pipeline.cli import main
from twitter_pipeline.collection import budget, circuits, settlement
from twitter_pipeline.collection.ledgers import RequestLedger

SEARCH = "/2/tweets/search/recent"
API = "https://api.x.com 0123456789ab"
PRICE, BUDGET = Decimal("1.5"), Decimal("100")
TODAY = datetime.now(UTC).replace(hour=12)


def reserve(connection: Any, rule: str = "r", price: Decimal = PRICE, **more: Any) -> str:
    return budget.reserve(connection, SEARCH, price, BUDGET, rule, **{"api": API, **more})


def unknown(connection: Any, rule: str = "r") -> None:
    budget.keep(connection, reserve(connection, rule))


def wait_is_over(connection: Any) -> None:
    connection.execute("update pipeline.circuits set probe_at = now()")


def test_three_unknown_outcomes_of_different_rules_and_processes_open_one_circuit(
    postgres: Any, connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each on its own connection; it is logged once, and another token is not affected."""
    with caplog.at_level(logging.ERROR):
        for rule in ("first", "second", "third"):
            with psycopg.connect(postgres.dsn, autocommit=True) as own:
                unknown(own, rule)
        with pytest.raises(circuits.CircuitOpen) as refused:
            reserve(connection, "fourth")
    assert timedelta(minutes=14) < refused.value.probe_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert len(caplog.records) == 1
    assert budget.spent_this_month(connection) == 3 * PRICE
    reserve(connection, api="https://api.x.com another-token")
    (circuit,) = circuits.open_circuits(connection)
    assert (circuit.api, circuit.unknown_in_a_row) == (API, 3)


def test_a_success_between_them_restarts_the_count(connection: Any) -> None:
    """Only consecutive ones count; a refusal by X, which costs nothing, is not a success."""
    unknown(connection)
    unknown(connection)
    budget.settle(connection, reserve(connection), Decimal("0.5"), result_count=100)
    unknown(connection)
    unknown(connection)
    budget.settle(connection, reserve(connection), Decimal(0), is_answer=False)
    assert circuits.open_circuits(connection) == []
    unknown(connection)
    assert len(circuits.open_circuits(connection)) == 1


def test_a_process_killed_in_a_request_counts_at_once(postgres: Any, connection: Any) -> None:
    """Its reservation records the backend that made it, so three killed attempts of a task count as three."""
    context = multiprocessing.get_context("fork")
    for killed in range(3):
        assert len(circuits.open_circuits(connection)) == 0, killed
        process = context.Process(target=reserve_and_die, args=(postgres.dsn,))
        process.start()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    eventually(lambda: is_refused(connection))  # PostgreSQL notices a moment later that a client is gone
    assert budget.spent_this_month(connection) == 3 * PRICE


def is_refused(connection: Any) -> bool:
    try:
        budget.settle(connection, reserve(connection, price=Decimal("0.5")), Decimal(0), is_answer=False)
    except circuits.CircuitOpen:
        return True
    return False


def eventually(holds: Callable[[], Any]) -> None:
    ends_at = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def reserve_and_die(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as own:
        reserve(own)
        os.kill(os.getpid(), signal.SIGKILL)


def test_one_probe_is_sent_at_a_time_and_its_wait_doubles_up_to_a_day(postgres: Any, connection: Any) -> None:
    """While one is under way the next is refused; each unknown probe doubles the wait."""
    for _ in range(3):
        unknown(connection)
    wait = timedelta(minutes=15)
    for _ in range(9):
        wait_is_over(connection)
        probe = reserve(connection)
        with psycopg.connect(postgres.dsn, autocommit=True) as other, pytest.raises(circuits.CircuitOpen):
            reserve(other)
        budget.keep(connection, probe)
        wait = min(wait * 2, timedelta(days=1))
        (circuit,) = circuits.open_circuits(connection)
        assert abs(circuit.probe_at - datetime.now(UTC) - wait) < timedelta(seconds=30)
    assert wait == timedelta(days=1)


def test_a_successful_probe_closes_the_circuit_and_a_refused_one_allows_the_next_probe(
    connection: Any,
) -> None:
    """A refusal costs nothing, so the next probe may be sent at once, by any rule."""
    for _ in range(3):
        unknown(connection)
    wait_is_over(connection)
    budget.settle(connection, reserve(connection, "has a bad query"), Decimal(0), is_answer=False)
    budget.settle(connection, reserve(connection, "works"), Decimal("0.5"))
    assert circuits.open_circuits(connection) == []
    reserve(connection)
    reserve(connection)


def test_a_killed_probe_counts_as_unknown(postgres: Any, connection: Any) -> None:
    """It does not block the next probe forever."""
    for _ in range(3):
        unknown(connection)
    wait_is_over(connection)
    with psycopg.connect(postgres.dsn, autocommit=True) as killed:
        reserve(killed)
    eventually(lambda: is_refused(connection) and circuits.open_circuits(connection)[0].probe is None)
    (circuit,) = circuits.open_circuits(connection)
    assert circuit.probe_at - datetime.now(UTC) > timedelta(minutes=29)


def test_a_free_request_passes_an_open_circuit_and_does_not_close_it(connection: Any) -> None:
    """X's usage figures cost nothing, so they say nothing about requests that do."""
    for _ in range(3):
        unknown(connection)
    budget.settle(connection, reserve(connection, price=Decimal(0)), Decimal(0))
    assert len(circuits.open_circuits(connection)) == 1


def test_while_a_circuit_is_open_the_smallest_page_is_asked_for(connection: Any, mongo: Any) -> None:
    """The ledger tells the client how much to ask for: what is left of the smaller budget, or the smallest page."""
    ledger = RequestLedger(connection, mongo.database, "r", Decimal("10"), rule_budget_usd=Decimal("2"))
    ledger.charged_by(API)
    assert ledger.left_usd() == 2
    ledger.may_spend(SEARCH, Decimal("1.5"))
    assert ledger.left_usd() == Decimal("0.5")
    assert RequestLedger(connection, mongo.database, "other", Decimal("10")).left_usd() == Decimal("8.5")
    assert RequestLedger(connection, mongo.database, "play", None).left_usd() is None
    for _ in range(3):
        unknown(connection)
    assert ledger.left_usd() == 0


def test_a_rule_has_a_budget_of_its_own(connection: Any) -> None:
    """What other rules spend does not count, and the refusal names rule and field."""
    reserve(connection, "other", Decimal("50"))
    reserve(connection, "r", rule_budget_usd=Decimal("2"))
    with pytest.raises(budget.BudgetExceeded, match="budget_usd=2 of rule r"):
        reserve(connection, "r", rule_budget_usd=Decimal("2"))
    with pytest.raises(budget.BudgetExceeded, match="X_BUDGET_USD"):
        reserve(connection, "r", Decimal("60"))


def test_eighty_per_cent_is_logged_once_for_each_budget(
    connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Per month, rule and amount, by whichever process is first; a raised budget warns again."""
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            budget.settle(connection, reserve(connection, price=Decimal("79")), Decimal("79"))
            connection.execute("delete from pipeline.spend")
        assert caplog.records == []
        for _ in range(3):
            budget.settle(connection, reserve(connection, price=Decimal("80")), Decimal(0))
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        budget.reserve(connection, SEARCH, Decimal("8"), BUDGET, "r", rule_budget_usd=Decimal("9"))
        budget.reserve(connection, SEARCH, Decimal("90"), Decimal("110"), "r")
    assert len(caplog.records) == 3


def test_an_answer_that_cost_more_than_reserved_is_booked_and_stops_its_rule(connection: Any) -> None:
    """Other rules go on; this rule does when an operator allows it."""
    budget.settle(connection, reserve(connection), Decimal("4"), result_count=400)
    assert budget.spent_this_month(connection) == 4
    with pytest.raises(budget.RuleOvershot, match=r"cost \$4\.0000, at most \$1\.5000 .* spend allow r`"):
        reserve(connection)
    reserve(connection, "other")
    assert settlement.allow(connection, "r") == 1
    reserve(connection)


def test_a_late_answer_to_a_request_given_up_is_booked(connection: Any) -> None:
    """A known cost replaces an unknown one, however late."""
    reservation = reserve(connection)
    budget.keep(connection, reservation)
    budget.settle(connection, reservation, Decimal("0.2"))
    assert (budget.spent_this_month(connection), settlement.kept(connection)) == (Decimal("0.2"), [])


def test_what_is_under_way_is_not_listed_as_unknown(postgres: Any, connection: Any) -> None:
    """A request is under way while its owner lives; afterwards its reservation is kept."""
    with psycopg.connect(postgres.dsn, autocommit=True) as own:
        reserve(own)
        assert settlement.kept(connection) == []
    eventually(lambda: settlement.kept(connection))
    assert [each.reserved_usd for each in settlement.kept(connection)] == [PRICE]


def on(connection: Any, reservation: str, moment: datetime) -> None:
    connection.execute(
        "update pipeline.spend set reserved_at = %s where reservation = %s", (moment, reservation)
    )


@pytest.mark.parametrize(
    ("shown", "kept_usd"),
    [(0, "0"), (40, "0"), (41, "0.015"), (90, "0.75"), (140, "1.5"), (5000, "3.0")],
)
def test_usage_figures_settle_what_was_kept_never_below_what_they_show(
    connection: Any, shown: int, kept_usd: str
) -> None:
    """40 posts are settled; all that X shows beyond them may belong to the kept requests, each with a new author."""
    past = TODAY - timedelta(days=3)
    settled = reserve(connection)
    budget.settle(connection, settled, Decimal("0.2"), result_count=40)
    rows = [settled, reserve(connection), reserve(connection)]
    for each in rows:
        on(connection, each, past)
    for each in rows[1:]:
        budget.keep(connection, each)
    for _ in range(2):
        (day,) = settlement.settle_by_usage(connection, {past.date(): shown})
        assert (day.rows, day.actual_usd) == (2, Decimal(kept_usd))
    total = connection.execute("select sum(actual_usd) from pipeline.spend").fetchone()
    assert total == (Decimal("0.2") + Decimal(kept_usd),)


def test_usage_figures_touch_no_other_reservations(connection: Any) -> None:
    """Not for users, not of today or yesterday, not around midnight, and no day that the figures do not name."""
    past = (TODAY - timedelta(days=3)).replace(hour=12, minute=0)
    moments = {
        reserve(connection): TODAY,
        reserve(connection): TODAY - timedelta(days=1),
        reserve(connection): past.replace(hour=23, minute=55),
        reserve(connection): past - timedelta(days=1),
        budget.reserve(connection, "/2/users/by", PRICE, BUDGET, "r", api=API): past,
    }
    for each, moment in moments.items():
        on(connection, each, moment)
        budget.keep(connection, each)
    named = {past.date(): 0, TODAY.date(): 0, (TODAY - timedelta(days=1)).date(): 0}
    assert [(day.day, day.rows) for day in settlement.settle_by_usage(connection, named)] == [
        (past.date(), 0)
    ]
    assert len(settlement.kept(connection)) == 5


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": {"project_usage": "7"}},
        {"data": {"daily_project_usage": {"usage": [{"date": "yesterday", "usage": "1"}]}}},
        {"data": {"daily_project_usage": {"usage": [{"date": "2026-03-01T00:00:00.000Z"}]}}},
        {"data": {"daily_project_usage": {"usage": [{"date": "2026-03-01", "usage": "-1"}]}}},
    ],
)
def test_an_answer_without_daily_figures_settles_nothing(answer: Any) -> None:
    """A missing figure is not zero."""
    with pytest.raises(settlement.UsageUnreadable, match="daily_project_usage"):
        settlement.posts_by_day(answer)


def test_the_daily_figures_of_x_are_read() -> None:
    """Numbers are strings, as X returns them."""
    days = [
        {"date": "2026-03-01T00:00:00.000Z", "usage": "125"},
        {"date": "2026-03-02T00:00:00.000Z", "usage": 7},
    ]
    answer = {"data": {"daily_project_usage": {"project_id": "1", "usage": days}}}
    assert settlement.posts_by_day(answer) == {date(2026, 3, 1): 125, date(2026, 3, 2): 7}


@pytest.fixture
def spend(postgres: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command, on this test's database."""
    monkeypatch.setenv("PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("PIPELINE_POSTGRES_DSN", postgres.dsn)
    monkeypatch.setenv("X_BUDGET_USD", "5")

    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(main, ["spend", *arguments], input=given)

    return run


def test_the_command_shows_budgets_what_is_unknown_and_what_stopped(connection: Any, spend: Any) -> None:
    """For people and as JSON, with the command that helps."""
    for _ in range(3):
        unknown(connection)
    budget.settle(
        connection,
        budget.reserve(connection, SEARCH, Decimal("0.1"), BUDGET, "big", api=None),
        Decimal("0.4"),
    )
    text = spend().output
    for words in ("over 80 %", "$4.9000", "spend unknown", "spend allow big", "spend probe"):
        assert words in text
    told = json.loads(spend("--json").output)
    assert told["total"] == {"spent_usd": "4.9000", "budget_usd": "5", "is_over_80_percent": True}
    assert told["unknown"] == {"requests": 3, "usd": "4.5000"}
    assert [each["rule"] for each in told["stopped_rules"]] == ["big"]
    assert [each["api"] for each in told["open_circuits"]] == [API]


def test_the_command_settles_allows_and_probes(connection: Any, spend: Any) -> None:
    """An operator who knows the cost ends the waiting."""
    for _ in range(3):
        unknown(connection)
    first, second, third = (line.split()[0] for line in spend("unknown").output.splitlines())
    assert spend("settle", first, "--usd", "0.25").exit_code == 0
    assert spend("settle", second, "--full-price").exit_code == 0
    assert budget.spent_this_month(connection) == Decimal("3.25")
    past = TODAY - timedelta(days=3)
    on(connection, third, past)
    figures = {"data": {"daily_project_usage": {"usage": [{"date": past.date().isoformat(), "usage": "10"}]}}}
    assert "1 requests settled at $0.150" in spend("settle", "--usage", "-", given=json.dumps(figures)).output
    assert spend("unknown").output == "The cost of every request is known.\n"
    assert API in spend("probe").output
    budget.settle(connection, reserve(connection), Decimal("2"))
    assert spend("allow", "r").exit_code == 0
    reserve(connection)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["settle"], "give reservations"),
        (["settle", "x"], "give reservations"),
        (["settle", "x", "--usd", "1", "--full-price"], "give reservations"),
        (["settle", "x", "--usd", "NaN"], "not an amount in US dollars"),
        (["settle", "x", "--usd", "1"], "no reservation x waits"),
        (["settle", "--usage", "-"], "--usage"),
        (["allow", "r"], "rule r is not stopped"),
    ],
)
def test_a_mistake_at_the_command_changes_nothing(spend: Any, arguments: list[str], words: str) -> None:
    """The mistake is named, and the exit status is not 0."""
    done = spend(*arguments, given="no json")
    assert done.exit_code != 0
    assert words in done.output


def test_status_tells_of_an_open_circuit(postgres: Any, connection: Any) -> None:
    """The stopped stage says why, and the figure for the alert is set."""
    from twitter_pipeline.health import report
    from twitter_pipeline.settings import Stores

    for _ in range(3):
        unknown(connection)
    stores = Stores(
        postgres_reader_dsn=postgres.reader_dsn,
        mongo_uri="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100",
        mongo_database="x",
        kafka_bootstrap="127.0.0.1:1",
    )
    found = report.look(stores)
    assert found.open_circuits == 1
    assert "nobody knows what they cost" in (found.stages[0].last_error or "")
