"""A database of an older version, to be filled and upgraded."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from support.databases import TweetsDatabase, tweets_database
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.warehouse import migrations


@contextmanager
def older_database(server: PostgreSQL, migration: str) -> Iterator[TweetsDatabase]:
    """A fresh database with every migration before this one, dropped at the end; `migrate` applies the others."""
    older = [each for each in migrations.available() if each[0] < migration]
    with tweets_database(server, template=None) as database:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(migrations, "available", lambda: older)
            migrations.migrate(database.migrator_dsn)
        yield database


def upgrade(database: TweetsDatabase, filled: str) -> None:
    """Fill an older database by these statements, as the owner of its tables, and bring it to this version."""
    with psycopg.connect(database.migrator_dsn, autocommit=True) as owner:
        owner.execute(filled.encode())
    assert migrations.migrate(database.migrator_dsn), "it was no older database"
