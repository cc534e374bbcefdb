"""The commands by which production is prepared and kept: migrate, topics keep."""

import logging
import os
import signal
import threading
from collections.abc import Callable

import click

from twitter_pipeline import settings as settings_of


@click.command()
def migrate() -> None:
    """Bring the tables of the tweets to this version and seed the rules.

    For servers of your own and for containers: `up` does it by itself. PIPELINE_POSTGRES_MIGRATOR_DSN says where; with
    PIPELINE_POSTGRES_SUPERUSER_DSN the roles and databases of all DSNs that are given are made first.
    """
    from twitter_pipeline.deployment import external_servers

    for line in external_servers.prepare(settings_of.load(), os.environ):
        click.echo(line, err=True)


@click.group()
def topics() -> None:
    """The pipeline's Kafka and SNS topics."""


@topics.command()
def keep() -> None:
    """Create missing topics and watch that they stay the same; runs until it is stopped."""
    from twitter_pipeline.deployment import topics as kept

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kept.keep(settings_of.load(), stopping_on_signal())


def stopping_on_signal() -> Callable[[], bool]:
    """Says True once this process was asked to end (SIGTERM, SIGINT); call it in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set
