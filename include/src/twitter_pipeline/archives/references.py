"""What a tweet refers to: the keys under which a page's includes and errors may hold more about it.

The same rules as the provider's, which this package must not import; tests/agreement holds the two together.
Both vocabularies are read, and what is not of the expected shape refers to nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Reference = tuple[str, str]
"""A kind (user, username, media, poll, place, tweet) and the key within it."""

KINDS = {
    "users": "user",
    "media": "media",
    "polls": "poll",
    "places": "place",
    "tweets": "tweet",
    "posts": "tweet",
}
"""The names of X's includes and the kind of their objects."""


def references_of(tweet: Mapping[str, Any]) -> set[Reference]:
    """Everything that this tweet names; usernames in lower case."""
    return {(kind, str(key).lower() if kind == "username" else str(key)) for kind, key in _named(tweet)}


def keys_of_included(name: str, value: Mapping[str, Any]) -> list[Reference]:
    """The references that lead to this object of `includes[name]`: a user's are its id and its name."""
    if (kind := KINDS.get(name)) is None:
        return []
    keys = [(kind, str(key)) for key in _scalars(value.get("media_key" if kind == "media" else "id"))]
    if kind == "user":
        keys += [("username", str(name).lower()) for name in _scalars(value.get("username"))]
    return keys


def _named(tweet: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    attachments, article = _object(tweet.get("attachments")), _object(tweet.get("article"))
    for kind, value in (
        ("user", tweet.get("author_id")),
        ("user", tweet.get("in_reply_to_user_id")),
        ("username", tweet.get("username")),
        ("media", attachments.get("media_keys")),
        ("media", article.get("cover_media")),
        ("media", article.get("media_entities")),
        ("poll", attachments.get("poll_ids")),
        ("place", _object(tweet.get("geo")).get("place_id")),
        ("tweet", attachments.get("media_source_tweet_id")),
        ("tweet", tweet.get("edit_history_tweet_ids")),
        ("tweet", tweet.get("edit_history_post_ids")),
    ):
        yield from ((kind, key) for key in _scalars(value))
    for holder in (tweet, _object(tweet.get("note_tweet")), _object(tweet.get("note_post"))):
        for mention in _objects(_object(holder.get("entities")).get("mentions")):
            yield from (("user", key) for key in _scalars(mention.get("id")))
            yield from (("username", key) for key in _scalars(mention.get("username")))
    for name in ("referenced_tweets", "referenced_posts"):
        for reference in _objects(tweet.get(name)):
            yield from (("tweet", key) for key in _scalars(reference.get("id")))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [v for v in values if isinstance(v, Mapping)] if isinstance(values, list) else []


def _scalars(value: Any) -> list[str | int]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str | int) and not isinstance(v, bool)]
