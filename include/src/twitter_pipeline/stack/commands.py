"""The commands of the embedded stack, of its topics, and of servers of one's own.

What starts the embedded servers is imported by the commands that do: an image for containers has none of it.
"""

import json
import logging
import os
import signal
import threading

import click

from twitter_pipeline import settings as settings_of


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
def up() -> None:
    """Start the embedded stack, wait until all of it answers, and show what runs where."""
    from twitter_pipeline.stack import launcher
    from twitter_pipeline.stack import status as status_of

    os.umask(0o077)  # nothing that is made on the way is for other users
    settings = settings_of.load(launched=False)
    launcher.up(settings, _say)
    click.echo(status_of.after_start(status_of.picture(settings)))


@click.command()
def down() -> None:
    """Stop everything that `up` started; data stays."""
    from twitter_pipeline.stack import launcher

    if not launcher.down(settings_of.load(launched=False), _say):
        click.echo("Nothing runs.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs.")
def status(as_json: bool) -> None:
    """Show services, stages, the X and the broker in use."""
    from twitter_pipeline.stack import status as status_of

    now = status_of.picture(settings_of.load(launched=False))
    click.echo(json.dumps(now, indent=1, default=str) if as_json else status_of.as_text(now))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(yes: bool) -> None:
    """Stop the stack and remove all its data, secrets and logs, after asking."""
    from twitter_pipeline.stack import launcher

    settings = settings_of.load(launched=False)
    if not settings.home.exists():
        click.echo(f"{settings.home} does not exist; there is nothing to remove.")
        return
    if not yes:
        click.confirm(f"Remove all data, secrets and logs in {settings.home}?", abort=True)
    launcher.clean(settings, _say)
    click.echo(f"Removed {settings.home}.")


@click.command()
def migrate() -> None:
    """Bring the tables of the tweets to this version and seed the rules.

    For servers of your own and for containers: `up` does it by itself. PIPELINE_POSTGRES_MIGRATOR_DSN says where; with
    PIPELINE_POSTGRES_SUPERUSER_DSN the roles and databases of all DSNs that are given are made first.
    """
    from twitter_pipeline.stack import servers_of_ones_own

    for line in servers_of_ones_own.prepare(settings_of.load(), os.environ):
        _say(line)


@click.group()
def topics() -> None:
    """The pipeline's Kafka and SNS topics."""


@topics.command()
def keep() -> None:
    """Create missing topics and watch that they stay the same; runs until it is stopped."""
    from twitter_pipeline.stack import topics as keeper

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    keeper.keep(settings_of.load(), stopping.is_set)
