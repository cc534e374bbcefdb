"""The rules as an operator sees them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from twitter_pipeline.collection import kinds
from twitter_pipeline.collection.kind import Spec

LIST = """
select name, kind, spec, interval_seconds, page_size, first_poll_days, overlap_seconds, budget_usd,
    case
        when removed_at is not null then 'removed'
        when parked_at is not null then 'parked'
        when not is_enabled then 'disabled'
        when leased_until > now() then 'polled now'
        when next_due_at <= now() then 'due'
        else 'waiting'
    end as state,
    source, source_file, next_due_at, last_polled_at, parked_at, parked_reason, removed_at, last_error, last_error_at
from pipeline.rules order by name
"""


@dataclass(frozen=True)
class ListedRule:
    """A rule and its state: removed, parked, disabled, polled now, due or waiting. Times are UTC and aware."""

    name: str
    state: str
    kind: str
    spec: Spec
    interval_seconds: int
    page_size: int
    first_poll_days: int
    overlap_seconds: int
    budget_usd: Decimal | None
    source: str | None
    source_file: str | None
    next_due_at: datetime
    last_polled_at: datetime | None
    parked_at: datetime | None
    parked_reason: str | None
    removed_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None

    @property
    def trouble(self) -> str | None:
        """Why it is not polled, or why its last poll failed; None when nothing is wrong."""
        return self.parked_reason or (self.last_error if self.state != "removed" else None)

    def fields(self) -> dict[str, Any]:
        """All fields by name; what the rule asks for is under the field of its kind in a rules file."""
        told = asdict(self)
        kind, spec = told.pop("kind"), told.pop("spec")
        first = {name: told.pop(name) for name in ("name", "state")}
        return first | kinds.fields_of(kind, spec) | told


def list_rules(connection: psycopg.Connection) -> list[ListedRule]:
    """All rules ordered by name, removed ones included. Never writes."""
    with connection.cursor(row_factory=class_row(ListedRule)) as cursor:
        return cursor.execute(LIST).fetchall()
