"""`twitter-pipeline metrics`: the publisher of the pipeline's metrics."""

import logging
import signal
import threading

import click

from twitter_pipeline import settings as settings_of


@click.group()
def metrics() -> None:
    """The pipeline's metrics."""


@metrics.command()
def publish() -> None:
    """Publish counts, lag, age, dead letters and money every few seconds to PIPELINE_STATSD; runs until stopped."""
    from twitter_pipeline.health.publisher import keep_publishing

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    keep_publishing(settings_of.load(), stopping.is_set)
