"""`twitter-pipeline rules`: what is collected, what X refused, and what governs each rule."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import Any

import click
import psycopg

from twitter_pipeline import settings
from twitter_pipeline.collection import kinds, notices, seeding
from twitter_pipeline.collection import rules as rules_of
from twitter_pipeline.collection.kind import BadField, Takes
from twitter_pipeline.collection.listing import ListedRule, list_rules
from twitter_pipeline.collection.rule import rule_of


@contextmanager
def _connection(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection whose errors are reported readably."""
    try:
        with psycopg.connect(settings.load().need(dsn), autocommit=True, connect_timeout=10) as connection:
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise click.ClickException(
            "the tables belong to another version; run `make up` or `twitter-pipeline migrate`"
        ) from None
    except psycopg.OperationalError as error:
        raise click.ClickException(f"PostgreSQL: {str(error).strip().splitlines()[0]}") from None
    except (LookupError, seeding.NotYours) as error:
        raise click.ClickException(str(error)) from None


@click.group()
def rules() -> None:
    """The collection rules: what is asked of X, and the state of each rule."""


@rules.command("list")
@click.option("--all", "with_removed", is_flag=True, help="Include removed rules.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array, for programs.")
def list_(with_removed: bool, as_json: bool) -> None:
    """List the rules, what X refused, and what is wrong with the rules file."""
    with _connection("postgres_reader_dsn") as connection:
        known, posted = list_rules(connection), notices.posted(connection)
    shown = [rule for rule in known if with_removed or rule.state != "removed"]
    if as_json:
        click.echo(json.dumps([rule.fields() for rule in shown], indent=1, default=_plain))
    else:
        click.echo(_table(shown))
    for notice in posted:
        click.echo(f"{notice.subject}: {notice.notice}", err=True)


@rules.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs.")
def show(name: str, as_json: bool) -> None:
    """Show one rule in full."""
    with _connection("postgres_reader_dsn") as connection:
        found = [rule for rule in list_rules(connection) if rule.name == name]
    if not found:
        raise click.ClickException(f"there is no rule {name!r}; see `twitter-pipeline rules list --all`")
    fields = found[0].fields()
    if as_json:
        click.echo(json.dumps(fields, indent=1, default=_plain))
        return
    for field, value in fields.items():
        if value is not None:
            click.echo(f"{field:<16} {', '.join(value) if isinstance(value, list) else _plain(value)}")


def _unpark(names: Sequence[str]) -> None:
    with _connection("postgres_dsn") as connection:
        for name in names:
            done = rules_of.unpark(connection, name)
            click.echo(f"{name}: {'is no longer parked' if done else 'was not parked'}")


@rules.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def unpark(names: Sequence[str]) -> None:
    """Poll rules again that X refused; editing a rule does the same."""
    _unpark(names)


@rules.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def resume(names: Sequence[str]) -> None:
    """The same as unpark."""
    _unpark(names)


def _options_of_kinds(command: Callable[..., None]) -> Callable[..., None]:
    """An option for the field of each kind of rule."""
    for kind in reversed(list(kinds.KINDS.values())):
        is_list = kind.takes is Takes.ACCOUNT_NAMES
        command = click.option(kind.option, kind.field, multiple=is_list, help=kind.help)(command)
    return command


@rules.command()
@click.argument("name")
@_options_of_kinds
@click.option("--interval-seconds", type=int, default=60, show_default=True, help="How often to ask.")
@click.option("--page-size", type=int, default=100, show_default=True, help="Tweets per request, 10 to 100.")
@click.option(
    "--first-poll-days", type=int, default=7, show_default=True, help="How far back the first poll reaches."
)
@click.option(
    "--overlap-seconds",
    type=int,
    default=60,
    show_default=True,
    help="How far each poll overlaps the previous one.",
)
@click.option("--budget-usd", metavar="DOLLARS", help="The most that the rule may cost in a month.")
def add(name: str, budget_usd: str | None, **fields: Any) -> None:
    """Add a rule that no file governs; it is due at once."""
    try:
        budget = None if budget_usd is None else Decimal(budget_usd)
        if budget is not None and not budget.is_finite():
            raise InvalidOperation
        given = {
            field: list(value) or None if isinstance(value, tuple) else value
            for field, value in fields.items()
        }
        rule = rule_of(given | {"name": name, "budget_usd": budget})
    except InvalidOperation:
        raise click.ClickException(
            f"budget_usd: {budget_usd!r} must be an amount such as 5 or 0.50"
        ) from None
    except BadField as bad:
        raise click.ClickException(str(bad)) from None
    with _connection("postgres_dsn") as connection:
        seeding.add(connection, rule)
    click.echo(f"{name}: is due")


@rules.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: Sequence[str]) -> None:
    """Stop rules that no file names; tweets and checkpoints stay."""
    with _connection("postgres_dsn") as connection:
        for name in names:
            done = seeding.remove(connection, name, settings.load().rules_file())
            click.echo(f"{name}: {'stopped' if done else 'was already removed'}")


@rules.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def accept(names: Sequence[str]) -> None:
    """Hand rules that a command made over to the rules file."""
    with _connection("postgres_dsn") as connection:
        for name in names:
            done = seeding.accept(connection, name)
            click.echo(
                f"{name}: "
                + (
                    "the file that names it governs it from the next `make up` on"
                    if done
                    else "was not made by a command"
                )
            )


def _plain(value: object) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if hasattr(value, "astimezone") else str(value)


def _table(listed: Sequence[ListedRule]) -> str:
    if not listed:
        return "There are no rules; write rules.yaml (see rules.yaml.example) and run `make up`."
    lines = [f"{'rule':<24} {'state':<10} {'every':>8}  {'last read':<20}  asked"]
    for rule in listed:
        read = _plain(rule.last_polled_at) if rule.last_polled_at else "never"
        lines.append(
            f"{rule.name:<24} {rule.state:<10} {rule.interval_seconds:>6} s  {read:<20}  {kinds.shown(rule.kind, rule.spec)}"
        )
        if rule.trouble:
            lines.append(f"{'':<24} {' '.join(rule.trouble.split())}")
    return "\n".join(lines)
