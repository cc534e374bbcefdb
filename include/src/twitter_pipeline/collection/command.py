"""`twitter-pipeline spend`: budgets, requests of unknown cost, and what is stopped."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any, TextIO

import click
import psycopg

from twitter_pipeline import settings
from twitter_pipeline.collection import budget, circuits, settlement

# budget_usd by its key in the row as JSON, so that a database without that column can be read too
BY_RULE = """
select coalesce(spent.rule, rules.name), coalesce(spent.usd, 0), (to_jsonb(rules) ->> 'budget_usd')::numeric
from (
    select rule, sum(coalesce(actual_usd, reserved_usd)) as usd from pipeline.spend
    where reserved_at >= date_trunc('month', now(), 'UTC') group by rule
) spent
full join pipeline.rules rules on rules.name = spent.rule
order by 2 desc, 1
"""
STOPPED = """
select rule, sum(actual_usd - reserved_usd) from pipeline.spend
where actual_usd > reserved_usd and overshoot_allowed_at is null group by rule order by rule
"""


@contextmanager
def _warehouse() -> Iterator[psycopg.Connection[Any]]:
    dsn = settings.load().need("postgres_dsn")
    try:
        with psycopg.connect(
            dsn, autocommit=True, connect_timeout=10, application_name="spend"
        ) as connection:
            yield connection
    except psycopg.Error as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise click.ClickException(f"PostgreSQL: {reason}") from None


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def spend(context: click.Context, as_json: bool) -> None:
    """Show what was spent this month (UTC) and which costs are unknown; settle, allow, and try again.

    Without a command it shows the budgets, in total and by rule.
    """
    if context.invoked_subcommand is None:
        with _warehouse() as connection:
            now = _overview(connection, settings.load().x_budget_usd)
        click.echo(json.dumps(now, default=str, indent=2) if as_json else _as_text(now))


def _overview(connection: psycopg.Connection[Any], total_usd: Decimal | None) -> dict[str, Any]:
    kept = settlement.kept(connection)
    return {
        "total": _used(budget.spent_this_month(connection), total_usd),
        "rules": [
            {"rule": rule, **_used(spent, limit)}
            for rule, spent, limit in connection.execute(BY_RULE).fetchall()
            if spent or limit is not None
        ],
        "unknown": {"requests": len(kept), "usd": sum((each.reserved_usd for each in kept), Decimal(0))},
        "stopped_rules": [
            {"rule": rule, "overshoot_usd": usd} for rule, usd in connection.execute(STOPPED).fetchall()
        ],
        "open_circuits": [
            {"api": each.api, "probe_at": each.probe_at, "text": str(each)}
            for each in circuits.open_circuits(connection)
        ],
    }


def _used(spent_usd: Decimal, budget_usd: Decimal | None) -> dict[str, Any]:
    is_warned = bool(budget_usd) and spent_usd >= (budget_usd or 0) * budget.WARN_AT
    return {"spent_usd": spent_usd, "budget_usd": budget_usd, "is_over_80_percent": is_warned}


def _as_text(now: dict[str, Any]) -> str:
    lines = [f"{'this month (UTC)':<40} {'spent':>12} {'budget':>12}"]
    for name, used in [("all rules", now["total"]), *((each["rule"] or "-", each) for each in now["rules"])]:
        limit = "-" if used["budget_usd"] is None else f"${used['budget_usd']}"
        warning = "  over 80 %" if used["is_over_80_percent"] else ""
        lines.append(f"{name:<40} {'$' + str(used['spent_usd']):>12} {limit:>12}{warning}")
    if now["unknown"]["requests"]:
        lines += [
            "",
            f"The cost of {now['unknown']['requests']} requests is unknown (${now['unknown']['usd']}, counted above or "
            "in earlier months): see `twitter-pipeline spend unknown`.",
        ]
    for stopped in now["stopped_rules"]:
        rule = stopped["rule"] or "-"
        lines += [
            "",
            f"Rule {rule} is stopped: answers cost ${stopped['overshoot_usd']} more than reserved. After checking X's "
            f"bill: `twitter-pipeline spend allow {rule}`.",
        ]
    for circuit in now["open_circuits"]:
        lines += ["", f"{circuit['text']}. To try at once: `twitter-pipeline spend probe`."]
    return "\n".join(lines)


@spend.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def unknown(as_json: bool) -> None:
    """List the requests of unknown cost; they count at their full price."""
    with _warehouse() as connection:
        kept = settlement.kept(connection)
    if as_json:
        click.echo(json.dumps([vars(each) for each in kept], default=str, indent=2))
        return
    for each in kept:
        when = f"{each.reserved_at:%Y-%m-%dT%H:%M:%S%z}"
        click.echo(
            f"{each.reservation}  {when}  ${each.reserved_usd:<8} {each.endpoint}  rule {each.rule or '-'}"
        )
    if not kept:
        click.echo("The cost of every request is known.")


def _dollars(context: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        usd = Decimal(value)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd < 10**8:
        raise click.BadParameter(f"{value!r} is not an amount in US dollars")
    return usd


@spend.command()
@click.argument("reservations", nargs=-1, metavar="[RESERVATION]...")
@click.option(
    "--usd", callback=_dollars, help="What each of them cost according to X's bill; 0 if it was not billed."
)
@click.option("--full-price", is_flag=True, help="Each of them cost what was reserved for it.")
@click.option(
    "--usage", type=click.File("r"), help="X's answer to GET /2/usage/tweets, or - for standard input."
)
def settle(
    reservations: tuple[str, ...], usd: Decimal | None, full_price: bool, usage: TextIO | None
) -> None:
    """Settle requests of unknown cost.

    By hand with --usd or --full-price, or all reads of posts on past days by X's figures with --usage:

    \b
    curl -H "Authorization: Bearer $X_BEARER_TOKEN" \\
      "https://api.x.com/2/usage/tweets?days=30&usage.fields=daily_project_usage" |
      twitter-pipeline spend settle --usage -
    """
    if (usage is None) != bool(reservations) or (usage is None) != ((usd is None) == full_price):
        raise click.UsageError("give reservations with --usd or --full-price, or --usage alone")
    with _warehouse() as connection:
        if usage is None:
            try:
                settlement.settle_by_hand(connection, reservations, usd)
            except settlement.NotKept as error:
                raise click.ClickException(str(error)) from None
            click.echo(f"settled: {len(reservations)}")
            return
        try:
            posts = settlement.posts_by_day(json.load(usage))
        except ValueError as error:
            raise click.ClickException(f"--usage: {error}") from None
        for day in settlement.settle_by_usage(connection, posts):
            click.echo(
                f"{day.day}: X shows {day.posts} posts; {day.rows} requests settled at ${day.actual_usd} "
                f"of ${day.reserved_usd} reserved"
            )


@spend.command()
@click.argument("rule")
def allow(rule: str) -> None:
    """Resume RULE, which stopped because an answer cost more than reserved (- for requests without a rule)."""
    with _warehouse() as connection:
        if settlement.allow(connection, None if rule == "-" else rule) == 0:
            raise click.ClickException(f"rule {rule} is not stopped")
    click.echo(f"rule {rule} resumes")


@spend.command()
def probe() -> None:
    """Send the next request to X as the probe of an open circuit, without waiting for its time."""
    with _warehouse() as connection:
        apis = circuits.probe_now(connection)
    for api in apis:
        click.echo(f"the next request to {api} is sent as a probe")
    if not apis:
        click.echo("no circuit is open")
