"""How often each service of the embedded stack was started, from the files that record the starts."""

from pathlib import Path

from twitter_pipeline.metrics.statsd import Metrics


def publish(metrics: Metrics, run: Path) -> None:
    """Send the count for each service; nothing if no launcher runs the services (containers)."""
    for starts in run.glob("*.starts"):
        metrics.gauge("stack_service_starts", len(starts.read_text().splitlines()), service=starts.stem)
