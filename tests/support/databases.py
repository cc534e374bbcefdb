"""Databases of the tests, in PostgreSQL and MongoDB."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database

from support.names import fresh
from twitter_pipeline.deployment import roles
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.warehouse import migrations

TEMPLATE = "tweets_template"


@dataclass(frozen=True)
class TweetsDatabase:
    """One database of a test: the same server and name for each of the pipeline's roles."""

    server: PostgreSQL
    name: str

    def _dsn(self, role: str) -> str:
        return self.server.dsn(self.name, role, role)

    @property
    def dsn(self) -> str:
        """As pipeline_loader, the role of the data path."""
        return self._dsn("pipeline_loader")

    @property
    def migrator_dsn(self) -> str:
        return self._dsn("pipeline_migrator")

    @property
    def reader_dsn(self) -> str:
        return self._dsn("pipeline_reader")

    @property
    def superuser_dsn(self) -> str:
        return self.server.superuser_dsn(self.name)


def create_migrated(server: PostgreSQL, name: str) -> TweetsDatabase:
    """The pipeline's roles and one migrated database on a server that has neither; a role's password is its name."""
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
        for role in roles.PIPELINE_ROLES:
            roles.create_role(superuser, role, role)
        roles.create_tweets_database(superuser, name)
    database = TweetsDatabase(server, name)
    migrations.migrate(database.migrator_dsn)
    return database


@contextlib.contextmanager
def tweets_database(server: PostgreSQL, template: str | None = TEMPLATE) -> Iterator[TweetsDatabase]:
    """A fresh copy of the template (None: an empty database), dropped at the end."""
    name = fresh("tweets")
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
        roles.create_tweets_database(superuser, name, template=template)
    yield TweetsDatabase(server, name)
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class RawStore:
    """One MongoDB database of a test."""

    uri: str = field(repr=False)
    name: str
    client: MongoClient[dict[str, Any]] = field(repr=False)

    @property
    def database(self) -> Database[dict[str, Any]]:
        return self.client[self.name]
