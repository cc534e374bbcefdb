"""What a tweet and an account consist of for whoever reads them: one list each.

Everything that shows a tweet is made of it: the columns of the exports and their order, the types of Parquet, the JSON
of the API, its response models and their examples. A column of `twitter.tweets` that is served as it is stands in
TWEETS_OWN; one that is made of other tables, in TWEETS_MADE. New ones come at the end of the exports and of the JSON.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """What the values are, and so how they are written: JSON has ids as strings, lists that are unknown are empty."""

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
        """Whether there may be several values."""
        return self in {Kind.TEXTS, Kind.IDS, Kind.INTEGERS, Kind.REFERENCES}


_KINDS = {
    "text": Kind.TEXT,
    "text[]": Kind.TEXTS,
    "boolean": Kind.FLAG,
    "integer": Kind.COUNT,
    "smallint": Kind.COUNT,
    "bigint[]": Kind.IDS,
    "integer[]": Kind.INTEGERS,
    "smallint[]": Kind.INTEGERS,
    "timestamp with time zone": Kind.MILLISECONDS,
    "timestamptz": Kind.MILLISECONDS,
}
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

    `sql` gives it over `tweet`, `author` and `reference` of export.sql (`account` of users.sql); of `is_query` columns
    it is a query whose rows have an `item` each. `place` is where the API's object has it. `is_exported` and
    `is_in_api` say who shows it; what `is_always_known` is never null.
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
        """The value in an exported row: ids and times as text, since they do not fit into a double."""
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


def kind_of(name: str, postgres_type: str) -> Kind | None:
    """The kind of a column of this name and type; None for what is not served as it is (versions, jsonb)."""
    if postgres_type == "bigint":
        return Kind.ID if name == "id" or name.endswith("_id") else Kind.COUNT
    return _KINDS.get(postgres_type)


def own(table: str, name: str, kind: Kind, meaning: str, example: Any = _OF_KIND, **more: Any) -> Column:
    """A column of a table that is served as it is; counts stand in the API's `metrics`."""
    place = ("metrics", name) if name.endswith("_count") else ()
    return Column(name, kind, f"{table}.{name}", meaning, example, **({"place": place} | more))


def metrics_observed_at(table: str) -> Column:
    """When the counts of a row were observed; unknown where an archive did not say."""
    return Column(
        "metrics_observed_at",
        Kind.MICROSECONDS,
        f"nullif(twitter.observed_at({table}.metrics_version), timestamptz 'epoch')",
        "When the counts were true (UTC).",
        place=("metrics", "observed_at"),
    )


TWEETS_OWN = (
    own("tweet", "id", Kind.ID, "X's id of the tweet.", "2124816748540101560", is_always_known=True),
    own("tweet", "created_at", Kind.MILLISECONDS, "When it was posted (UTC)."),
    own("tweet", "author_id", Kind.ID, "The account that wrote it.", place=("author", "id")),
    own(
        "tweet",
        "text",
        Kind.TEXT,
        "As X sends it, with &amp;, &lt; and &gt;.",
        "The crema on this one #coffee",
    ),
    own("tweet", "note_text", Kind.TEXT, "The whole text of a tweet of more than 280 characters.", None),
    own("tweet", "lang", Kind.TEXT, "The language that X detected.", "en"),
    own("tweet", "source", Kind.TEXT, "The app that it was posted with.", is_in_api=False),
    own(
        "tweet",
        "conversation_id",
        Kind.ID,
        "The first tweet of the conversation.",
        "2124816748540101560",
    ),
    own("tweet", "in_reply_to_user_id", Kind.ID, "The account that it replies to.", None),
    own("tweet", "media_keys", Kind.TEXTS, "X's keys of its media.", ["3_2124816748540101000"]),
    own("tweet", "possibly_sensitive", Kind.FLAG, "Whether X marks its links or media as sensitive."),
    own(
        "tweet",
        "withheld_country_codes",
        Kind.TEXTS,
        "The countries in which X withholds it.",
        is_exported=False,
    ),
    own("tweet", "retweet_count", Kind.COUNT, "Retweets; of a retweet, those of the original.", 2),
    own("tweet", "reply_count", Kind.COUNT, "Replies.", 1),
    own("tweet", "like_count", Kind.COUNT, "Likes; a retweet has none.", 14),
    own("tweet", "quote_count", Kind.COUNT, "Quotes.", 0),
    own("tweet", "bookmark_count", Kind.COUNT, "Bookmarks.", 3),
    own("tweet", "impression_count", Kind.COUNT, "Views.", 902),
)
"""The columns of `twitter.tweets` that are served as they are."""

_REFERENCED = "{} tweet; null when there is none."
TWEETS_MADE = (
    Column(
        "author_username", Kind.TEXT, "author.username", "Its name today.", "Mada", ("author", "username")
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
        "Its hashtags, in the form in which they are compared.",
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
        "Its links, resolved as far as X does.",
        ["https://example.org/beans"],
        is_query=True,
    ),
    metrics_observed_at("tweet"),
    Column(
        "rules",
        Kind.TEXTS,
        'select rule as item from twitter.tweet_rules where tweet_id = tweet.id order by rule collate "C"',
        "The rules that brought it.",
        ["coffee"],
        is_query=True,
    ),
    Column(
        "text_unescaped",
        Kind.TEXT,
        # the ampersand last, so that nothing is undone twice
        "normalize(replace(replace(replace(tweet.text, '&lt;', '<'), '&gt;', '>'), '&amp;', '&'), nfc)",
        "The text as people read it.",
        is_in_api=False,
    ),
)
"""What belongs to a tweet and is made of other tables, or of several columns."""

_METRICS = (
    "retweet_count",
    "reply_count",
    "like_count",
    "quote_count",
    "bookmark_count",
    "impression_count",
    "metrics_observed_at",
)
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
    *_METRICS,
    "rules",
    "text_unescaped",
)
"""The first columns of an export: programs rely on their order, so it never changes. Others follow."""

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
    *_METRICS,
)


def in_order(first: Sequence[str], columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns of these names in this order, then the others as they come."""
    by_name = {column.name: column for column in columns}
    return tuple(by_name.pop(name) for name in first) + tuple(by_name.values())


EXPORTED = in_order(FIRST_EXPORTED, (c for c in (*TWEETS_OWN, *TWEETS_MADE) if c.is_exported))
"""The columns of an export, in their order."""

TWEET = in_order(FIRST_IN_API, (c for c in (*TWEETS_OWN, *TWEETS_MADE) if c.is_in_api))
"""The members of the API's tweet, in their order."""

USER = (
    own("account", "id", Kind.ID, "X's id of the account.", is_always_known=True),
    own("account", "username", Kind.TEXT, "Its name, without @.", "Mada"),
    own("account", "name", Kind.TEXT, "Its display name.", "Mada"),
    own("account", "created_at", Kind.MILLISECONDS, "When it was made (UTC).", "2022-01-09T00:00:00.000Z"),
    own("account", "description", Kind.TEXT, "What it says about itself.", "Roasts at night."),
    own("account", "location", Kind.TEXT, "Where it says to be.", "Nairobi"),
    own("account", "url", Kind.TEXT, "Its link.", None),
    own("account", "profile_image_url", Kind.TEXT, "Its picture.", None),
    own("account", "is_protected", Kind.FLAG, "Whether only its followers may read it."),
    own("account", "is_verified", Kind.FLAG, "Whether X verified it."),
    own("account", "verified_type", Kind.TEXT, "How: blue, business, government or none.", "none"),
    own("account", "pinned_tweet_id", Kind.ID, "The tweet on top of its profile.", None),
    Column(
        "collected_tweet_count",
        Kind.COUNT,
        "coalesce((select collected_tweet_count from twitter.collected_authors where user_id = account.id), 0)",
        "How many of its tweets are collected.",
        31,
        is_always_known=True,
    ),
    own("account", "followers_count", Kind.COUNT, "Accounts that follow it.", 310),
    own("account", "following_count", Kind.COUNT, "Accounts that it follows.", 12),
    own("account", "tweet_count", Kind.COUNT, "Tweets that it wrote.", 4021),
    own("account", "listed_count", Kind.COUNT, "Lists that it is on.", 3),
    own("account", "like_count", Kind.COUNT, "Tweets that it likes.", 900),
    own("account", "media_count", Kind.COUNT, "Media that it posted.", 41),
    metrics_observed_at("account"),
)
"""The members of the API's user, in their order."""


def json_object(columns: Iterable[Column]) -> str:
    """SQL that makes one JSON object of these columns, each at its place."""
    return _built({column.place: column.json for column in columns})


def example(columns: Iterable[Column]) -> dict[str, Any]:
    """One such object."""
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
