"""`twitter-pipeline dead-letters`: handle records that a stage could not process."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

import click

from twitter_pipeline import settings
from twitter_pipeline.dead_letters.connections import opened
from twitter_pipeline.dead_letters.letters import STAGES, DeadLetters, Letter, UnknownLetter
from twitter_pipeline.dead_letters.redrive import Outcome, Redriver

SHOWN_BYTES = 2_000
SHOWN_OUTCOMES = 50
MOST = 10_000
_T = TypeVar("_T")

_stage = click.option("--stage", type=click.Choice(STAGES), help="Only letters of this stage.")
_reason = click.option("--reason", help="Only letters with this reason, e.g. shape.")
_limit = click.option(
    "--limit", type=click.IntRange(1, MOST), default=100, show_default=True, help="The most letters to take."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("dead-letters")
def dead_letters() -> None:
    """Records that a stage could not process: list, show, re-drive after a fix, or settle them."""


@dead_letters.command("list")
@_stage
@_reason
@_limit
@click.option("--all", "resolved", is_flag=True, help="Include resolved letters.")
@_json
def list_(stage: str | None, reason: str | None, limit: int, resolved: bool, as_json: bool) -> None:
    """List open letters of all stages, newest first."""
    with opened() as stores:
        letters = DeadLetters(stores.raw, stores.warehouse)
        found = letters.find(stage=stage, reason=reason, resolved=resolved, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    if as_json:
        click.echo(json.dumps({"letters": [_plain(letter) for letter in found], "more": more}, indent=2))
        return
    for letter in found:
        state = f" [{letter.resolution} by {letter.resolved_by}]" if letter.resolved_at else ""
        click.echo(f"{_time(letter.failed_at)}  {letter.stage:<9} {letter.reason:<20} {letter.id}{state}")
        click.echo(f"    {letter.detail[:200]}")
    if not found:
        click.echo("no dead letters" if resolved else "no open dead letters")
    if more:
        click.echo(f"and more; --limit shows up to {MOST:,}")


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID")
@click.option(
    "--bytes",
    "whole",
    is_flag=True,
    help="Write all of its bytes, and nothing else, to standard output.",
)
@_json
def show(letter_id: str, whole: bool, as_json: bool) -> None:
    """Show one letter and the beginning of its bytes."""
    with opened() as stores:
        letter, payload = _found(DeadLetters(stores.raw, stores.warehouse).get, letter_id)
    if whole:
        click.echo(payload or b"", nl=False)
        return
    text = None if payload is None else payload[:SHOWN_BYTES].decode(errors="replace")
    size = None if payload is None else len(payload)
    if as_json:
        click.echo(json.dumps(_plain(letter) | {"payload": text, "payload_bytes": size}, indent=2))
        return
    for name, value in _plain(letter).items():
        if value is not None:
            click.echo(f"{name + ':':<13} {value}")
    click.echo(f"{'bytes:':<13} {'none' if size is None else f'{size:,}'}")
    if text is not None:
        click.echo(text)


@dead_letters.command("redrive")
@click.argument("letter_ids", nargs=-1, metavar="[ID]...")
@_stage
@_reason
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=1000, show_default=True, help="The most letters to take."
)
@click.option(
    "--all", "everything", is_flag=True, help="All open letters, limited to --stage and --reason if given."
)
@_json
def redrive(
    letter_ids: tuple[str, ...],
    stage: str | None,
    reason: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """Try letters again after a fix, each under its own coordinates; repeating it is safe.

    Exit status: 0 if all of them are resolved, 1 if some stay open.
    """
    if bool(letter_ids) == bool(stage or reason or everything):
        raise click.UsageError("name letters, or choose them by --stage, --reason or --all")
    with opened() as stores:
        chosen = DeadLetters(stores.raw, stores.warehouse).open_ids(stage=stage, reason=reason, limit=limit)
        redriver = Redriver(stores.raw, stores.warehouse, stores.kafka, settings.TOPIC, stores.by)
        outcomes = [_found(redriver.redrive, each) for each in letter_ids or chosen]
    _conclude(outcomes, as_json)


@dead_letters.command("settle")
@click.argument("letter_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--because", required=True, help="Why it needs no more action; kept with the letter.")
@_json
def settle(letter_ids: tuple[str, ...], because: str, as_json: bool) -> None:
    """Close letters that need no more action. They stay stored, and the accounting counts them as dead letters."""
    if not because.strip():
        raise click.UsageError("--because must say something")
    with opened() as stores:
        letters = DeadLetters(stores.raw, stores.warehouse)
        resolution = f"settled: {because.strip()[:500]}"
        changed = {
            each: _found(lambda one: letters.settle(one, resolution, stores.by), each) for each in letter_ids
        }
    if as_json:
        click.echo(json.dumps({"settled": [e for e, c in changed.items() if c]}, indent=2))
        return
    for each, is_changed in changed.items():
        click.echo(f"{each}: {'settled' if is_changed else 'was resolved already'}")


def _conclude(outcomes: list[Outcome], as_json: bool) -> None:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.result] = counts.get(outcome.result, 0) + 1
    if as_json:
        click.echo(
            json.dumps({"counts": counts, "letters": [asdict(outcome) for outcome in outcomes]}, indent=2)
        )
    else:
        for outcome in outcomes[:SHOWN_OUTCOMES]:
            click.echo(f"{outcome.id}: {outcome.result}{f': {outcome.detail}' if outcome.detail else ''}")
        if len(outcomes) > SHOWN_OUTCOMES:
            click.echo(f"and {len(outcomes) - SHOWN_OUTCOMES:,} more")
        click.echo(
            ", ".join(f"{count:,} {result}" for result, count in sorted(counts.items()))
            or "no open dead letters"
        )
    if not all(outcome.is_resolved for outcome in outcomes):
        sys.exit(1)


def _found(ask: Callable[[str], _T], letter_id: str) -> _T:
    try:
        return ask(letter_id)
    except UnknownLetter as error:
        raise click.UsageError(str(error)) from error


def _plain(letter: Letter) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(letter).items()
    }


def _time(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"
