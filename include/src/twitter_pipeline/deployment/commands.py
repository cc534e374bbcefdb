"""The commands that prepare and maintain production: migrate, topics keep."""

import logging
import os
import signal
import threading
from collections.abc import Callable

import click

from twitter_pipeline import settings as settings_of


@click.command()
def migrate() -> None:
    """Upgrade the tweet tables to this version and seed the rules.

    For your own servers and for containers; `up` does this by itself. The tables are in the database of
    PIPELINE_POSTGRES_MIGRATOR_DSN. If PIPELINE_POSTGRES_SUPERUSER_DSN is set, the roles and databases of all configured
    DSNs are created first.
    """
    from twitter_pipeline.deployment import external_servers

    for line in external_servers.prepare(settings_of.load(), os.environ):
        click.echo(line, err=True)


@click.group()
def topics() -> None:
    """Manage the pipeline's Kafka and SNS topics."""


@topics.command()
def keep() -> None:
    """Create missing topics and watch for recreated ones; runs until stopped."""
    from twitter_pipeline.deployment import topics as kept

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kept.keep(settings_of.load(), stopping_on_signal())


def stopping_on_signal() -> Callable[[], bool]:
    """A function that returns True once this process was asked to end (SIGTERM, SIGINT); call this in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set
