"""`twitter-pipeline raw`: handle a raw store that has lost data."""

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from twitter_pipeline import settings
from twitter_pipeline.dead_letters.connections import Opened, opened
from twitter_pipeline.landing.accepted_loss import Loss, accept_loss, losses
from twitter_pipeline.landing.raw_store import CURRENT_STORE, RawStore
from twitter_pipeline.transform.observing import observe_older

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
SETTLE_GAP = """
update pipeline.gaps set settled_at = now(), settled_by = %s, settlement = %s where id = %s and settled_at is null
"""


@click.group("raw")
def raw() -> None:
    """The raw store (MongoDB): whether it is whole, and what to do if it is not."""


@raw.command("check")
@_json
def check(as_json: bool) -> None:
    """Compare the store's identity and marks with the cursors. Exit status: 0 if it is whole, 1 if not."""
    with opened() as stores:
        identity, known = _identities(stores)
        found = losses(stores.raw, stores.warehouse, stores.kafka, settings.TOPIC)
    is_whole = not found and identity == known
    if as_json:
        picture = {"identity": identity, "expected": known, "lost": [asdict(loss) for loss in found]}
        click.echo(json.dumps(picture | {"is_whole": is_whole}, indent=2))
    else:
        click.echo(f"identity {identity or 'none'}, the cursors belong to {known or 'none yet'}")
        _tell(found)
        click.echo(
            "the raw store is whole" if is_whole else "the raw store is not whole: landing and transform stop"
        )
    if not is_whole:
        sys.exit(1)


@raw.command("observe")
def observe() -> None:
    """Record which accounts, media, places and polls are in what an older version loaded.

    The Dag housekeeping does the same each night, a part at a time. Safe to stop and restart.
    """
    with opened() as stores:
        while left := observe_older(stores.raw, stores.warehouse, 50_000):
            click.echo(f"{left} offsets to go", err=True)
    click.echo("everything that was loaded is observed")


@raw.command("accept-loss")
@click.option(
    "--because",
    required=True,
    help="Why the loss is accepted; kept in pipeline.raw_stores and with each gap.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_json
def accept(because: str, yes: bool, as_json: bool) -> None:
    """Give up what the raw store lost and Kafka no longer has, and continue with the store as it is.

    What Kafka still has is landed again. The rest becomes rows of pipeline.gaps, settled with your reason.
    """
    if not because.strip():
        raise click.UsageError("--because must say something")
    with opened() as stores:
        if not yes:
            _tell(losses(stores.raw, stores.warehouse, stores.kafka, settings.TOPIC))
            click.confirm("Give up what is lost?", abort=True)
        given_up = accept_loss(
            stores.raw,
            stores.warehouse,
            stores.kafka,
            settings.TOPIC,
            by=stores.by,
            reason=because.strip()[:500],
        )
    if as_json:
        click.echo(json.dumps([asdict(loss) for loss in given_up], indent=2))
    else:
        _tell(given_up)
        click.echo("accepted; landing and transform continue with their next run")


@raw.command("settle-gap")
@click.argument("gap_ids", nargs=-1, required=True, type=int, metavar="ID...")
@click.option("--because", required=True, help="Why it needs no more action; kept with the gap.")
def settle_gap(gap_ids: tuple[int, ...], because: str) -> None:
    """Close rows of pipeline.gaps that need no more action. They stay in the table and no longer count as trouble."""
    with opened() as stores:
        for gap_id in gap_ids:
            changed = stores.warehouse.execute(
                SETTLE_GAP, (stores.by, because.strip()[:500], gap_id)
            ).rowcount
            click.echo(f"gap {gap_id}: {'settled' if changed else 'there is no open gap with this id'}")


def _identities(stores: Opened) -> tuple[str | None, str | None]:
    row: Any = stores.warehouse.execute(CURRENT_STORE).fetchone()
    return RawStore(stores.raw).identity(), None if row is None else str(row[0])


def _tell(found: list[Loss]) -> None:
    for loss in found:
        where = f"topic {loss.topic_id} partition {loss.partition}"
        for start, end in loss.never_loaded:
            click.echo(f"{where}: offsets {start} to {end} are lost and were never loaded")
        if loss.only_in_raw:
            start, end = loss.only_in_raw
            click.echo(
                f"{where}: raw documents of offsets {start} to {end} are lost; their tweets are loaded"
            )
        if loss.refilled:
            start, end = loss.refilled
            click.echo(f"{where}: offsets {start} to {end} are still in Kafka and will be landed again")
