"""What an operator should look at: one notice per subject, in pipeline.notices for as long as it applies."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

POST = """
insert into pipeline.notices as known (subject, notice) values (%s, %s)
on conflict (subject) do update set notice = excluded.notice, noticed_at = now()
where known.notice is distinct from excluded.notice
"""
LONGEST = 2000


@dataclass(frozen=True)
class Notice:
    """What needs attention, and since when (UTC, aware)."""

    subject: str
    notice: str
    noticed_at: datetime


def post(connection: psycopg.Connection, subject: str, notice: str) -> None:
    """Post a notice, or replace the one on this subject; an unchanged notice keeps its time."""
    connection.execute(POST, (subject, notice[:LONGEST].replace("\x00", "")))


def take_down(connection: psycopg.Connection, subject: str) -> None:
    """Remove the notice on a subject that no longer needs attention."""
    connection.execute("delete from pipeline.notices where subject = %s", (subject,))


def posted(connection: psycopg.Connection) -> list[Notice]:
    """All notices, oldest first. Never writes."""
    with connection.cursor(row_factory=class_row(Notice)) as cursor:
        return cursor.execute(
            "select subject, notice, noticed_at from pipeline.notices order by noticed_at, subject"
        ).fetchall()
