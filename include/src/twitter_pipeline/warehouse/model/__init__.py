"""The tables of schema `twitter`, declared once.

What is derived of them: the statements that stage and merge rows, the types that COPY is told, how plain fields of X are
read, which fields are drift, the columns of the contracts, and the comments in the database, of which the data dictionary
is made. Migrations are written by hand; a test holds database and model together.
"""

from twitter_pipeline.warehouse.model.columns import (
    CODE,
    CODES,
    COUNT,
    FLAG,
    ID,
    IDS,
    INSTANT,
    INTEGER,
    INTEGERS,
    KEY,
    TEXT,
    Column,
    Group,
    Merge,
    Type,
)
from twitter_pipeline.warehouse.model.entities import (
    HASHTAGS,
    TWEET_HASHTAGS,
    TWEET_MENTIONS,
    TWEET_URLS,
)
from twitter_pipeline.warehouse.model.table import Table
from twitter_pipeline.warehouse.model.tweets import (
    PUBLIC_METRICS,
    TWEET_METRICS,
    TWEET_REFERENCES,
    TWEET_RULES,
    TWEET_TEXTS,
    TWEETS,
)
from twitter_pipeline.warehouse.model.users import USERS

__all__ = [
    "CODE",
    "CODES",
    "COUNT",
    "DERIVED",
    "FLAG",
    "HASHTAGS",
    "ID",
    "IDS",
    "INSTANT",
    "INTEGER",
    "INTEGERS",
    "IN_LOADING_ORDER",
    "KEY",
    "KNOWN_FIELDS",
    "PUBLIC_METRICS",
    "TABLES",
    "TEXT",
    "TWEETS",
    "TWEET_HASHTAGS",
    "TWEET_MENTIONS",
    "TWEET_METRICS",
    "TWEET_REFERENCES",
    "TWEET_RULES",
    "TWEET_TEXTS",
    "TWEET_URLS",
    "USERS",
    "Column",
    "Group",
    "Merge",
    "Table",
    "Type",
]

IN_LOADING_ORDER = (
    USERS,
    TWEETS,
    TWEET_TEXTS,
    TWEET_RULES,
    HASHTAGS,
    TWEET_REFERENCES,
    TWEET_METRICS,
)
"""Every batch of every process touches the tables in this order, and rows by key: no deadlocks by design."""

DERIVED = (TWEET_HASHTAGS, TWEET_MENTIONS, TWEET_URLS)
"""What PostgreSQL makes of the set of entities in `twitter.tweets`, in the statement that merges it: never loaded."""

TABLES = (*IN_LOADING_ORDER, *DERIVED)

KNOWN_FIELDS = {
    "tweet": TWEETS.known_fields | TWEET_REFERENCES.known_fields,
    "user": USERS.known_fields,
}
"""The fields of X's objects that are no drift, by object."""
