"""Send the catalogue's metrics over StatsD, with labels in the InfluxDB style that statsd_exporter reads.

UDP to an address that may not exist: sending never fails, never waits and never costs a record. A name or label that is
not in the catalogue is a bug in our code and raises.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from statsd import StatsClient

from twitter_pipeline.metrics.catalogue import BY_NAME, PREFIX, Kind

logger = logging.getLogger(__name__)

NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9_./-]")
LONGEST_LABEL = 100
LOOKUP_SECONDS = 60.0


class Metrics:
    """Counters, gauges and timers of the catalogue; without an address (None) nothing is sent."""

    def __init__(self, address: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._clock = address, clock
        self._found: StatsClient | None = None
        self._looked_at: float | None = None

    @property
    def _client(self) -> StatsClient | None:
        """The receiver; its name is resolved again now and then, since a container may come back at another address."""
        if self._address is None:
            return None
        if self._looked_at is None or self._clock() - self._looked_at > LOOKUP_SECONDS:
            self._looked_at = self._clock()
            host, _, port = self._address.rpartition(":")
            try:
                self._found = StatsClient(host, int(port), prefix=PREFIX)
            except OSError as error:
                logger.warning("metrics are not sent, address=%s error=%s", self._address, error)
        return self._found

    def count(self, name: str, more: int = 1, **labels: object) -> None:
        """Add to a counter; adding 0 creates its series."""
        self._send("counter", name, labels, more)

    def gauge(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._send("gauge", name, labels, value)

    def seconds(self, name: str, seconds: float, **labels: object) -> None:
        """Record one duration."""
        self._send("timer", name, labels, seconds)

    def _send(self, kind: Kind, name: str, labels: Mapping[str, object], value: float) -> None:
        metric = BY_NAME[name]
        if metric.kind != kind or set(labels) != set(metric.labels):
            raise ValueError(f"{name} is a {metric.kind} with the labels {metric.labels}")
        client: Any = self._client
        if client is None:
            return
        words = [name, *(f"{label}={_label(labels[label])}" for label in metric.labels)]
        match kind:
            case "counter":
                client.incr(",".join(words), value)
            case "gauge":
                # StatsD reads a negative gauge as a difference, and ours are never below 0
                client.gauge(",".join(words), max(value, 0))
            case "timer":
                client.timing(",".join(words), value * 1000)


def _label(value: object) -> str:
    """A label value for a StatsD line: its separators (comma, colon, pipe, equals, newline) become underscores."""
    return NOT_IN_A_LABEL.sub("_", str(value))[:LONGEST_LABEL] or "none"
