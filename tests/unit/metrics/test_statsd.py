"""What is sent to statsd_exporter, and that sending never fails."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from twitter_pipeline.health.publisher import publish
from twitter_pipeline.health.report import Contract, Health, Stage
from twitter_pipeline.metrics.catalogue import CATALOGUE, PREFIX
from twitter_pipeline.metrics.statsd import LOOKUP_SECONDS, Metrics


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A StatsD server's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def heard(listener: socket.socket) -> str:
    return listener.recv(2000).decode()


def test_labels_travel_as_tags(listener: socket.socket) -> None:
    """In InfluxDB style, in the order of the catalogue; durations in milliseconds, as in StatsD."""
    metrics = Metrics(address(listener))
    metrics.count("land_messages_total", 3, outcome="landed")
    assert heard(listener) == "twitter_pipeline.land_messages_total,outcome=landed:3|c"
    metrics.gauge("stage_age_seconds", 1.5, stage="warehouse")
    assert heard(listener) == "twitter_pipeline.stage_age_seconds,stage=warehouse:1.5|g"
    metrics.seconds("land_drain_seconds", 2.5)
    assert heard(listener) == "twitter_pipeline.land_drain_seconds:2500.000000|ms"


def test_a_label_cannot_break_the_line(listener: socket.socket) -> None:
    """Separators become underscores, and a long one is cut."""
    metrics = Metrics(address(listener))
    metrics.count("export_tweets_total", 1, format="a:1|c\nb,c=d" + "x" * 300)
    said = heard(listener)
    assert said.startswith("twitter_pipeline.export_tweets_total,format=a_1_c_b_c_dxxx")
    assert len(said) < 160


@pytest.mark.parametrize(
    ("name", "labels"), [("likes", {}), ("export_tweets_total", {}), ("export_tweets_total", {"kind": "csv"})]
)
def test_a_metric_that_is_not_in_the_catalogue_raises(name: str, labels: dict[str, str]) -> None:
    """Even if nothing is sent, so that a test without StatsD finds the bug."""
    with pytest.raises((KeyError, ValueError)):
        Metrics(None).count(name, 1, **labels)


def test_sending_to_nobody_does_not_fail() -> None:
    """Nor a name that cannot be resolved."""
    Metrics(None).count("export_tweets_total", 1, format="csv")
    Metrics("127.0.0.1:9").count("export_tweets_total", 1, format="csv")
    Metrics("no-such-host.invalid:9125").count("export_tweets_total", 1, format="csv")


def test_a_name_is_looked_up_again(listener: socket.socket) -> None:
    """A server that could not be found at first is found later."""
    now = [0.0]
    metrics = Metrics("no-such-host.invalid:9125", clock=lambda: now[0])
    metrics.gauge("warehouse_gaps", 1)
    metrics._address = address(listener)  # the name resolves now
    now[0] = LOOKUP_SECONDS + 1
    metrics.gauge("warehouse_gaps", 2)
    assert heard(listener) == "twitter_pipeline.warehouse_gaps:2|g"


def test_names_follow_the_grammar() -> None:
    """Unique, a stage first, a unit or a count last, counters ending in _total."""
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    for metric in CATALOGUE:
        assert metric.series.startswith(f"{PREFIX}_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "timer" or metric.unit == "seconds"
        assert metric.meaning.endswith(".")


class Recorded(Metrics):
    """Metrics that remember what was sent."""

    def __init__(self) -> None:
        super().__init__(None)
        self.sent: dict[tuple[str, str], float] = {}

    def gauge(self, name: str, value: float, **labels: object) -> None:
        super().gauge(name, value, **labels)
        self.sent[name, ",".join(map(str, labels.values()))] = value


def test_what_is_unknown_is_not_published() -> None:
    """A store that does not answer is reported as such, and its last figures are not repeated."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    health = Health(
        stages=[Stage("land", 5, 2, now - timedelta(seconds=30)), Stage("transform", answers=False)],
        gaps=0,
        spent_usd=Decimal("1.25"),
        contracts=[Contract("twitter.tweets", 2, now)],
    )
    metrics = Recorded()
    publish(metrics, health, now)
    assert metrics.sent == {
        ("stage_records", "land"): 5,
        ("stage_lag_records", "land"): 2,
        ("stage_age_seconds", "land"): 30,
        ("health_stage_answers", "land"): 1,
        ("health_stage_answers", "transform"): 0,
        ("warehouse_gaps", ""): 0,
        ("extract_spend_usd", ""): 1.25,
        ("quality_failed_checks", "twitter.tweets"): 2,
        ("health_looked_timestamp_seconds", ""): now.timestamp(),
    }
