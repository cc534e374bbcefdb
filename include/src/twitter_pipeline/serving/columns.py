"""What a tweet and an account consist of for readers: one list of columns each.

Everything that shows a tweet is derived from its list: the columns of exports and their order, Parquet types, the API's
JSON, its response models and their examples. Columns that are served unchanged come from the model of the tables, which
marks each of them; columns made from other tables are defined here. New columns go to the end of exports and JSON.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twitter_pipeline.warehouse import model


class Kind(Enum):
    """What the values are, and so how they are written: in JSON, ids are strings and unknown lists are empty."""

    TEXT = "text"
    ID = "id"
    COUNT = "count"
    FLAG = "flag"
    MILLISECONDS = "time to the millisecond"
    MICROSECONDS = "time to the microsecond"
    TEXTS = "list of texts"
    IDS = "list of ids"
    INTEGERS = "list of integers"
    REFERENCES = "list of references"

    @property
    def is_time(self) -> bool:
        """Whether it is an instant."""
        return self in {Kind.MILLISECONDS, Kind.MICROSECONDS}

    @property
    def is_list(self) -> bool:
        """Whether a cell can hold several values."""
        return self in {Kind.TEXTS, Kind.IDS, Kind.INTEGERS, Kind.REFERENCES}


_KINDS = {
    model.ID: Kind.ID,
    model.IDS: Kind.IDS,
    model.COUNT: Kind.COUNT,
    model.FLAG: Kind.FLAG,
    model.TEXT: Kind.TEXT,
    model.KEY: Kind.TEXT,
    model.CODE: Kind.TEXT,
    model.CODES: Kind.TEXTS,
    model.INSTANT: Kind.MILLISECONDS,
    model.INTEGER: Kind.COUNT,
    model.INTEGERS: Kind.INTEGERS,
}
"""How values of the model's types are shown; values of other types (versions, jsonb) are not shown."""
_TIMES = {
    Kind.MILLISECONDS: """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    Kind.MICROSECONDS: """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
_EXAMPLES: dict[Kind, Any] = {
    Kind.TEXT: "…",
    Kind.ID: "1480000000000000007",
    Kind.COUNT: 0,
    Kind.FLAG: False,
    Kind.MILLISECONDS: "2026-11-23T11:06:40.000Z",
    Kind.MICROSECONDS: "2026-11-23T11:07:15.250000Z",
    Kind.TEXTS: [],
    Kind.IDS: [],
    Kind.INTEGERS: [0, 29],
    Kind.REFERENCES: [],
}
_OF_KIND: Any = object()


@dataclass(frozen=True)
class Column:
    """One value of a row.

    `sql` is an expression over `tweet`, `author` and `reference` in export.sql (`account` in users.sql); for `is_query`
    columns, a query whose rows have one `item` each. `place` is its path in the API's object. `is_exported` and
    `is_in_api` say where it is shown; an `is_always_known` value is never null.
    """

    name: str
    kind: Kind
    sql: str
    meaning: str
    example: Any = _OF_KIND
    place: tuple[str, ...] = ()
    is_query: bool = False
    is_exported: bool = True
    is_in_api: bool = True
    is_always_known: bool = False

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", (self.name,))
        if self.example is _OF_KIND:
            object.__setattr__(self, "example", _EXAMPLES[self.kind])

    @property
    def cell(self) -> str:
        """The value in an exported row: ids and times as text, since ids do not fit into a double."""
        if self.kind is Kind.ID:
            return f"{self.sql}::text"
        if self.kind is Kind.IDS:
            return f"{self.sql}::text[]"
        if self.kind.is_time:
            return _TIMES[self.kind].format(self.sql)
        if self.kind is Kind.TEXTS:
            return f"array({self.sql})" if self.is_query else f"coalesce({self.sql}, '{{}}')"
        return self.sql

    @property
    def json(self) -> str:
        """The value in the API's object."""
        if self.is_query:
            return f"(select coalesce(json_agg(item), '[]') from ({self.sql}) listed)"
        if self.kind in {Kind.TEXTS, Kind.IDS}:
            value = f"{self.sql}::text[]" if self.kind is Kind.IDS else self.sql
            return f"coalesce(to_json({value}), '[]')"
        return self.cell


def own(table: str, column: model.Column, **more: Any) -> Column:
    """A column of a table that is served unchanged; counts go into the API's `metrics`."""
    name, kind = column.name, _KINDS[column.type]
    place = ("metrics", name) if kind is Kind.COUNT else ()
    return Column(name, kind, f"{table}.{name}", column.meaning, **({"place": place} | more))


def metrics_observed_at(table: str) -> Column:
    """When the counts of a row were observed; unknown if an archive did not say."""
    return Column(
        "metrics_observed_at",
        Kind.MICROSECONDS,
        f"nullif(twitter.observed_at({table}.metrics_version), timestamptz 'epoch')",
        "When the counts were observed (UTC).",
        place=("metrics", "observed_at"),
    )


def _served(table: model.Table, alias: str, shown: Mapping[str, Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of a table that are served unchanged; `shown` holds what is special about some of them."""
    return tuple(
        own(alias, column, is_always_known=column.name == "id", **shown.get(column.name, {}))
        for column in table.described
        if column.is_served and column.type in _KINDS
    )


TWEETS_OWN = _served(
    model.TWEETS,
    "tweet",
    {
        "id": {"example": "2124816748540101560"},
        "author_id": {"place": ("author", "id")},
        "text": {"example": "The crema on this one #coffee"},
        "note_text": {"example": None},
        "lang": {"example": "en"},
        "source": {"is_in_api": False},
        "conversation_id": {"example": "2124816748540101560"},
        "in_reply_to_user_id": {"example": None},
        "media_keys": {"example": ["3_2124816748540101000"]},
        "withheld_country_codes": {"is_exported": False},
        "retweet_count": {"example": 2},
        "reply_count": {"example": 1},
        "like_count": {"example": 14},
        "bookmark_count": {"example": 3},
        "impression_count": {"example": 902},
    },
)
"""The columns of `twitter.tweets` that are served unchanged."""

_REFERENCED = "{} tweet; null if there is none."
TWEETS_MADE = (
    Column(
        "author_username",
        Kind.TEXT,
        "author.username",
        "Its current username.",
        "Mada",
        ("author", "username"),
    ),
    Column("author_name", Kind.TEXT, "author.name", "Its display name.", "Mada", ("author", "name")),
    Column(
        "references",
        Kind.REFERENCES,
        "(select coalesce(json_agg(json_build_object('type', type, 'id', referenced_tweet_id::text)"
        " order by type, referenced_tweet_id), '[]') from twitter.tweet_references where tweet_id = tweet.id)",
        "The tweets that it replies to, quotes or retweets.",
        [{"type": "quoted", "id": "2124816000000000001"}],
        is_exported=False,
    ),
    *(
        Column(
            f"{type_of}_tweet_id",
            Kind.ID,
            f"reference.{type_of}",
            _REFERENCED.format(title),
            is_in_api=False,
        )
        for type_of, title in (
            ("replied_to", "The replied-to"),
            ("quoted", "The quoted"),
            ("retweeted", "The retweeted"),
        )
    ),
    Column(
        "hashtags",
        Kind.TEXTS,
        "select tag as item from twitter.tweet_hashtags where tweet_id = tweet.id"
        ' order by start_index nulls last, tag collate "C"',
        "Its hashtags, in normalised form.",
        ["coffee"],
        is_query=True,
    ),
    Column(
        "mentions",
        Kind.TEXTS,
        "select username as item from twitter.tweet_mentions where tweet_id = tweet.id"
        ' order by start_index nulls last, username collate "C"',
        "The accounts that it mentions, in lower case.",
        ["kekekitili"],
        is_query=True,
    ),
    Column(
        "urls",
        Kind.TEXTS,
        "select coalesce(unwound_url, expanded_url, url) as item from twitter.tweet_urls"
        " where tweet_id = tweet.id and coalesce(unwound_url, expanded_url, url) is not null"
        " group by 1 order by min(ordinal)",
        "Its links, resolved as far as X resolves them.",
        ["https://example.org/beans"],
        is_query=True,
    ),
    metrics_observed_at("tweet"),
    Column(
        "rules",
        Kind.TEXTS,
        'select rule as item from twitter.tweet_rules where tweet_id = tweet.id order by rule collate "C"',
        "The rules that found it.",
        ["coffee"],
        is_query=True,
    ),
    Column(
        "text_unescaped",
        Kind.TEXT,
        # the ampersand last, so that nothing is unescaped twice
        "normalize(replace(replace(replace(tweet.text, '&lt;', '<'), '&gt;', '>'), '&amp;', '&'), nfc)",
        "The text as people read it.",
        is_in_api=False,
    ),
)
"""The parts of a tweet that are made from other tables, or from several columns."""

FIRST_EXPORTED = (
    "id",
    "created_at",
    "author_id",
    "author_username",
    "author_name",
    "text",
    "note_text",
    "lang",
    "source",
    "conversation_id",
    "in_reply_to_user_id",
    "replied_to_tweet_id",
    "quoted_tweet_id",
    "retweeted_tweet_id",
    "hashtags",
    "mentions",
    "urls",
    "media_keys",
    "possibly_sensitive",
    "retweet_count",
    "reply_count",
    "like_count",
    "quote_count",
    "bookmark_count",
    "impression_count",
    "metrics_observed_at",
    "rules",
    "text_unescaped",
)
"""The first columns of an export: programs rely on their order, so it never changes. The others follow."""

FIRST_IN_API = (
    "id",
    "created_at",
    "text",
    "note_text",
    "lang",
    "author_id",
    "author_username",
    "author_name",
    "conversation_id",
    "in_reply_to_user_id",
    "references",
    "hashtags",
    "mentions",
    "urls",
    "media_keys",
    "rules",
    "possibly_sensitive",
    "withheld_country_codes",
    "retweet_count",
    "reply_count",
    "like_count",
    "quote_count",
    "bookmark_count",
    "impression_count",
    "metrics_observed_at",
)


def in_order(first: Sequence[str], columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns with these names in this order, then the others in their own order."""
    by_name = {column.name: column for column in columns}
    return tuple(by_name.pop(name) for name in first) + tuple(by_name.values())


EXPORTED = in_order(FIRST_EXPORTED, (c for c in (*TWEETS_OWN, *TWEETS_MADE) if c.is_exported))
"""The columns of an export, in order."""

TWEET = in_order(FIRST_IN_API, (c for c in (*TWEETS_OWN, *TWEETS_MADE) if c.is_in_api))
"""The members of the API's tweet, in order."""

FIRST_IN_USER = (
    "id",
    "username",
    "name",
    "created_at",
    "description",
    "location",
    "url",
    "profile_image_url",
    "is_protected",
    "is_verified",
    "verified_type",
    "pinned_tweet_id",
    "collected_tweet_count",
)

USERS_OWN = _served(
    model.USERS,
    "account",
    {
        "username": {"example": "Mada"},
        "name": {"example": "Mada"},
        "created_at": {"example": "2022-01-09T00:00:00.000Z"},
        "description": {"example": "Roasts at night."},
        "location": {"example": "Nairobi"},
        "url": {"example": None},
        "profile_image_url": {"example": None},
        "verified_type": {"example": "none"},
        "pinned_tweet_id": {"example": None},
        "followers_count": {"example": 310},
        "following_count": {"example": 12},
        "tweet_count": {"example": 4021},
        "listed_count": {"example": 3},
        "like_count": {"example": 900},
        "media_count": {"example": 41},
    },
)
"""The columns of `twitter.users` that are served unchanged."""

USERS_MADE = (
    Column(
        "collected_tweet_count",
        Kind.COUNT,
        "coalesce((select collected_tweet_count from twitter.collected_authors where user_id = account.id), 0)",
        "How many of its tweets have been collected.",
        31,
        is_always_known=True,
    ),
    metrics_observed_at("account"),
)
"""The parts of an account that are made from other tables, or from several columns."""

USER = in_order(FIRST_IN_USER, (*USERS_OWN, *USERS_MADE))
"""The members of the API's user, in order."""


def json_object(columns: Iterable[Column]) -> str:
    """SQL that builds one JSON object from these columns, each at its place."""
    return _built({column.place: column.json for column in columns})


def example(columns: Iterable[Column]) -> dict[str, Any]:
    """An example of such an object."""
    made: dict[str, Any] = {}
    for column in columns:
        *outer, last = column.place
        inside = made
        for name in outer:
            inside = inside.setdefault(name, {})
        inside[last] = column.example
    return made


def cells(columns: Iterable[Column]) -> str:
    """SQL for the columns of an exported row."""
    return ",\n    ".join(f"{column.cell} as {column.name}" for column in columns)


def _built(values: dict[tuple[str, ...], str]) -> str:
    groups: dict[str, dict[tuple[str, ...], str]] = {}
    for (first, *rest), sql in values.items():
        groups.setdefault(first, {})[tuple(rest)] = sql
    members = (f"'{name}', {inner[()] if () in inner else _built(inner)}" for name, inner in groups.items())
    return f"json_build_object({', '.join(members)})"
