"""Remove old rows of the pipeline's own records: those settled long ago, on which nothing acts any more.

Kept at any age: pages that wait to be settled or fetched again, the pages of imports (they say which lines of which file
were imported), reservations that were never answered, the newest results of each contract. Gaps, dead letters,
observations and everything in schema twitter are not touched. Safe to run repeatedly and concurrently.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from pymongo.database import Database

BATCH_ROWS = 10_000
# each statement removes one batch, so that transactions and locks stay short
OLD_ROWS = {
    "pages": """
        delete from pipeline.pages where request_id in (
            select request_id from pipeline.pages
            where state in ('settled', 'refetched', 'gone') and source <> 'import' and state_at < %(before)s
            limit %(rows)s
        )""",
    "spend": """
        delete from pipeline.spend where reservation in (
            select reservation from pipeline.spend
            where settled_at is not null and reserved_at < %(before)s and settled_at < %(before)s
            limit %(rows)s
        )""",
    "quality_results": """
        delete from pipeline.quality_results where id in (
            select id from pipeline.quality_results old
            where checked_at < %(before)s and exists (
                select from pipeline.quality_results newer
                where newer.contract = old.contract and newer.checked_at > old.checked_at
            )
            limit %(rows)s
        )""",
}


def prune(
    connection: psycopg.Connection, raw: Database[Any], days: int, now: datetime | None = None
) -> dict[str, int]:
    """Remove what is older than `days`; returns how many rows of each table or collection were removed.

    `connection`: as pipeline_loader, in autocommit mode; `raw`: the database of raw tweets.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    removed = {name: _in_batches(connection, statement, before) for name, statement in OLD_ROWS.items()}
    removed["api_requests"] = raw.api_requests.delete_many({"observed_at": {"$lt": before}}).deleted_count
    return removed


def _in_batches(connection: psycopg.Connection, statement: str, before: datetime) -> int:
    removed = 0
    while True:
        count = connection.execute(statement.encode(), {"before": before, "rows": BATCH_ROWS}).rowcount
        removed += count
        if count < BATCH_ROWS:
            return removed
