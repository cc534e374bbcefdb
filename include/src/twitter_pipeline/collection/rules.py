"""Collection rules: kept in pipeline.rules, seeded from a file, leased by the run that polls.

A rule is polled while it is enabled, not parked and not removed. A run whose request X refuses parks the rule; editing
or unparking the rule makes it due again.
"""

import psycopg
from psycopg.rows import class_row

from twitter_pipeline.collection.rule import NAME, Rule
from twitter_pipeline.collection.rules_file import BadRules, read_rules
from twitter_pipeline.collection.seeding import Seeded, seed
from twitter_pipeline.collection.storable import LONGEST_ERROR, storable

__all__ = [
    "NAME",
    "BadRules",
    "Rule",
    "Seeded",
    "count",
    "due",
    "find",
    "park",
    "read_rules",
    "seed",
    "unpark",
]

MOST_DUE = 1000  # Airflow refuses to map a task over more than 1,024

FIND = """
select name, kind, spec, interval_seconds, is_enabled, page_size, first_poll_days, overlap_seconds, budget_usd
from pipeline.rules where name = %s
"""
DUE = """
select name from pipeline.rules
where is_enabled and parked_at is null and removed_at is null
    and next_due_at <= now() and (leased_until is null or leased_until < now())
order by next_due_at, name limit %s
"""
PARK = """
update pipeline.rules set parked_at = coalesce(parked_at, now()), parked_reason = %(reason)s
where name = %(name)s and (kind, spec, page_size, first_poll_days, overlap_seconds)
    is not distinct from (%(kind)s, %(spec)s, %(page_size)s, %(first_poll_days)s, %(overlap_seconds)s)
"""
UNPARK = """
update pipeline.rules set parked_at = null, parked_reason = null, last_error = null, last_error_at = null,
    next_due_at = least(next_due_at, now())
where name = %s and parked_at is not null
"""


def find(connection: psycopg.Connection, name: str) -> Rule:
    """The rule with this name. Raises LookupError. Never writes."""
    with connection.cursor(row_factory=class_row(Rule)) as cursor:
        rule = cursor.execute(FIND, (name,)).fetchone()
    if rule is None:
        raise LookupError(f"there is no rule {name!r} in pipeline.rules")
    return rule


def due(connection: psycopg.Connection, limit: int = MOST_DUE) -> list[str]:
    """Names of the rules that are due and not being polled, longest waiting first, at most `limit`.

    Those beyond the limit come first next time. Never writes.
    """
    return [name for (name,) in connection.execute(DUE, (limit,)).fetchall()]


def count(connection: psycopg.Connection) -> int:
    """The number of rules, without removed ones. Never writes."""
    row = connection.execute("select count(*) from pipeline.rules where removed_at is null").fetchone()
    return int(row[0]) if row else 0


def park(connection: psycopg.Connection, rule: Rule, reason: str) -> bool:
    """Stop polling a rule that X has refused until it is edited or unparked; `reason` is X's own.

    `rule` is the rule as it was polled: if it was edited meanwhile, it is not parked and False is returned.
    """
    return connection.execute(PARK, rule.columns() | {"reason": storable(reason, LONGEST_ERROR)}).rowcount > 0


def unpark(connection: psycopg.Connection, name: str) -> bool:
    """Make a parked rule due again at once; False for a rule that is not parked. Raises LookupError."""
    find(connection, name)
    return connection.execute(UNPARK, (name,)).rowcount > 0
