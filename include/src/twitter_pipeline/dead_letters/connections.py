"""The stores of a repair command: opened together, with errors that say what to do."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import psycopg
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from tweet_envelope.topic import TopicError
from twitter_pipeline import settings


@dataclass(frozen=True)
class Opened:
    """Open connections of one command, and the user who runs it."""

    raw: Database[Any] = field(repr=False)
    warehouse: psycopg.Connection = field(repr=False)
    kafka: dict[str, Any] = field(repr=False)
    by: str


@contextmanager
def opened() -> Iterator[Opened]:
    """Connections as the settings name them; a server's error becomes the command's error."""
    given = settings.load()
    try:
        with (
            psycopg.connect(
                given.need("postgres_dsn"),
                autocommit=True,
                connect_timeout=10,
                application_name="dead-letters",
            ) as warehouse,
            MongoClient[dict[str, Any]](given.need("mongo_uri"), serverSelectionTimeoutMS=10_000) as mongo,
        ):
            yield Opened(mongo[given.mongo_database], warehouse, given.kafka(), _user())
    except psycopg.Error as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise click.ClickException(f"PostgreSQL: {first}. Is the stack up (`make up`)?") from error
    except PyMongoError as error:
        raise click.ClickException(f"MongoDB: {str(error)[:200]}. Is the stack up (`make up`)?") from error
    except TopicError as error:
        raise click.ClickException(f"Kafka: {error}. Is the stack up (`make up`)?") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
