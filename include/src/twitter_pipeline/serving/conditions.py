"""A selection as SQL conditions, with its names resolved to keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from twitter_pipeline.serving.selection import Selection
from twitter_pipeline.text import escaped

RESOLVE = """
select array(select id from twitter.users where lower(username) = :author::text) as author_ids,
    array(select tag from twitter.hashtags where search_tag = :hashtag::text) as other_tags
"""
"""The accounts with a name and the spellings of a hashtag; queried if a selection has either."""

KEYS, KEY = "twitter.collected_tweet_keys tweet /* tweets */", "tweet.id /* key */"
# `offset 0` here and in the .sql files keeps this a lookup per row; as a join it would first run over all rows
LISTED = """(select {} order by tweet_id desc) listed
    cross join lateral (select * from twitter.collected_tweet_keys where id = listed.tweet_id offset 0) tweet"""


@dataclass(frozen=True)
class Conditions:
    """The conditions on tweets, with names resolved to keys. None means no condition; `below` is the cursor of a list."""

    author_ids: Sequence[int] | None = None
    tags: Sequence[str] | None = None
    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None
    ids: Sequence[int] | None = None

    @classmethod
    def of(cls, selection: Selection, author_ids: Sequence[int] = (), other_tags: Sequence[str] = ()) -> Self:
        """The conditions of a selection, except for its words; the ids and tags are the result of RESOLVE."""
        return cls(
            None if selection.author is None else author_ids,
            None if selection.hashtag is None else tag_spellings(selection.hashtag, other_tags),
            selection.rule,
            selection.since,
            selection.until,
            selection.below,
        )

    def going_on_below(self, tweet_id: int) -> Self:
        """The same conditions for the rest of a list."""
        return replace(self, below=tweet_id)

    @property
    def are_in_order(self) -> bool:
        """Whether one index returns the tweets by descending id, so that IN_ORDER applies."""
        is_open = self.since is None and self.until is None and self.ids is None
        one_author = self.author_ids is None or len(self.author_ids) == 1
        return is_open and one_author and (self.tags is None or len(self.tags) == 1)

    def values(self) -> dict[str, Any]:
        """The values for the placeholders in the conditions."""
        return {
            "author_ids": self.author_ids,
            "author_id": self.author_ids[0] if self.author_ids else None,
            "tags": self.tags,
            "tag": self.tags[0] if self.tags else None,
            "rule": self.rule,
            "since": self.since,
            "until": self.until,
            "below": self.below,
            "ids": self.ids,
        }

    def over_all(self, text: str) -> str:
        """A statement that reads all matching tweets; the conditions replace its comment `filters`."""
        conditions = [
            (
                self.tags,
                "tweet.id in (select tweet_id from twitter.tweet_hashtags where tag = any (:tags::text[]))",
            ),
            (self.rule, "tweet.id in (select tweet_id from twitter.tweet_rules where rule = :rule)"),
        ]
        return text.replace("/* filters */", self._filters(conditions))

    def newest_first(self, text: str) -> str:
        """A statement that lists tweets by descending id, written to walk the index of its most selective condition.

        The choice of index is not left to the planner, which for a rare value may choose to walk all ids.
        """
        of_rule = (
            "exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = :rule offset 0)"
        )
        tagged = "exists (select from twitter.tweet_hashtags where tweet_id = tweet.id and tag = any (:tags::text[]) offset 0)"
        source, key, rule = KEYS, KEY, (self.rule, of_rule)
        if self.tags:
            one_tag = len(self.tags) == 1
            chosen = "tag = :tag::text" if one_tag else "tag = any (:tags::text[])"
            distinct = "" if one_tag else "distinct "
            source = LISTED.format(f"{distinct}tweet_id from twitter.tweet_hashtags where {chosen}")
            key = "listed.tweet_id"
        elif self.rule is not None:
            source = LISTED.format("tweet_id from twitter.tweet_rules where rule = :rule")
            key, rule = "listed.tweet_id", (None, of_rule)
        filters = self._filters([rule, (self.below, f"{key} < :below::bigint")])
        of_candidates = self._filters([(self.tags, tagged), (self.rule, of_rule)])
        text = text.replace(KEYS, source).replace(KEY, key)
        return text.replace("/* filters */", filters).replace("/* candidate filters */", of_candidates)

    def _filters(self, conditions: Iterable[tuple[object, str]]) -> str:
        one_author = self.author_ids is not None and len(self.author_ids) == 1
        author = "= :author_id::bigint" if one_author else "= any (:author_ids::bigint[])"
        every = [
            *conditions,
            (self.author_ids, f"tweet.author_id {author}"),
            (self.since, "tweet.created_at >= :since::timestamptz"),
            (self.until, "tweet.created_at < :until::timestamptz"),
            (self.ids, "tweet.id = any (:ids::bigint[])"),
        ]
        return "\n        ".join(f"and {condition}" for value, condition in every if value is not None)


def tag_spellings(tag: str, others: Sequence[str] = ()) -> list[str]:
    """The keys under which a normalised hashtag may be stored."""
    return list(dict.fromkeys((tag, escaped(tag), *others)))
