"""An answer from X, a line of its stream, or an answer's includes in a separate file."""

from collections.abc import Iterable, Mapping
from typing import Any

from tweet_envelope.ids import BadId, read_id
from tweet_envelope.references import KIND_OF_INCLUDES
from twitter_pipeline.archives.formats.flattened import ADDED, restore
from twitter_pipeline.archives.formats.vocabularies import other_vocabulary
from twitter_pipeline.archives.json_bytes import decoded, elements_of, encoded, members_of, names_of
from twitter_pipeline.archives.page import ArchivedPage, Item
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.archives.retrieval_times import retrieved_at
from twitter_pipeline.warehouse.model import KNOWN_FIELDS

ANSWER = frozenset(["data", "includes", "errors", "meta", "matching_rules", "__twarc", "__import_meta"])
"""The members of an answer that have a place in an envelope, or need none."""
INCLUDES = frozenset([*KIND_OF_INCLUDES, "topics"])
_ONLY_TWEETS = KNOWN_FIELDS["tweet"] - KNOWN_FIELDS["user"]
_NOTHING = (b"null", b"{}", b"[]", b'""')
"""What R, PHP and others write if there is no list."""


def includes_alone(members: dict[str, bytes]) -> ArchivedPage:
    """An answer's includes in a separate file, as academictwitteR writes them, perhaps with its errors."""
    includes = {name: raw for name, raw in members.items() if name in INCLUDES}
    for name, raw in includes.items():
        for item in items_of(raw, ArchivedPage()):
            if (why := other_vocabulary(item.value.keys(), item.value.__getitem__)) is not None:
                raise Unimportable(why.reason, f"{name}: {why}")
    inside = b"{" + b",".join(encoded(name) + b":" + raw for name, raw in includes.items()) + b"}"
    return answer(
        {**{name: raw for name, raw in members.items() if name not in INCLUDES}, "includes": inside}
    )


def answer(members: Mapping[str, bytes]) -> ArchivedPage:
    """The page of an answer. Raises Unimportable: no_tweet, shape."""
    page = ArchivedPage(observed_at=retrieved_at({k: decoded(members[k]) for k in ADDED & members.keys()}))
    page.homeless.update(name[:100] for name in members.keys() - ANSWER)
    includes = members.get("includes", b"null")
    if includes not in _NOTHING and not includes.startswith(b"{"):
        page.refused.append((Unimportable("shape", "includes is not an object"), includes))
    for name, objects in (members_of(includes) if includes.startswith(b"{") else {}).items():
        if items := list(items_of(objects, page)):
            page.includes[name] = items
    page.errors = list(items_of(members.get("errors", b"null"), page))
    page.matching_rules = list(items_of(members.get("matching_rules", b"null"), page))
    sort_in(page, items_of(members.get("data", b"null"), page))
    if page.is_empty and not page.refused and page.homeless:
        raise Unimportable("shape", f"neither an answer from X nor a tweet: has {names_of(members)}")
    return page


def sort_in(page: ArchivedPage, items: Iterable[Item], *, alone: bool = False) -> None:
    """Add tweets to the page's data and users to its includes; refuse everything else.

    `alone`: the item is the only object of a record, whose vocabulary was already checked.
    """
    users, others = [], []
    for item in items:
        value = item.value
        if not alone and (foreign := other_vocabulary(value.keys(), value.__getitem__)) is not None:
            page.refused.append((foreign, item.raw))
        elif is_user(value):
            users.append(item)
        elif not is_tweet(value):
            others.append(item)
        elif value.keys() >= {"resource_id", "author_user"}:
            # if X did not return a tweet that 4CAT looked up, 4CAT makes one up around X's error
            page.errors.append(_made_up_around(value))
        elif (why := id_trouble(value)) is not None:
            page.refused.append((why, item.raw))
        else:
            page.data.append(_restored(item, page) if alone or value.keys() & ADDED else item)
    if users:
        page.includes["users"] = [*page.includes.get("users", ()), *users]
    if others:
        why = Unimportable("no_tweet", f"{len(others)} objects under data are neither tweets nor users")
        if page.is_empty and not page.refused:
            raise why
        page.refused += [
            (Unimportable("no_tweet", "neither a tweet nor a user"), item.raw) for item in others
        ]


def _restored(item: Item, page: ArchivedPage) -> Item:
    tweet = item.value
    restored = restore(tweet)
    if restored.tweet == tweet:
        return item
    for name, objects in restored.includes.items():
        known = page.includes.setdefault(name, [])
        known += [new for found in objects if (new := Item(encoded(found), found)) not in known]
    page.errors += [Item(encoded(error), error) for error in restored.errors]
    return Item(encoded(restored.tweet), restored.tweet)


def _made_up_around(value: Mapping[str, Any]) -> Item:
    made_up = {"id", "created_at", "text", "author_user", "author_id", "public_metrics", "subject"}
    error = {name: part for name, part in value.items() if name not in made_up}
    return Item(encoded(error), error)


def is_user(value: Mapping[str, Any]) -> bool:
    """Whether an object is an X account."""
    return value.keys() >= {"username", "name", "id"} and not value.keys() & {"text", "author_id"}


def is_tweet(value: Mapping[str, Any]) -> bool:
    """Whether an object is a tweet, and not a direct message."""
    names = value.keys()
    if names & {"dm_conversation_id", "event_type", "event_uuid"}:
        return False
    if names & {"text", "author_id", "edit_history_tweet_ids", "edit_history_post_ids", "referenced_tweets"}:
        return True
    return names <= KNOWN_FIELDS["tweet"] and bool(names & _ONLY_TWEETS)


def id_trouble(value: Mapping[str, Any]) -> Unimportable | None:
    """Why the id of a tweet cannot be used; None if it can."""
    stated = value.get("id")
    if stated is None:
        return Unimportable("shape", "a tweet without an id")
    try:
        read_id(stated, "id")
    except BadId as bad:
        return Unimportable("id_range", str(bad))
    return None


def items_of(raw: bytes, page: ArchivedPage) -> Iterable[Item]:
    """The objects of a list (or the one object in place of a list); other elements are refused."""
    if raw in _NOTHING:
        return
    for element in elements_of(raw) if raw.startswith(b"[") else [raw]:
        try:
            value = decoded(element)
        except Unimportable as why:
            page.refused.append((why, element))
            continue
        if isinstance(value, Mapping):
            yield Item(element, value)
        else:
            page.refused.append(
                (Unimportable("shape", "not an object, in a place where X puts objects"), element)
            )
