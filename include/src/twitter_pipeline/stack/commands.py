"""The commands of the embedded stack: up, down, status, clean.

The modules that start the embedded servers are imported inside the commands, so that --help needs none of them.
"""

import json
import os

import click

from twitter_pipeline.stack import settings as settings_of


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
def up() -> None:
    """Start the embedded stack, wait until it is ready, and show what runs where."""
    from twitter_pipeline.stack import launcher
    from twitter_pipeline.stack import status as status_of

    os.umask(0o077)  # nothing created along the way is for other users
    settings = settings_of.load(launched=False)
    launcher.up(settings, _say)
    click.echo(status_of.after_start(status_of.picture(settings)))


@click.command()
def down() -> None:
    """Stop everything that `up` started; data is kept."""
    from twitter_pipeline.stack import launcher

    if not launcher.down(settings_of.load(launched=False), _say):
        click.echo("Nothing is running.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show services, stages, and the X API and broker in use."""
    from twitter_pipeline.stack import status as status_of

    now = status_of.picture(settings_of.load(launched=False))
    click.echo(json.dumps(now, indent=1, default=str) if as_json else status_of.as_text(now))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def clean(yes: bool) -> None:
    """Stop the stack and remove all its data, secrets and logs."""
    from twitter_pipeline.stack import launcher

    settings = settings_of.load(launched=False)
    if not settings.home.exists():
        click.echo(f"{settings.home} does not exist; there is nothing to remove.")
        return
    if not yes:
        click.confirm(f"Remove all data, secrets and logs in {settings.home}?", abort=True)
    launcher.clean(settings, _say)
    click.echo(f"Removed {settings.home}.")
