"""A whole stack in a folder of its own, started and stopped by the commands that a newcomer uses."""

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from twitter_pipeline import settings
from twitter_pipeline.health.accounting import accounts
from twitter_pipeline.settings import PORTED, Settings
from twitter_pipeline.stack.servers import free_port

PIPELINE = [sys.executable, "-m", "twitter_pipeline.cli"]


@dataclass
class Stack:
    """A running stack: its commands, its stores, and the simulator's ground truth."""

    environment: dict[str, str]
    has_simulator: bool = True

    @property
    def settings(self) -> Settings:
        return settings.load(self.environment)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `twitter-pipeline` command in the stack's environment."""
        result = subprocess.run(
            [*PIPELINE, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,  # a start waits as long as something moves
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{' '.join(words)} failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
            )
        return result

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json").stdout))

    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages of `status`, by name."""
        return {stage["stage"]: stage for stage in self.status()["stages"]}

    def pid(self, service: str) -> int:
        """The process of a service; one that is just being started again is waited for."""

        def known() -> list[int]:
            return [s["pid"] for s in self.status()["services"] if s["name"] == service and s["pid"]]

        wait_until(
            lambda: bool(known()), 180, lambda: f"{service} has no process: {self.status()['services']}"
        )
        return known()[0]

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.need("postgres_reader_dsn"), autocommit=True) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def simulator(self, path: str, body: Any = None, **params: str) -> dict[str, Any]:
        """Ask (or, with a body, tell) the simulator's control door."""
        url = f"{self.settings.x_api_url}/_control/{path}?{urllib.parse.urlencode(params)}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
            return dict(json.loads(answer.read()))

    def secrets_in_logs(self) -> list[str]:
        """Log files in which any secret of this installation stands."""
        home = self.settings.home
        secrets = [file.read_text().strip().encode() for file in (home / "secrets").iterdir()]
        logs = [log for log in (home / "logs").rglob("*") if log.is_file()]
        assert secrets
        assert logs
        return [
            f"{log}: {number}" for log in logs for number, s in enumerate(secrets) if s in log.read_bytes()
        ]

    def difference(self) -> dict[str, tuple[set[int], set[int]]]:
        """Per rule what is missing in PostgreSQL and what should not be there; empty when they are equal.

        A tweet that was edited or deleted after it was collected is rightly there and not in X's answer.
        """
        found = {}
        for name, spec in self.rows("select name, spec from pipeline.rules where is_enabled"):
            asked = (
                [{"query": spec["query"]}] if "query" in spec else [{"username": n} for n in spec["accounts"]]
            )
            truths = [self.simulator("truth", **each) for each in asked]
            wanted = {int(i) for t in truths for i in t["ids"]}
            passed = {int(i) for t in truths for i in (*t["superseded"], *t["removed"])}
            have = {i for (i,) in self.rows("select tweet_id from twitter.tweet_rules where rule = %s", name)}
            if wanted - have or have - wanted - passed:
                found[name] = (wanted - have, have - wanted - passed)
        return found

    def _told_difference(self) -> str:
        return "; ".join(
            f"{rule}: {len(missing)} missing {sorted(missing)[:3]}, {len(surplus)} surplus {sorted(surplus)[:3]}"
            for rule, (missing, surplus) in self.difference().items()
        )

    def wait_for_truth(self, seconds: float) -> None:
        """Until the ids of every rule equal the simulator's ground truth and the accounts balance."""
        wait_until(lambda: not self.difference(), seconds, self._told_difference)
        given = self.settings
        with (
            MongoClient[dict[str, Any]](given.need("mongo_uri")) as client,
            psycopg.connect(given.need("postgres_reader_dsn"), autocommit=True) as warehouse,
        ):
            books = accounts(client[given.mongo_database], warehouse)
            assert books
            assert [a for a in books if not a.balances] == []
        twice = self.rows("select id from twitter.tweets group by id having count(*) > 1")
        assert twice == []


def wait_until(ready: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Ask every half second; fail with what `otherwise` says."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s; {otherwise()}")
        time.sleep(0.5)


RULES = """
rules:
  - {name: coffee, query: "coffee -is:retweet", interval_seconds: 10}
  - {name: climate, query: "climate OR #climate", interval_seconds: 10}
  - {name: voices, accounts: [Mada, Kekekitili], interval_seconds: 15}
  - {name: football, query: "football has:hashtags", interval_seconds: 15}
"""


@contextmanager
def running(folder: Path, rules: str = RULES, **variables: str) -> Iterator[Stack]:
    """`up` with settings of its own, then `down`; what is left running fails the test."""
    (folder / "rules.yaml").write_text(rules)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PIPELINE_", "X_", "AIRFLOW"))},
        "PIPELINE_HOME": str(folder / "home"),
        "PIPELINE_RULES": str(folder / "rules.yaml"),
        "PIPELINE_BROKER": "tansu",
        "PIPELINE_EXTRACTION_SECONDS": "5",
        "PIPELINE_SIMULATOR_RATE": "4",
        **{f"PIPELINE_PORT_{name.upper()}": str(free_port()) for name in PORTED},
        **variables,
    }
    stack = Stack(environment)
    try:
        stack.run("up")
        yield stack
    finally:
        stack.run("down", check=False)


@pytest.fixture
def make_stack(tmp_path: Path) -> Callable[..., Any]:
    """`running` in this test's folder."""
    return lambda **options: running(tmp_path, **options)


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests that can share it, woken by the doorbells alone (no sweep).

    Its clock may stand still: who needs new tweets lets it go on, who needs the truth stops it. All stays running.
    """
    settings_of_it = {
        "PIPELINE_SWEEP_CRON": "",
        "PIPELINE_QUALITY_MINUTES": "600",
        "PIPELINE_SIMULATOR_RATE": "2",
    }
    with running(tmp_path_factory.mktemp("shared"), **settings_of_it) as stack:
        yield stack
