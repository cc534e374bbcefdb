"""The tables of schema `twitter` as things that observations merge into, and the SQL that merges them.

The same declaration drives the merge inside a batch (Python) and the merge into PostgreSQL (SQL), so that the
two cannot drift. Every merge is commutative, associative and idempotent: any step may run twice, late or out of
order, and the tables end the same.

    fixed    least(old, new), nulls ignored: what never changes is filled by whoever has it
    grown    greatest(old, new): lists that only get longer (edit histories)
    groups   version column -> its volatile columns: the greater version wins as a whole
    any_of   booleans that are true once one observation says so
    all_of   booleans that stay true only while every observation says so
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Table:
    """One table: its key and how each other column merges. Column order is the order of a staged row."""

    name: str
    key: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All loaded columns: key first, then fixed, grown, groups (columns, then version), booleans."""
        volatile = tuple(c for version, columns in self.groups.items() for c in (*columns, version))
        return (*self.key, *self.fixed, *self.grown, *volatile, *self.any_of, *self.all_of)

    @property
    def staging(self) -> str:
        """Name of the temporary table that a batch is copied into."""
        return f"staged_{self.name}"

    @cached_property
    def _blank(self) -> dict[str, Any]:
        return (
            dict.fromkeys(self.columns) | dict.fromkeys(self.any_of, False) | dict.fromkeys(self.all_of, True)
        )

    def blank(self, *key: Any) -> dict[str, Any]:
        """A row that says nothing yet but its key; merging it changes nothing that is known."""
        row = self._blank.copy()
        row.update(zip(self.key, key, strict=True))
        return row

    def merge(self, into: dict[str, Any], new: Mapping[str, Any]) -> None:
        """Merge one observation of a row into another of the same key, as the SQL does."""
        for column in self.fixed:
            if (value := new[column]) is not None and (into[column] is None or value < into[column]):
                into[column] = value
        for column in self.grown:
            if (value := new[column]) is not None and (into[column] is None or value > into[column]):
                into[column] = value
        for version, columns in self.groups.items():
            if (value := new[version]) is not None and (into[version] is None or value > into[version]):
                into[version] = value
                for column in columns:
                    into[column] = new[column]
        for column in self.any_of:
            into[column] = into[column] or new[column]
        for column in self.all_of:
            into[column] = into[column] and new[column]

    def stage_sql(self) -> str:
        """Create the staging table of this session, empty at each commit."""
        return (
            f"create temporary table if not exists {self.staging} on commit delete rows as "
            f"select {', '.join(self.columns)} from twitter.{self.name} with no data"
        )

    def copy_sql(self) -> str:
        """Fill the staging table."""
        return f"copy {self.staging} ({', '.join(self.columns)}) from stdin with (format binary)"

    def upsert_sql(self) -> str:
        """Merge the staging table. Rows that change nothing are taken out first, so that a replay writes nothing."""
        same_key = " and ".join(f"known.{c} = staged.{c}" for c in self.key)
        statement = (
            f"insert into twitter.{self.name} as known ({', '.join(self.columns)})\n"
            f"select {', '.join(self.columns)} from {self.staging} staged\n"
            f"where not exists (select from twitter.{self.name} known where {same_key}{self._nothing_new()})\n"
            f"order by {', '.join(self.key)}\n"
            f"on conflict ({', '.join(self.key)}) do "
        )
        assignments = self._assignments()
        return statement + (
            f"update set\n  {f',{chr(10)}  '.join(assignments)}" if assignments else "nothing"
        )

    def _nothing_new(self) -> str:
        tests = [f"coalesce(known.{c} <= staged.{c}, staged.{c} is null)" for c in self.fixed]
        tests += [
            f"coalesce(known.{c} >= staged.{c}, staged.{c} is null)" for c in (*self.grown, *self.groups)
        ]
        tests += [f"(known.{c} or not staged.{c})" for c in self.any_of]
        tests += [f"(staged.{c} or not known.{c})" for c in self.all_of]
        return "".join(f"\n  and {test}" for test in tests)

    def _assignments(self) -> list[str]:
        sets = [f"{c} = least(known.{c}, excluded.{c})" for c in self.fixed]
        sets += [f"{c} = greatest(known.{c}, excluded.{c})" for c in self.grown]
        for version, columns in self.groups.items():
            # rows from before a group had a version have columns and none: only a stated group replaces them
            newer = f"excluded.{version} is not null and coalesce(excluded.{version} > known.{version}, true)"
            sets += [f"{c} = case when {newer} then excluded.{c} else known.{c} end" for c in columns]
            sets.append(f"{version} = greatest(known.{version}, excluded.{version})")
        sets += [f"{c} = known.{c} or excluded.{c}" for c in self.any_of]
        sets += [f"{c} = known.{c} and excluded.{c}" for c in self.all_of]
        return sets


COUNTS = ("retweet_count", "reply_count", "like_count", "quote_count", "bookmark_count", "impression_count")

USERS = Table(
    "users",
    key=("id",),
    fixed=("created_at",),
    groups={
        "name_version": ("username", "name"),
        "description_version": ("description",),
        "location_version": ("location",),
        "url_version": ("url",),
        "profile_image_url_version": ("profile_image_url",),
        "is_protected_version": ("is_protected",),
        "is_verified_version": ("is_verified",),
        "verified_type_version": ("verified_type",),
        "pinned_tweet_id_version": ("pinned_tweet_id",),
        "metrics_version": (
            "followers_count",
            "following_count",
            "tweet_count",
            "listed_count",
            "like_count",
            "media_count",
        ),
    },
)
TWEETS = Table(
    "tweets",
    key=("id",),
    fixed=(
        "author_id",
        "created_at",
        "conversation_id",
        "in_reply_to_user_id",
        "community_id",
    ),
    grown=("edit_history_ids",),
    groups={
        "text_version": ("text", "note_text", "lang"),
        "source_version": ("source",),
        "media_keys_version": ("media_keys",),
        "poll_ids_version": ("poll_ids",),
        "place_id_version": ("place_id",),
        "entities_version": ("entities", "entities_text_hash"),
        "possibly_sensitive_version": ("possibly_sensitive",),
        "reply_settings_version": ("reply_settings",),
        "withheld_version": ("withheld_copyright", "withheld_country_codes"),
        "metrics_version": COUNTS,
    },
    any_of=("is_collected", "is_sanitized"),
    all_of=("is_created_at_derived",),
)
TWEET_TEXTS = Table("tweet_texts", key=("tweet_id",), groups={"version": ("text", "trigrams")})
TWEET_RULES = Table("tweet_rules", key=("tweet_id", "rule"))
HASHTAGS = Table("hashtags", key=("tag",), fixed=("display_tag", "first_used_at"))
TWEET_REFERENCES = Table("tweet_references", key=("tweet_id", "type", "referenced_tweet_id"))
TWEET_METRICS = Table("tweet_metrics", key=("tweet_id", "observed_at"), groups={"version": COUNTS})

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

DERIVED = ("tweet_hashtags", "tweet_mentions", "tweet_urls")
"""What PostgreSQL makes of the set of entities in `twitter.tweets`, in the statement that merges it: never loaded."""
