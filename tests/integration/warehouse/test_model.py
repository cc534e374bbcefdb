"""The database that the migrations create is the one that the model declares."""

from typing import Any

import psycopg
import pytest

from twitter_pipeline.warehouse import model
from twitter_pipeline.warehouse.migrations import migrate
from twitter_pipeline.warehouse.model.comments import describe

COLUMNS = """
select attname, format_type(atttypid, atttypmod), not attnotnull, col_description(attrelid, attnum)
from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""
KEY = """
select array(select attname::text from unnest(conkey) with ordinality as key (number, place)
    join pg_attribute on attrelid = conrelid and attnum = number order by place)
from pg_constraint where conrelid = %s::regclass and contype = 'p'
"""
TABLES = """
select relname from pg_class where relnamespace = 'twitter'::regnamespace and relkind = 'r' order by relname
"""


def test_every_table_of_the_schema_is_declared(postgres: Any) -> None:
    """No table is only in the database, and none only in the model."""
    with psycopg.connect(postgres.reader_dsn) as reader:
        found = [name for (name,) in reader.execute(TABLES).fetchall()]
    assert found == sorted(table.name for table in model.TABLES)


@pytest.mark.parametrize("table", model.TABLES, ids=lambda table: table.name)
def test_columns_types_nulls_and_meanings_are_those_of_the_model(postgres: Any, table: model.Table) -> None:
    """A migration without its column in the model, or the reverse, fails here."""
    with psycopg.connect(postgres.reader_dsn) as reader:
        found = {row[0]: row[1:] for row in reader.execute(COLUMNS, (f"twitter.{table.name}",)).fetchall()}
        (key,) = reader.execute(KEY, (f"twitter.{table.name}",)).fetchone() or ([],)
        meaning = reader.execute(
            "select obj_description(%s::regclass, 'pg_class')", (f"twitter.{table.name}",)
        )
        assert meaning.fetchone() == (table.meaning,)
    declared = {c.name: (c.type.postgres, c.is_null, c.meaning) for c in table.described}
    assert found == declared
    assert key == list(table.key)


def test_a_comment_of_an_older_version_is_brought_up_to_date(postgres: Any) -> None:
    """The dictionary in the database follows the model at the next migration, and nothing is written twice."""
    with psycopg.connect(postgres.migrator_dsn, autocommit=True) as owner:
        owner.execute("comment on column twitter.tweets.lang is 'a meaning of before'")
        migrate(postgres.migrator_dsn)
        found = owner.execute(COLUMNS, ("twitter.tweets",)).fetchall()
        assert {row[0]: row[3] for row in found}["lang"].startswith("Language by X's detection")
        assert describe(owner, model.TABLES) == 0
