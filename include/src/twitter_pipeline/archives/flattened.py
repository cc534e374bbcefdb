"""Undo twarc's flattening: a tweet with its author, media, places and referenced tweets written into it.

What twarc put inside is taken out again and becomes includes, so that a flattened archive gives the same rows as
the pages that it was made from. Only what twarc adds is taken out; everything else stays as it is.
"""

from collections.abc import Mapping
from typing import Any

Includes = dict[str, list[dict[str, Any]]]

_SPAN = ("start", "end")
_MENTION = (*_SPAN, "username", "id")
_GEO = ("place_id", "coordinates", "type")
_REFERENCE = ("type", "id")


def restore(tweet: Mapping[str, Any]) -> tuple[dict[str, Any], Includes]:
    """The tweet as X gave it, and the included objects that were inside; equal to `tweet` where none were."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    restored = _restore(tweet, found)
    return restored, {name: list(objects.values()) for name, objects in found.items()}


def _restore(tweet: Mapping[str, Any], found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    def take(name: str, value: Any, key: str = "id") -> None:
        if isinstance(value, Mapping) and key in value:
            found.setdefault(name, {}).setdefault(str(value[key]), dict(value))

    restored = {k: v for k, v in tweet.items() if k not in ("author", "in_reply_to_user", "__twarc")}
    take("users", tweet.get("author"))
    take("users", tweet.get("in_reply_to_user"))
    if isinstance(attachments := tweet.get("attachments"), Mapping):
        for media in _objects(attachments.get("media")):
            take("media", media, "media_key")
        take("polls", attachments.get("poll"))
        restored["attachments"] = {k: v for k, v in attachments.items() if k not in ("media", "poll")}
    if isinstance(geo := tweet.get("geo"), Mapping) and "id" in geo:
        take("places", {k: v for k, v in geo.items() if k not in _GEO})
        restored["geo"] = {k: v for k, v in geo.items() if k in _GEO}
    for holder in ("note_tweet", "note_post"):
        if isinstance(note := tweet.get(holder), Mapping) and "entities" in note:
            restored[holder] = {**note, "entities": _without_users(note["entities"], take)}
    if "entities" in tweet:
        restored["entities"] = _without_users(tweet["entities"], take)
    if isinstance(references := tweet.get("referenced_tweets"), list):
        restored["referenced_tweets"] = [_reference(reference, found) for reference in references]
    return restored


def _reference(reference: Any, found: dict[str, dict[str, dict[str, Any]]]) -> Any:
    if not isinstance(reference, Mapping) or not reference.keys() - _REFERENCE:
        return reference
    # claimed before its inside is looked at: a chain of references may come back to it
    tweets = found.setdefault("tweets", {})
    if (key := str(reference.get("id"))) not in tweets:
        tweets[key] = {}
        tweets[key] = _restore({k: v for k, v in reference.items() if k != "type"}, found)
    return {k: reference[k] for k in _REFERENCE if k in reference}


def _without_users(entities: Any, take: Any) -> Any:
    if not isinstance(entities, Mapping) or not isinstance(entities.get("mentions"), list):
        return entities
    mentions = []
    for mention in entities["mentions"]:
        if isinstance(mention, Mapping) and mention.keys() - _MENTION:
            take("users", {k: v for k, v in mention.items() if k not in _SPAN})
            mention = {k: v for k, v in mention.items() if k in _MENTION}
        mentions.append(mention)
    return {**entities, "mentions": mentions}


def _objects(values: Any) -> list[Any]:
    return values if isinstance(values, list) else []
