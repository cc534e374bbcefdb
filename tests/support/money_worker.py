"""A collector that asks a ledger server: run as `python -m support.money_worker JSON`, see `Work`.

Each exchange has a rule of its own (`x<number>`), so that what was booked for it can be held against what was charged.
Exchanges in which the server kills the client run in a child.
"""

import json
import logging
import os
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import psycopg

from airflow_provider_twitter.client import Backoff, Limits, XClient, XError
from support.ledger_server import AFTER_THE_REQUEST, BEFORE_THE_REQUEST
from twitter_pipeline.collection import budget, circuits
from twitter_pipeline.collection.ledgers import RequestLedger

CHANCES = AFTER_THE_REQUEST | BEFORE_THE_REQUEST


@dataclass(frozen=True)
class Work:
    """Exchanges `first`, `first + step`, ... below `end`; whether to bypass open circuits, as an operator would."""

    dsn: str
    urls: dict[str, str]
    seed: int
    first: int
    end: int
    step: int
    budget_usd: str
    without: list[str]
    total_seconds: float
    passes_circuits: bool


class Unrecorded:
    """Stands in for MongoDB, where requests are recorded too; it holds no money."""

    @property
    def api_requests(self) -> "Unrecorded":
        return self

    def replace_one(self, *_: Any, **__: Any) -> None:
        """Ignore the record."""


def exchange(
    work: Work, connection: psycopg.Connection[Any], clients: dict[str, XClient], number: int
) -> str:
    """Make one exchange; returns how it ended."""
    chance = random.Random(f"{work.seed}/{number}")
    kinds = [kind for kind in CHANCES if kind not in work.without]
    (what,) = chance.choices(kinds, [CHANCES[kind] for kind in kinds])
    size = chance.choice([10, 25, 100])
    if what.startswith("kill"):
        if (child := os.fork()) == 0:
            clients = _clients(work)
            with psycopg.connect(work.dsn, autocommit=True) as own:
                _ask(work, own, clients["serves"], number, what, size)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return "killed" if os.WIFSIGNALED(status) else "survived"
    client = clients[what if what in BEFORE_THE_REQUEST else "serves"]
    return _ask(work, connection, client, number, what, size)


def _ask(
    work: Work, connection: psycopg.Connection[Any], client: XClient, number: int, what: str, size: int
) -> str:
    ledger = RequestLedger(connection, cast(Any, Unrecorded()), f"x{number}", Decimal(work.budget_usd))
    try:
        client.charged_to(ledger).search_recent(f"{number}.{what}.{os.getpid()}", max_results=size)
    except (XError, budget.RuleOvershot, budget.BudgetExceeded) as failed:
        return type(failed).__name__
    except circuits.CircuitOpen:
        if work.passes_circuits:
            connection.execute("delete from pipeline.circuits")
        return "CircuitOpen"
    return "answered"


def _clients(work: Work) -> dict[str, XClient]:
    limits = Limits(connect_seconds=1, read_seconds=1, total_seconds=work.total_seconds)
    return {
        what: XClient(
            "canary-of-the-ledger",
            base_url=url,
            allow_local=True,
            limits=limits,
            backoff=Backoff(tries=2, first_seconds=0.0),
        )
        for what, url in work.urls.items()
    }


def main() -> None:
    """Do the work and print how its exchanges ended."""
    logging.disable()
    work = Work(**json.loads(sys.argv[1]))
    ended: Counter[str] = Counter()
    clients = _clients(work)
    with psycopg.connect(work.dsn, autocommit=True) as connection:
        for number in range(work.first, work.end, work.step):
            ended[exchange(work, connection, clients, number)] += 1
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
