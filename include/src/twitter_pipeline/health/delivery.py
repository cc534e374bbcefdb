"""Watch whether alerts are delivered at all, independently of their own delivery path.

Prometheus always fires `Watchdog`, and Alertmanager sends it to SNS every five minutes. This module asks Alertmanager
how many of its messages SNS accepted: if there were none for a quarter of an hour, or one failed, a notice says so on the
page and in `status`, where people look even when no alert reaches them.
"""

import re
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg

from twitter_pipeline.collection import notices
from twitter_pipeline.metrics.statsd import Metrics

SUBJECT = "alerts"
LONGEST_SILENCE_SECONDS = 900.0
_COUNTED = re.compile(
    r'^alertmanager_notifications(_failed)?_total\{[^}]*integration="sns"[^}]*\} ([0-9.e+]+)$', re.MULTILINE
)


class DeliveryWatch:
    """Compares successive metrics of one Alertmanager; the notice is posted over `loader_dsn`."""

    def __init__(
        self, url: str, loader_dsn: str, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._loader_dsn, self._metrics, self._clock = url, loader_dsn, metrics, clock
        self._known: tuple[int, int] | None = None
        self._delivered_at = clock()
        self._failed_at = -float("inf")
        self._has_seen_a_delivery = False
        self._posted: str | None = None

    def look(self) -> None:
        """Ask once, publish the age of the last delivery, and post or remove the notice.

        Raises psycopg.Error if PostgreSQL does not take the notice; the next call tries again.
        """
        silent = self._ask()
        now = self._clock()
        self._metrics.gauge("alerts_delivery_age_seconds", now - self._delivered_at)
        notice = ""
        if now - self._delivered_at > LONGEST_SILENCE_SECONDS:
            notice = f"no alert has been delivered since {self._hour(self._delivered_at)}: {silent}"
        elif now - self._failed_at < LONGEST_SILENCE_SECONDS:
            notice = f"an alert was not delivered at {self._hour(self._failed_at)}: SNS did not accept it"
        if notice:
            notice += "; see docs/operations.md#alertsnotdelivered"
        if notice == self._posted or not (notice or self._has_seen_a_delivery):
            return  # a notice from before a restart stays until a delivery proves it wrong
        with psycopg.connect(self._loader_dsn, connect_timeout=5, autocommit=True) as connection:
            if notice:
                notices.post(connection, SUBJECT, notice)
            else:
                notices.take_down(connection, SUBJECT)
        self._posted = notice

    def _ask(self) -> str:
        """Record what was delivered and what failed since the last call; returns the cause if nothing was delivered."""
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:  # noqa: S310 - from the settings
                text = answer.read().decode()
        except (OSError, ValueError) as error:
            return f"Alertmanager at {self._url} does not answer ({type(error).__name__})"
        counted = {"": 0, "_failed": 0}
        for kind, value in _COUNTED.findall(text):
            counted[kind] += int(float(value))
        attempts, failed = counted[""], counted["_failed"]
        known_attempts, known_failed = self._known or (attempts, failed)
        if attempts < known_attempts:  # Alertmanager was restarted, and its counters with it
            known_attempts = known_failed = 0
        if attempts - failed > known_attempts - known_failed:
            self._delivered_at, self._has_seen_a_delivery = self._clock(), True
        if failed > known_failed:
            self._failed_at = self._clock()
        self._known = attempts, failed
        if self._failed_at > self._delivered_at:
            return "SNS accepts none of Alertmanager's messages"
        return "Alertmanager has no message to send, not even the Watchdog of Prometheus"

    def _hour(self, at: float) -> str:
        return f"{datetime.now(UTC) - timedelta(seconds=self._clock() - at):%H:%M} UTC"
