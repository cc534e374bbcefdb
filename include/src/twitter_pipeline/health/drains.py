"""Send what a drain did as metrics, at its end: a drain runs for about a minute."""

from twitter_pipeline.landing.drain import Landed
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.transform.drain import Transformed


def tell_landed(metrics: Metrics, done: Landed) -> None:
    """Send messages by outcome, and how long the drain ran."""
    for outcome, count in (
        ("landed", done.landed - done.duplicates),
        ("duplicate", done.duplicates),
        ("dead_lettered", done.dead_lettered),
    ):
        metrics.count("land_messages_total", max(count, 0), outcome=outcome)
    metrics.seconds("land_drain_seconds", done.seconds)


def tell_transformed(metrics: Metrics, done: Transformed) -> None:
    """Send envelopes by outcome, and how long the drain ran."""
    for outcome, count in (
        ("loaded", done.loaded),
        ("quarantined", done.dead_lettered),  # the published label value keeps its name
        ("removed", done.removed),
    ):
        metrics.count("transform_envelopes_total", count, outcome=outcome)
    metrics.seconds("transform_drain_seconds", done.seconds)
