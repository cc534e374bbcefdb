"""What a tweet refers to: the keys under which a page's `includes` and `errors` may hold more about it.

Reads both of X's vocabularies and trusts no shape: a malformed value refers to nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Reference = tuple[str, str]
"""A kind (user, username, media, poll, place, tweet) and the key within it."""

KIND_OF_INCLUDES = {
    "users": "user",
    "media": "media",
    "polls": "poll",
    "places": "place",
    "tweets": "tweet",
    "posts": "tweet",
}


def references_of(tweet: Mapping[str, Any]) -> set[Reference]:
    """Everything that this tweet names; usernames in lower case."""
    return {(kind, str(key).lower() if kind == "username" else str(key)) for kind, key in _named_by(tweet)}


def keys_of_included(name: str, value: Mapping[str, Any]) -> list[Reference]:
    """The references that lead to this object of `includes[name]`; a user is found by id and by name."""
    kind = KIND_OF_INCLUDES.get(name)
    if kind is None:
        return []
    keys = [(kind, str(key)) for key in _scalars(value.get("media_key" if kind == "media" else "id"))]
    if kind == "user":
        keys += [("username", str(name).lower()) for name in _scalars(value.get("username"))]
    return keys


def _named_by(tweet: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in ("author_id", "in_reply_to_user_id"):
        yield from (("user", key) for key in _scalars(tweet.get(field)))
    yield from (("username", key) for key in _scalars(tweet.get("username")))
    for holder in (tweet, _object(tweet, "note_tweet"), _object(tweet, "note_post")):
        for mention in _objects(_object(holder, "entities").get("mentions")):
            yield from (("user", key) for key in _scalars(mention.get("id")))
            yield from (("username", key) for key in _scalars(mention.get("username")))
    attachments = _object(tweet, "attachments")
    article = _object(tweet, "article")
    for keys in (attachments.get("media_keys"), article.get("cover_media"), article.get("media_entities")):
        yield from (("media", key) for key in _scalars(keys))
    yield from (("poll", key) for key in _scalars(attachments.get("poll_ids")))
    yield from (("place", key) for key in _scalars(_object(tweet, "geo").get("place_id")))
    for keys in (
        attachments.get("media_source_tweet_id"),
        tweet.get("edit_history_tweet_ids"),
        tweet.get("edit_history_post_ids"),
    ):
        yield from (("tweet", key) for key in _scalars(keys))
    for field in ("referenced_tweets", "referenced_posts"):
        for reference in _objects(tweet.get(field)):
            yield from (("tweet", key) for key in _scalars(reference.get("id")))


def _object(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = holder.get(field)
    return value if isinstance(value, Mapping) else {}


def _objects(values: Any) -> Iterable[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _scalars(value: Any) -> list[str | int]:
    values = value if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
