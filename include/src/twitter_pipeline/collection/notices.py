"""What an operator should look at: one notice a subject, in pipeline.notices for as long as it holds."""

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
    """What holds since when (UTC, aware)."""

    subject: str
    notice: str
    noticed_at: datetime


def post(connection: psycopg.Connection, subject: str, notice: str) -> None:
    """Put up a notice, or change the one of this subject; one that says the same keeps its time."""
    connection.execute(POST, (subject, notice[:LONGEST].replace("\x00", "")))


def take_down(connection: psycopg.Connection, subject: str) -> None:
    """The subject needs no attention any more."""
    connection.execute("delete from pipeline.notices where subject = %s", (subject,))


def posted(connection: psycopg.Connection) -> list[Notice]:
    """All notices, the oldest first. Never writes."""
    with connection.cursor(row_factory=class_row(Notice)) as cursor:
        return cursor.execute(
            "select subject, notice, noticed_at from pipeline.notices order by noticed_at, subject"
        ).fetchall()
