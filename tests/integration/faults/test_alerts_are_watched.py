"""The metrics behind alerts, and the watch over their delivery, on a real PostgreSQL and a stand-in Alertmanager."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.rules import rule
from twitter_pipeline.collection import notices
from twitter_pipeline.health.delivery import DeliveryWatch
from twitter_pipeline.metrics import rules, service_starts
from twitter_pipeline.metrics.statsd import Metrics


class Gauges:
    """A StatsD server that keeps the newest value of each gauge."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.metrics = Metrics(f"127.0.0.1:{server.getsockname()[1]}")

    def heard(self) -> dict[str, float]:
        """What arrived since the last call, by name and labels."""
        values = {}
        self._server.setblocking(False)
        try:
            while True:
                name, _, value = self._server.recv(2000).decode().partition(":")
                values[name.removeprefix("twitter_pipeline.")] = float(value.removesuffix("|g"))
        except BlockingIOError:
            return values


@pytest.fixture
def gauges() -> Iterator[Gauges]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield Gauges(server)


def test_each_parked_rule_is_a_series_of_its_own(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges
) -> None:
    """So each is one alert; a rule that is also disabled needs no attention."""
    parked = {"parked_at": "2026-01-01Z", "parked_reason": "X said no"}
    rule(connection, "bad-query", **parked)
    rule(connection, "worse", **parked)
    rule(connection, "off", is_enabled=False, **parked)
    rule(connection, "fine")
    rules.publish(gauges.metrics, postgres.reader_dsn)
    heard = gauges.heard()
    assert {name for name in heard if name.startswith("rules_parked")} == {
        "rules_parked,rule=bad-query",
        "rules_parked,rule=worse",
    }


def test_rules_are_counted_by_what_a_person_must_do(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges
) -> None:
    """Zero is sent too, so that an alert ends; an error among others is found; disabled rules do not count."""
    rule(connection, "a", last_error="CredentialsRefused: 401")
    rule(
        connection, "b", last_error="2 accounts failed: alice: CredentialsRefused: 401; bob: ServerError: 503"
    )
    rule(connection, "c", last_error="BudgetExceeded: no")
    rule(connection, "d", last_error="CredentialsRefused: 401", is_enabled=False)
    rule(connection, "e")
    rules.publish(gauges.metrics, postgres.reader_dsn)
    failing = {k: v for k, v in gauges.heard().items() if k.startswith("extract_failing")}
    assert failing == {
        "extract_failing_rules,error=CredentialsRefused": 2,
        "extract_failing_rules,error=BudgetExceeded": 1,
        "extract_failing_rules,error=InvalidRequest": 0,
        "extract_failing_rules,error=RuleOvershot": 0,
        "extract_failing_rules,error=SpendingStopped": 0,
    }


def test_the_share_of_a_rules_own_budget_counts_what_is_reserved(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges
) -> None:
    """Only of this month; a reservation without an answer counts at its full price; without a budget there is no series."""
    rule(connection, "python", budget_usd=10)
    rule(connection, "unspent", budget_usd=1)
    rule(connection, "free")
    connection.cursor().executemany(
        "insert into pipeline.spend (reservation, rule, endpoint, reserved_usd, actual_usd, reserved_at)"
        " values (gen_random_uuid(), %s, '/x', %s, %s, now() - %s * interval '1 day')",
        [
            ("python", 9, 3, 0),
            ("python", 5, None, 0),
            ("python", 9, 9, 40),
            ("free", 5, 5, 0),
            (None, 5, 5, 0),
        ],
    )
    rules.publish(gauges.metrics, postgres.reader_dsn)
    used = {k: v for k, v in gauges.heard().items() if k.startswith("budget_used")}
    assert used == {"budget_used_ratio,rule=python": 0.8, "budget_used_ratio,rule=unspent": 0}


def test_starts_of_services_are_counted(tmp_path: Path, gauges: Gauges) -> None:
    """From the launcher's files; without a launcher nothing is sent."""
    (tmp_path / "dag-processor.starts").write_text("2026-01-01\n2026-01-02\n")
    (tmp_path / "broker.starts").write_text("2026-01-01\n")
    service_starts.publish(gauges.metrics, tmp_path)
    assert gauges.heard() == {
        "stack_service_starts,service=dag-processor": 2,
        "stack_service_starts,service=broker": 1,
    }
    service_starts.publish(gauges.metrics, tmp_path / "nowhere")
    assert gauges.heard() == {}


class Alertmanager(http.server.ThreadingHTTPServer):
    """Answers /metrics with the counts that the test sets, unless `answers` is false."""

    total = failed = 0
    answers = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Page(http.server.BaseHTTPRequestHandler):
    server: Alertmanager

    def do_GET(self) -> None:
        self.send_response(200 if self.server.answers else 503)
        self.end_headers()
        if self.server.answers:
            self.wfile.write(
                f"""# TYPE alertmanager_notifications_total counter
alertmanager_notifications_total{{integration="email"}} 900
alertmanager_notifications_total{{integration="sns"}} {self.server.total}
alertmanager_notifications_failed_total{{integration="sns",reason="clientError"}} {self.server.failed}
alertmanager_notifications_failed_total{{integration="sns",reason="other"}} 0
""".encode()
            )

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def alertmanager() -> Iterator[Alertmanager]:
    with Alertmanager(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Clock:
    now = 10_000.0

    def __call__(self) -> float:
        return self.now


def told(connection: psycopg.Connection) -> list[str]:
    return [notice.notice for notice in notices.posted(connection)]


def test_a_delivery_that_stopped_is_reported_where_people_look(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges, alertmanager: Alertmanager
) -> None:
    """After a quarter of an hour without a delivery a notice says why; it disappears with the next delivery."""
    clock = Clock()
    watch = DeliveryWatch(alertmanager.url, postgres.dsn, gauges.metrics, clock)
    alertmanager.total = 3
    watch.look()
    clock.now += 300
    alertmanager.total = 4
    watch.look()
    assert gauges.heard()["alerts_delivery_age_seconds"] == 0
    for _ in range(4):
        clock.now += 300
        alertmanager.total, alertmanager.failed = alertmanager.total + 1, alertmanager.failed + 1
        watch.look()
    assert gauges.heard()["alerts_delivery_age_seconds"] == 1200
    [notice] = told(connection)
    assert "SNS accepts none of Alertmanager's messages" in notice
    assert "docs/operations.md#alertsnotdelivered" in notice
    clock.now += 900
    alertmanager.total += 1
    watch.look()
    assert told(connection) == []


def test_a_delivered_heartbeat_does_not_hide_an_undelivered_alert(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges, alertmanager: Alertmanager
) -> None:
    """One topic accepts messages and the other refuses them: reported for as long as the refusals continue."""
    clock = Clock()
    watch = DeliveryWatch(alertmanager.url, postgres.dsn, gauges.metrics, clock)
    for failed in (0, 0, 1):
        alertmanager.total, alertmanager.failed = alertmanager.total + 1 + failed, failed
        clock.now += 300
        watch.look()
    assert "an alert was not delivered" in told(connection)[0]
    for _ in range(3):
        alertmanager.total += 1
        clock.now += 300
        watch.look()
    assert told(connection) == []


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda server: setattr(server, "answers", False), "does not answer"),
        (lambda server: None, "not even the Watchdog of Prometheus"),
    ],
)
def test_the_notice_names_the_part_that_is_silent(
    connection: psycopg.Connection,
    postgres: Any,
    gauges: Gauges,
    alertmanager: Alertmanager,
    break_it: Any,
    reason: str,
) -> None:
    """Alertmanager is down; or it has nothing to send, because Prometheus no longer fires."""
    clock = Clock()
    watch = DeliveryWatch(alertmanager.url, postgres.dsn, gauges.metrics, clock)
    alertmanager.total = 3
    watch.look()
    break_it(alertmanager)
    clock.now += 600
    watch.look()
    assert told(connection) == [], "a delivery may take its time"
    clock.now += 600
    watch.look()
    assert reason in told(connection)[0]


def test_a_restarted_alertmanager_delivers_too(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges, alertmanager: Alertmanager
) -> None:
    """Its counters begin at zero, and the first message after that counts."""
    clock = Clock()
    watch = DeliveryWatch(alertmanager.url, postgres.dsn, gauges.metrics, clock)
    for total in (500, 0, 1):
        alertmanager.total = total
        clock.now += 600
        watch.look()
    assert gauges.heard()["alerts_delivery_age_seconds"] == 0
    assert told(connection) == []


def test_a_notice_of_an_earlier_watch_is_removed(
    connection: psycopg.Connection, postgres: Any, gauges: Gauges, alertmanager: Alertmanager
) -> None:
    """A restarted publisher keeps it until a delivery proves it wrong, and touches no other notice."""
    notices.post(connection, "alerts", "old")
    notices.post(connection, "rules file", "of somebody else")
    watch = DeliveryWatch(alertmanager.url, postgres.dsn, gauges.metrics, Clock())
    watch.look()
    assert told(connection) == ["old", "of somebody else"]
    alertmanager.total += 1
    watch.look()
    assert told(connection) == ["of somebody else"]
