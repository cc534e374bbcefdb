"""Settle reservations that were kept because the cost of their requests is unknown.

X reports how many posts a project has read on each UTC day: late, for all apps of the project together, and nothing
about users. So a day after that day has ended, its figures can lower what was kept for reads of posts, never below what
they show minus what is already settled. An operator settles everything else by hand from X's bill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from twitter_pipeline.collection.budget import RESERVATION_LOCK

BRINGS_NO_POSTS = (
    r"^/2/(users(/by(/username/:username)?)?|users/:id/follow(ers|ing)|tweets/counts/.*|usage/.*)$"
)
"""X's usage figures count posts, so they do not settle requests for accounts, counts and usage itself."""
MOST_PER_POST_USD = Decimal("0.015")  # a post and its author, by the price list of 2026-09
LATE = timedelta(days=1)
LONGEST_REQUEST = timedelta(minutes=15)

# A request is under way while the backend of its owner lives; every other one without a cost was kept.
KEPT = """
select reservation::text, rule, endpoint, reserved_usd, reserved_at
from pipeline.spend
where actual_usd is null and (
    unknown_at is not null
    or reserved_at < now() - interval '20 minutes'
    or not exists (select from pg_stat_activity where pid = owner_pid and backend_start = owner_started_at)
)
order by reserved_at
"""
BY_HAND = """
update pipeline.spend set actual_usd = coalesce(%(usd)s, reserved_usd), settled_at = now(), settled_by = 'operator'
where reservation::text = %(reservation)s and actual_usd is null
returning reservation
"""
# A row settled before result_count existed counts as the fewest posts that its cost allows.
SETTLED_POSTS = """
select coalesce(sum(coalesce(result_count, floor(actual_usd / %(per_post)s))), 0) from pipeline.spend
where endpoint !~ %(brings_no_posts)s and (reserved_at at time zone 'UTC')::date = %(day)s
    and actual_usd is not null and settled_by is distinct from 'usage'
"""
# X may count requests around midnight on either day; they are left to the operator.
TO_SETTLE = """
select reservation, reserved_usd from pipeline.spend
where endpoint !~ %(brings_no_posts)s and (reserved_at at time zone 'UTC')::date = %(day)s
    and ((reserved_at + %(longest)s) at time zone 'UTC')::date = %(day)s
    and (actual_usd is null or settled_by = 'usage')
order by reserved_usd desc, reservation
for update
"""
BY_USAGE = """
update pipeline.spend set actual_usd = %s, settled_at = now(), settled_by = 'usage' where reservation = %s
"""
ALLOW = """
update pipeline.spend set overshoot_allowed_at = now()
where rule is not distinct from %s and actual_usd > reserved_usd and overshoot_allowed_at is null
"""


class UsageUnreadable(ValueError):
    """Not an answer of GET /2/usage/tweets with daily figures; the text names what is missing."""


class NotKept(LookupError):
    """No reservation with this id waits for a cost."""


@dataclass(frozen=True)
class Kept:
    """A reservation that counts at its full price because the cost of its request is unknown."""

    reservation: str
    rule: str | None
    endpoint: str
    reserved_usd: Decimal
    reserved_at: datetime


@dataclass(frozen=True)
class Day:
    """The effect of X's figures for one UTC day: rows settled, their reserved price, and what they cost at most."""

    day: date
    posts: int
    rows: int
    reserved_usd: Decimal
    actual_usd: Decimal


def kept(connection: psycopg.Connection) -> list[Kept]:
    """Reservations that wait for a cost, oldest first, without requests under way. Never writes."""
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        return cursor.execute(KEPT).fetchall()


def settle_by_hand(
    connection: psycopg.Connection, reservations: Sequence[str], actual_usd: Decimal | None
) -> None:
    """Settle each at `actual_usd`, or at its reserved price (None). Raises NotKept; then nothing is changed."""
    with connection.transaction():
        for reservation in reservations:
            if connection.execute(BY_HAND, {"usd": actual_usd, "reservation": reservation}).rowcount == 0:
                raise NotKept(f"no reservation {reservation} waits for a cost; nothing was changed")


def posts_by_day(answer: Any) -> dict[date, int]:
    """Posts read by UTC day, from X's answer with `usage.fields=daily_project_usage`. Raises UsageUnreadable."""
    data = answer.get("data") if isinstance(answer, Mapping) else None
    daily = data.get("daily_project_usage") if isinstance(data, Mapping) else None
    days = daily.get("usage") if isinstance(daily, Mapping) else None
    if not isinstance(days, list):
        raise UsageUnreadable(
            "data.daily_project_usage.usage is missing: ask with usage.fields=daily_project_usage"
        )
    found: dict[date, int] = {}
    for entry in days:
        try:
            day, posts = date.fromisoformat(str(entry["date"])[:10]), int(str(entry["usage"]))
        except (KeyError, TypeError, ValueError):
            raise UsageUnreadable(f"data.daily_project_usage.usage holds {str(entry)[:80]!r}") from None
        if posts < 0:
            raise UsageUnreadable(f"data.daily_project_usage.usage holds {posts} posts on {day}")
        found[day] = posts
    return found


def settle_by_usage(
    connection: psycopg.Connection, posts: Mapping[date, int], now: datetime | None = None
) -> list[Day]:
    """Lower what was kept for reads of posts to what X's figures allow; can be repeated with newer figures.

    Touches only days in `posts` that ended at least a day ago.
    """
    last = ((now or datetime.now(UTC)).astimezone(UTC) - LATE).date() - timedelta(days=1)
    return [_settle_day(connection, day, posts[day]) for day in sorted(posts) if day <= last]


def _settle_day(connection: psycopg.Connection, day: date, posts: int) -> Day:
    given = {
        "day": day,
        "brings_no_posts": BRINGS_NO_POSTS,
        "per_post": MOST_PER_POST_USD,
        "longest": LONGEST_REQUEST,
    }
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (RESERVATION_LOCK,))
        (settled,) = connection.execute(SETTLED_POSTS, given).fetchone() or (0,)
        left_usd = max(posts - int(settled), 0) * MOST_PER_POST_USD
        rows = connection.execute(TO_SETTLE, given).fetchall()
        total = Decimal(0)
        for reservation, reserved_usd in rows:
            actual_usd = min(reserved_usd, left_usd - total)
            total += actual_usd
            connection.execute(BY_USAGE, (actual_usd, reservation))
    return Day(day, posts, len(rows), sum((usd for _, usd in rows), Decimal(0)), total)


def allow(connection: psycopg.Connection, rule: str | None) -> int:
    """Resume a rule that stopped because answers cost more than reserved; returns how many such answers there were."""
    return connection.execute(ALLOW, (rule,)).rowcount
