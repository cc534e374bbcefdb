"""Tweets on demand: what the control door adds to the world, built from a short description."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from x_api_simulator.clock import MAX_ID, moment_of, parse_moment
from x_api_simulator.population import PLACES, User
from x_api_simulator.tweets import LONG_TEXT, Draft, Tweet, retweet_text, short_link, shorten_note
from x_api_simulator.world import World

_MARK = "[\\w\u0300-\u036f\u0900-\u0d7f]"
_ENTITY = re.compile(
    rf"(?P<url>https?://\S+)|(?<![\w&/])(?:#(?P<hashtag>{_MARK}*[^\W\d_]{_MARK}*)"
    r"|@(?P<mention>[A-Za-z0-9_]{1,15})|\$(?P<cashtag>[A-Za-z]{1,6})\b)"
)
_MEDIA_PREFIX = {"photo": "3", "video": "13", "animated_gif": "16"}
KNOWN = frozenset(
    [
        "id",
        "text",
        "author",
        "created_at",
        "lang",
        "in_reply_to",
        "quotes",
        "retweets",
        "edits",
        "media",
        "poll",
        "place",
        "withheld",
        "indexed_at",
        "deleted_at",
    ]
)


def settle(world: World, given: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """The description with everything filled in that chance or the clock decides: id, created_at, author.

    Settled descriptions go to the journal, so that a replay creates the same tweet. Raises ValueError, which says what
    is wrong.
    """
    if unknown := sorted(set(given) - KNOWN):
        raise ValueError(
            f"a tweet has no key {', '.join(unknown)}; known keys are {', '.join(sorted(KNOWN))}"
        )
    settled = dict(given)
    if "id" in settled and "created_at" not in settled and int(settled["id"]) >> 22:
        at_ms = moment_of(int(settled["id"]))
    else:
        at_ms = parse_moment(settled["created_at"]) if "created_at" in settled else now_ms
    number = int(settled["id"]) if "id" in settled else world.free_id(at_ms)
    if not 0 < number <= MAX_ID:
        raise ValueError(f"id {number} does not fit into 63 bits")
    if number in world.tweets:
        raise ValueError(f"id {number} already exists; leave the id out to get a free one")
    settled |= {"id": str(number), "at_ms": at_ms}
    settled.setdefault("author", "seeded")
    for key in ("in_reply_to", "quotes", "retweets", "edits"):
        if key in settled:
            settled[key] = str(settled[key])
    for key in ("retweets", "edits"):
        if key in settled and int(settled[key]) not in world.tweets:
            raise ValueError(f"'{key}': there is no tweet with the id {settled[key]}")
    if "edits" in settled and not world.tweets[int(settled["edits"])].seeded:
        raise ValueError("'edits': the control door can edit only tweets that it added")
    if "text" not in settled and "retweets" not in settled:
        raise ValueError("a tweet needs a 'text' (or 'retweets': the id of another tweet)")
    return settled


def build(world: World, settled: Mapping[str, Any]) -> Tweet:
    """Create the tweet from a settled description and add it to the world."""
    number, at_ms = int(settled["id"]), int(settled["at_ms"])
    author = world.user_named(settled["author"], at_ms)
    tweet = Tweet(number, at_ms, author, settled.get("lang", "en"), "", conversation_id=number, seeded=True)
    tweet.indexed_ms = parse_moment(settled["indexed_at"]) if "indexed_at" in settled else at_ms
    if "deleted_at" in settled:
        tweet.removed_ms = parse_moment(settled["deleted_at"])
    if "retweets" in settled:
        _retweet(tweet, world.tweets[int(settled["retweets"])])
    else:
        _compose(world, tweet, settled)
    tweet.withheld = tuple(settled.get("withheld", ()))
    if "edits" in settled:
        _edit(tweet, world.tweets[int(settled["edits"])])
    world.add(tweet)
    return tweet


def _retweet(tweet: Tweet, shown: Tweet) -> None:
    original = shown.original or shown
    tweet.text, tweet.spans = retweet_text(original)
    tweet.original, tweet.lang, tweet.media = original, original.lang, original.media
    tweet.refs = (("retweeted", original.id),)


def _compose(world: World, tweet: Tweet, settled: Mapping[str, Any]) -> None:
    draft = Draft()
    _say(world, tweet, draft, settled["text"])
    refs = []
    if "in_reply_to" in settled:
        parent = world.tweets.get(int(settled["in_reply_to"]))
        refs.append(("replied_to", int(settled["in_reply_to"])))
        tweet.conversation_id = parent.conversation_id if parent else int(settled["in_reply_to"])
        tweet.reply_to = parent.author if parent else None
    if "quotes" in settled:
        quoted = int(settled["quotes"])
        refs.append(("quoted", quoted))
        name = world.tweets[quoted].author.username if quoted in world.tweets else "i"
        link = short_link(tweet.id, 5)
        draft.mark("quote", link, link, f"https://twitter.com/{name}/status/{quoted}")
    if kinds := settled.get("media"):
        tweet.media = tuple(f"{_MEDIA_PREFIX[kind]}_{tweet.id + n}" for n, kind in enumerate(kinds))
        link = short_link(tweet.id, 4)
        draft.mark(
            "media", link, link, f"https://twitter.com/{tweet.author.username}/status/{tweet.id}/photo/1"
        )
    tweet.refs = tuple(refs)
    tweet.poll_id = tweet.id if settled.get("poll") else 0
    if "place" in settled:
        tweet.place = next(
            (n for n, place in enumerate(PLACES) if settled["place"] in (place.id, place.name)), -1
        )
    tweet.text, tweet.spans = draft.text, tuple(draft.spans)
    if len(tweet.text) > LONG_TEXT:
        tweet.note = (tweet.text, tweet.spans)
        tweet.text, tweet.spans = shorten_note(tweet.text, tweet.spans, tweet.id)


def _say(world: World, tweet: Tweet, draft: Draft, text: str) -> None:
    """Add the text with its entities marked: offsets count the text with HTML entities, links go through t.co."""
    position = 0
    parts: list[str] = []
    length = 0

    def put(piece: str) -> None:
        nonlocal length
        parts.append(piece)
        length += len(piece)

    for links, found in enumerate(_ENTITY.finditer(text)):
        put(html.escape(text[position : found.start()], quote=False))
        position, start, kind = found.end(), length, found.lastgroup or ""
        value, more = found.group(kind), ""
        if kind == "url":
            value, more = short_link(tweet.id, 60 + links), value
            put(value)
        else:
            put(found.group(0))
        if kind == "mention":
            known: User | None = world.by_username.get(value.casefold())
            more = str(known.id) if known is not None and known.state in ("active", "protected") else ""
        draft.spans.append((kind, start, length, value, more))
    put(html.escape(text[position:], quote=False))
    draft.begin("".join(parts))


def _edit(tweet: Tweet, old: Tweet) -> None:
    old.versions = old.versions or [old.id]
    old.versions.append(tweet.id)
    tweet.versions = old.versions
    old.superseded_ms = min(old.superseded_ms, tweet.indexed_ms)
    tweet.conversation_id, tweet.refs, tweet.reply_to = old.conversation_id, old.refs, old.reply_to
    tweet.author = old.author
