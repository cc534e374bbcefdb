"""Turns of rules against a small X, with a real schema pipeline."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from airflow_provider_twitter.client import Backoff, Limits, Pace, XClient
from pipeline_x import ClientX
from support.sinks import RememberingSink
from support.x_server import SmallX
from twitter_pipeline.collection import kinds, rules
from twitter_pipeline.collection.collect import collect_rule
from twitter_pipeline.collection.lease import lease_rule

TOKEN = "canary-7f3a9c51-token"


@dataclass
class Turns:
    """Takes turns of rules; `clock` may be moved."""

    x: SmallX
    connection: psycopg.Connection[Any]
    raw: Any
    sink: RememberingSink
    tries: int = 2
    budget_usd: Decimal | None = None
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def rule(self, name: str = "r", **fields: Any) -> None:
        """Make a rule, or change it; the field of a kind says what it asks for."""
        [kind] = [each for each in kinds.KINDS.values() if each.field in fields]
        given = {"kind": kind.name, "spec": Jsonb(kind.parse(fields.pop(kind.field))), **fields}
        names = ", ".join(given)
        self.connection.execute(
            f"insert into pipeline.rules (name, {names}) values (%(name)s, {', '.join(f'%({n})s' for n in given)})"
            f" on conflict (name) do update set {', '.join(f'{n} = excluded.{n}' for n in given)}".encode(),
            {"name": name, **given},
        )

    def take(self, name: str = "r") -> Any:
        """One turn of a rule; raises what the turn raises."""
        client = XClient(
            TOKEN,
            base_url=self.x.url,
            allow_local=True,
            limits=Limits(connect_seconds=2, read_seconds=2, total_seconds=5),
            backoff=Backoff(tries=self.tries),
            pace=Pace(now=self.now, sleep=lambda seconds: None),
        )
        with client, lease_rule(self.connection, name, "this test") as lease:
            return collect_rule(
                rules.find(self.connection, name),
                ClientX(client),
                self.connection,
                self.raw,
                self.sink,
                lease,
                budget_usd=self.budget_usd,
                max_pages=500,
                clock=self.now,
            )

    def one(self, query: str, *values: Any) -> Any:
        """The first row of a query."""
        return self.connection.execute(query.encode(), values).fetchone()
