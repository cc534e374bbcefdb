"""Undoes the flattening by twarc and 4CAT, which write author, media, places and referenced tweets into the tweet.

What they put inside is taken out again and becomes includes and errors, so that a flattened archive yields the same
rows as the pages it was made from. Only what they added is taken out; everything else stays unchanged.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Includes = dict[str, list[dict[str, Any]]]

ADDED = frozenset(["author", "author_user", "in_reply_to_user", "__twarc", "__import_meta"])
"""Members that only a flattened tweet has."""
_SPAN = ("start", "end")
_MENTION = (*_SPAN, "username", "id")
_GEO = ("place_id", "coordinates", "type")
_REFERENCE = ("type", "id")


class Restored(NamedTuple):
    """A tweet as X returned it, and the objects and errors that were inside it."""

    tweet: dict[str, Any]
    includes: Includes
    errors: list[dict[str, Any]]


class _Found:
    """What was taken out so far: each object once, by its key, and errors found in place of an object."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self.errors: list[dict[str, Any]] = []

    def take(self, name: str, value: Any, key: str = "id") -> None:
        if not isinstance(value, Mapping):
            return
        if isinstance(error := value.get("error"), Mapping):
            self.take_error(error)
        elif "resource_id" in value:
            self.take_error(value)
        elif key in value:
            self.objects.setdefault(name, {}).setdefault(str(value[key]), dict(value))

    def take_error(self, error: Mapping[str, Any]) -> None:
        if error not in self.errors:
            self.errors.append(dict(error))


def restore(tweet: Mapping[str, Any]) -> Restored:
    """The tweet without what was written into it; equal to `tweet` if nothing was."""
    found = _Found()
    restored = _restore(tweet, found)
    return Restored(
        restored, {name: list(objects.values()) for name, objects in found.objects.items()}, found.errors
    )


def _restore(tweet: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    restored = {k: v for k, v in tweet.items() if k not in ADDED}
    for name in ("author", "author_user", "in_reply_to_user"):
        found.take("users", tweet.get(name))
    if isinstance(attachments := tweet.get("attachments"), Mapping):
        restored["attachments"] = _attachments(attachments, found)
    if isinstance(geo := tweet.get("geo"), Mapping):
        restored["geo"] = _geo(geo, found)
    for holder in ("note_tweet", "note_post"):
        if isinstance(note := tweet.get(holder), Mapping) and "entities" in note:
            restored[holder] = {**note, "entities": _without_users(note["entities"], found)}
    if "entities" in tweet:
        restored["entities"] = _without_users(tweet["entities"], found)
    if isinstance(references := tweet.get("referenced_tweets"), list):
        restored["referenced_tweets"] = [_reference(reference, found) for reference in references]
    return restored


def _attachments(attachments: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    """twarc writes media and poll alongside the keys, 4CAT in place of the keys."""
    for media in _objects(attachments.get("media")):
        found.take("media", media, "media_key")
    found.take("polls", attachments.get("poll"))
    restored = {k: v for k, v in attachments.items() if k not in ("media", "poll")}
    for name, kind, keys in (
        ("media_keys", "media", ("media_key",)),
        ("poll_ids", "polls", ("id", "poll_id")),
    ):
        if isinstance(values := restored.get(name), list):
            for value in values:
                found.take(kind, value, keys[0])
            restored[name] = [_key(value, keys) for value in values]
    return restored


def _key(value: Any, names: tuple[str, ...]) -> Any:
    return (
        next((value[name] for name in names if name in value), value) if isinstance(value, Mapping) else value
    )


def _geo(geo: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    """twarc mixes the place's members with those of geo, 4CAT nests the place in it."""
    found.take("places", geo.get("place"))
    if "id" in geo:
        found.take("places", {k: v for k, v in geo.items() if k not in (*_GEO, "place")})
        return {k: v for k, v in geo.items() if k in _GEO}
    return {k: v for k, v in geo.items() if k != "place"}


def _reference(reference: Any, found: _Found) -> Any:
    if not isinstance(reference, Mapping) or not reference.keys() - _REFERENCE:
        return reference
    kept = {k: reference[k] for k in _REFERENCE if k in reference}
    if isinstance(error := reference.get("error"), Mapping):
        found.take_error(error)
        return kept
    # registered before its contents are examined: a chain of references may lead back to it
    tweets = found.objects.setdefault("tweets", {})
    if (key := str(reference.get("id"))) not in tweets:
        tweets[key] = {}
        tweets[key] = _restore({k: v for k, v in reference.items() if k != "type"}, found)
    return kept


def _without_users(entities: Any, found: _Found) -> Any:
    if not isinstance(entities, Mapping) or not isinstance(entities.get("mentions"), list):
        return entities
    mentions = []
    for mention in entities["mentions"]:
        if isinstance(mention, Mapping) and mention.keys() - _MENTION:
            found.take("users", {k: v for k, v in mention.items() if k not in _SPAN})
            mention = {k: v for k, v in mention.items() if k in _MENTION}
        mentions.append(mention)
    return {**entities, "mentions": mentions}


def _objects(values: Any) -> list[Any]:
    return values if isinstance(values, list) else []
