"""What tables and columns mean, kept in the database itself: `\\d+ twitter.tweets` says it, and so does every tool."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from twitter_pipeline.warehouse.model.table import Table

COMMENTS = """
select relname, coalesce(attname, ''), description from pg_class
left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
left join pg_description on objoid = pg_class.oid and classoid = 'pg_class'::regclass and objsubid = attnum
where relnamespace = 'twitter'::regnamespace and relkind = 'r'
union all
select relname, '', obj_description(oid, 'pg_class') from pg_class
where relnamespace = 'twitter'::regnamespace and relkind = 'r'
"""


def describe(connection: psycopg.Connection[Any], tables: Sequence[Table]) -> int:
    """Give tables and columns the comments that the model says; returns how many were changed.

    The connection belongs to the owner of the tables. What says so already is not written.
    """
    known = {(table, column): text for table, column, text in connection.execute(COMMENTS).fetchall()}
    changed = 0
    for table in tables:
        meanings = {"": table.meaning} | {column.name: column.meaning for column in table.described}
        for column, meaning in meanings.items():
            place = (table.name, column)
            if place not in known or known[place] == meaning:
                continue
            name = (
                sql.Identifier("twitter", table.name, column)
                if column
                else sql.Identifier("twitter", table.name)
            )
            what = sql.SQL("column" if column else "table")
            connection.execute(sql.SQL("comment on {} {} is {}").format(what, name, sql.Literal(meaning)))
            changed += 1
    return changed
