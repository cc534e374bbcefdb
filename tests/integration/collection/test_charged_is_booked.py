"""Whatever a server charged is recorded in pipeline.spend, wherever the exchange broke off and whichever process was killed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from support import TESTS
from support.ledger_server import (
    AFTER_THE_REQUEST,
    BEFORE_THE_REQUEST,
    OVER_DELIVERED,
    PER_TWEET_USD,
    LedgerServer,
    ledger_server,
)

DEADLINE_SECONDS = 0.25
BOOKED = "select rule, sum(coalesce(actual_usd, reserved_usd)) from pipeline.spend group by rule"


def collect(
    postgres: Any,
    server: LedgerServer,
    exchanges: int,
    *,
    seed: int,
    budget_usd: str = "1000000",
    without: tuple[str, ...] = (),
    passes_circuits: bool = True,
    workers: int = 2,
) -> Counter[str]:
    """Let several processes make all exchanges; returns how these ended."""
    running = []
    for worker in range(workers):
        work = {
            "dsn": postgres.dsn,
            "urls": server.urls,
            "seed": seed,
            "first": worker,
            "end": exchanges,
            "step": workers,
            "budget_usd": budget_usd,
            "without": list(without),
            "total_seconds": DEADLINE_SECONDS,
            "passes_circuits": passes_circuits,
        }
        command = [sys.executable, "-m", "support.money_worker", json.dumps(work)]
        running.append(subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True))
    ended: Counter[str] = Counter()
    for process in running:
        output, _ = process.communicate(timeout=3500)
        assert process.returncode == 0
        ended += Counter(json.loads(output))
    return ended


def booked(postgres: Any) -> dict[str, Decimal]:
    with psycopg.connect(postgres.dsn) as connection:
        return dict(connection.execute(BOOKED).fetchall())


def hold_against_the_books(postgres: Any, server: LedgerServer) -> dict[str, Decimal]:
    """Assert that no exchange was charged more than recorded; returns the sums."""
    recorded = booked(postgres)
    short = {
        number: (charged, recorded.get(f"x{number}", Decimal(0)))
        for number, charged in server.charged.items()
        if Decimal(charged) > recorded.get(f"x{number}", Decimal(0))
    }
    assert short == {}
    return {"charged_usd": server.charged_usd, "booked_usd": sum(recorded.values(), Decimal(0))}


def test_charged_never_exceeds_booked_in_three_hundred_exchanges(postgres: Any) -> None:
    """Two processes, every kind of cut, hang and kill, with open circuits bypassed as an operator would."""
    with ledger_server(2 * DEADLINE_SECONDS) as server:
        ended = collect(postgres, server, 300, seed=7)
        sums = hold_against_the_books(postgres, server)
    assert sum(ended.values()) == 300
    assert {"answered", "killed", "Unreachable", "NotFromX", "RateLimited", "CircuitOpen"} <= ended.keys()
    assert 0 < sums["charged_usd"] < sums["booked_usd"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_charged_never_exceeds_booked_in_ten_thousand_exchanges(
    postgres: Any, record_property: Callable[[str, object], None]
) -> None:
    """The same, for longer; the figures are recorded with the result."""
    with ledger_server(2 * DEADLINE_SECONDS) as server:
        ended = collect(postgres, server, 10_000, seed=2026)
        sums = hold_against_the_books(postgres, server)
    record_property("sums", {name: str(usd) for name, usd in sums.items()})
    record_property("ended", dict(ended))
    record_property("done", dict(server.done))
    print(sums, dict(ended), dict(server.done))  # noqa: T201 - the figures of the run
    assert sum(ended.values()) == 10_000
    assert set(AFTER_THE_REQUEST) <= server.done.keys()


def test_only_an_answer_larger_than_asked_exceeds_a_small_budget(postgres: Any) -> None:
    """Pages shrink to the last cents; the charge stays within the budget plus the recorded overshoots."""
    with ledger_server(2 * DEADLINE_SECONDS) as server:
        ended = collect(postgres, server, 120, seed=11, budget_usd="6")
        sums = hold_against_the_books(postgres, server)
    assert ended["BudgetExceeded"] > 0
    overshoot = server.done["over"] * OVER_DELIVERED * PER_TWEET_USD
    assert sums["charged_usd"] <= Decimal(6) + overshoot
    assert sums["booked_usd"] <= Decimal(6) + overshoot
    assert sums["booked_usd"] > Decimal("5.8")


def test_a_bad_hour_costs_three_requests_and_not_a_budget(postgres: Any) -> None:
    """If every request is cut, whatever the process and rule, the circuit opens and nothing more is sent."""
    cuts = ("fin", "rst", "cut_body", "hang")
    others = tuple((AFTER_THE_REQUEST.keys() | BEFORE_THE_REQUEST.keys()) - set(cuts))
    with ledger_server(2 * DEADLINE_SECONDS) as server:
        ended = collect(postgres, server, 60, seed=3, without=others, passes_circuits=False)
        hold_against_the_books(postgres, server)
    # two processes may each have had one request under way when the third outcome came in
    assert sum(server.done.values()) <= 3 + 1
    assert ended["CircuitOpen"] >= 60 - 4
