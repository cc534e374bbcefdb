"""Tweets, users and related objects as JSON: only the requested fields, nothing empty, never null.

Field by field, this follows the `Tweet`, `User`, `Media`, `Poll` and `Place` schemas of OpenAPI 2.166, and `Post` and
so on of 2.167; empty values are left out (docs: fundamentals/consistency.mdx). An expansion also adds the field that
it expands, as recordings/sfm-twitter-harvester shows. `source` is never present (removed 2022-12), nor are fields that
need the user's own token or that this world has no data for (article, matched_media_notes, …).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from x_api_simulator.chance import draw
from x_api_simulator.clock import moment_of, to_text
from x_api_simulator.growth import EDIT_WINDOW_MS, MOST_VERSIONS
from x_api_simulator.population import PLACES, Place, User
from x_api_simulator.text import ALT_TEXTS, HASHTAGS, POLL_LABELS, SITES
from x_api_simulator.tweets import Span, Tweet, short_link
from x_api_simulator.vocabulary import POST, Wanted
from x_api_simulator.world import World

Json = dict[str, Any]
PRIVATE_FIELDS = ("non_public_metrics", "organic_metrics", "promoted_metrics")

_EXPANDED_FIELD = {
    "attachments.media_keys": "attachments",
    "attachments.media_source_tweet": "attachments",
    "attachments.poll_ids": "attachments",
    "author_id": "author_id",
    "edit_history_tweet_ids": "edit_history_tweet_ids",
    "edit_history_post_ids": "edit_history_tweet_ids",
    "entities.mentions.username": "entities",
    "entities.note.mentions.username": "note_tweet",
    "geo.place_id": "geo",
    "in_reply_to_user_id": "in_reply_to_user_id",
    "referenced_posts": "referenced_tweets",
    "referenced_tweets.id": "referenced_tweets",
    "referenced_tweets.id.attachments.media_keys": "referenced_tweets",
    "referenced_tweets.id.author_id": "referenced_tweets",
    "username": "username",
}
_POST_NAMES = {
    "edit_history_tweet_ids": "edit_history_post_ids",
    "referenced_tweets": "referenced_posts",
    "note_tweet": "note_post",
    "most_recent_tweet_id": "most_recent_post_id",
    "pinned_tweet_id": "pinned_post_id",
}
_TWEET_NAMES = {post: tweet for tweet, post in _POST_NAMES.items()}


class View:
    """The world at one moment, limited to what one request wants."""

    def __init__(self, world: World, at_ms: int, wanted: Wanted) -> None:
        self.world, self.at_ms, self.wanted = world, at_ms, wanted
        self.as_posts = wanted.vocabulary is POST
        fields = {_TWEET_NAMES.get(name, name) for name in wanted.tweet}
        fields |= {_EXPANDED_FIELD[name] for name in wanted.expansions if name in _EXPANDED_FIELD}
        self._tweet_fields = [(name, part) for name, part in _TWEET_PARTS.items() if name in fields]
        users = {_TWEET_NAMES.get(name, name).partition(".")[0] for name in wanted.expansions} | wanted.user
        self._user_fields = [(name, part) for name, part in _USER_PARTS.items() if name in users]

    def tweet(self, tweet: Tweet) -> Json:
        return self._named((name, part(tweet, self)) for name, part in self._tweet_fields)

    def user(self, user: User) -> Json:
        return self._named((name, part(user, self)) for name, part in self._user_fields)

    def media(self, key: str) -> Json:
        return {name: value for name, value in _media(key, self).items() if name in self.wanted.media}

    def poll(self, poll_id: int) -> Json:
        return {name: value for name, value in _poll(poll_id, self).items() if name in self.wanted.poll}

    def place(self, place: Place) -> Json:
        return {name: value for name, value in _place(place).items() if name in self.wanted.place}

    def _named(self, parts: Any) -> Json:
        names = _POST_NAMES if self.as_posts else {}
        return {names.get(name, name): value for name, value in parts if value not in (None, "", [], {})}


def _grown(final: int, born_ms: int, at_ms: int, hours: float = 3.0) -> int:
    """How much of a final count has accumulated so far; never decreases."""
    return int(final * (1 - math.exp(-max(0, at_ms - born_ms) / (hours * 3_600_000))))


def _final(number: int, salt: int, scale: float) -> int:
    """A heavy-tailed number: mostly small, occasionally huge."""
    return int(scale * ((1 + draw(number, salt, 1_000_000)) / 1_000_000) ** -0.8 - scale)


def repost_count(tweet: Tweet, view: View) -> int:
    """Retweets of a tweet, or of its original: they agree in 782 of 782 real retweets (x-api-v2.md §9)."""
    shown = tweet.original or tweet
    organic = _grown(_final(shown.id, 11, 1.5), shown.at_ms, view.at_ms)
    return organic + view.world.referring("retweeted", shown.id, view.at_ms)


def _public_metrics(tweet: Tweet, view: View) -> Json:
    reposts = "repost_count" if view.as_posts else "retweet_count"
    if tweet.original is not None:
        own = {
            "reply_count": 0,
            "like_count": 0,
            "quote_count": 0,
            "bookmark_count": 0,
            "impression_count": 0,
        }
        return {reposts: repost_count(tweet, view), **own}
    likes = _grown(_final(tweet.id, 12, 6 + math.sqrt(tweet.author.followers) / 8), tweet.at_ms, view.at_ms)
    replies, quotes = (view.world.referring(kind, tweet.id, view.at_ms) for kind in ("replied_to", "quoted"))
    return {
        reposts: repost_count(tweet, view),
        "reply_count": replies,
        "like_count": likes,
        "quote_count": quotes,
        "bookmark_count": likes // 9,
        "impression_count": likes * 37 + _grown(_final(tweet.id, 13, 40), tweet.at_ms, view.at_ms),
    }


def _shown_versions(tweet: Tweet, view: View) -> list[str]:
    versions = tweet.versions or [tweet.id]
    return [str(version) for version in versions if version == tweet.id or moment_of(version) <= view.at_ms]


def _edit_controls(tweet: Tweet, view: View) -> Json:
    first_ms = moment_of(tweet.versions[0]) if tweet.versions else tweet.at_ms
    eligible = tweet.kind() in ("original", "quoted") and not tweet.poll_id
    return {
        "edits_remaining": MOST_VERSIONS - len(_shown_versions(tweet, view)),
        "is_edit_eligible": eligible,
        "editable_until": to_text((first_ms + EDIT_WINDOW_MS) // 1000 * 1000),
    }


def _entities(spans: tuple[Span, ...], tweet: Tweet, view: View, note: bool = False) -> Json:
    found: dict[str, list[Json]] = {}
    for kind, start, end, value, more in spans:
        place = {"start": start, "end": end}
        if kind in ("hashtag", "cashtag"):
            found.setdefault(f"{kind}s", []).append({**place, "tag": value})
        elif kind == "mention":
            found.setdefault("mentions", []).append(
                {**place, "username": value, **({"id": more} if more else {})}
            )
        elif kind == "annotation":
            if not (view.as_posts or note):  # no annotations in PostEntities of 2.167
                chance = (5_000 + draw(tweet.id, start, 5_000)) / 10_000
                entry = {**place, "probability": chance, "type": more, "normalized_text": value}
                found.setdefault("annotations", []).append(entry)
        else:
            found.setdefault("urls", []).append({**place, **_url(kind, value, more, tweet, note)})
    return found


def _url(kind: str, link: str, expanded: str, tweet: Tweet, note: bool) -> Json:
    bare = expanded.removeprefix("https://")
    display = bare if len(bare) <= 26 else bare[:26] + "…"
    entry: Json = {"url": link, "expanded_url": expanded, "display_url": display}
    if kind == "media":
        entry["display_url"] = f"pic.twitter.com/{link[-10:]}"
        if tweet.media and not note:
            entry["media_key"] = tweet.media[0]
    elif kind == "url" and not note and (title := dict(SITES).get(bare.partition("/")[0])):
        entry |= {"status": 200, "title": title, "description": f"{title}: page", "unwound_url": expanded}
        if draw(tweet.id, 14, 3) == 0:
            entry["images"] = [
                {
                    "url": f"https://pbs.twimg.com/news_img/{tweet.id}/a?name=orig",
                    "width": 1200,
                    "height": 630,
                }
            ]
    return entry


def _note(tweet: Tweet, view: View) -> Json | None:
    if tweet.note is None:
        return None
    text, spans = tweet.note
    entities = _entities(spans, tweet, view, note=True)
    return {"text": text, **({"entities": entities} if entities else {})}


def _attachments(tweet: Tweet, view: View) -> Json:
    found: Json = {}
    if tweet.media:
        found["media_keys"] = list(tweet.media)
        if tweet.original is not None:
            found["media_source_tweet_id"] = [str(tweet.original.id)]
    if tweet.poll_id:
        found["poll_ids"] = [str(tweet.poll_id)]
    return found


def _geo(tweet: Tweet, view: View) -> Json | None:
    if tweet.place < 0:
        return None
    place = PLACES[tweet.place]
    point = {"type": "Point", "coordinates": [place.bbox[0], place.bbox[1]]}
    return {"place_id": place.id, **({"coordinates": point} if tweet.point else {})}


def _context(tweet: Tweet, view: View) -> list[Json]:
    tags = [span[3] for span in tweet.spans if span[0] == "hashtag" and span[3] in HASHTAGS]
    domain = {"id": "131", "name": "Unified Twitter Taxonomy", "description": "A taxonomy of user interests."}
    return [
        {"domain": domain, "entity": {"id": str(10_000 + HASHTAGS.index(t)), "name": t}}
        for t in dict.fromkeys(tags)
    ]


def _text_range(tweet: Tweet, view: View) -> list[int]:
    """Without the leading mentions of a reply and the link of media or a quote."""
    start, end = 0, len(tweet.text)
    for kind, first, last, _, _ in sorted(tweet.spans, key=lambda span: span[1]):
        if kind == "mention" and tweet.reply_to is not None and first == start:
            start = last + 1
        elif kind in ("media", "quote") and last == end:
            end = max(start, first - 1)
    return [min(start, end), end]


def _withheld(tweet: Tweet, view: View) -> Json | None:
    if not tweet.withheld:
        return None
    scope = "post" if view.as_posts else "tweet"
    return {"copyright": False, "country_codes": list(tweet.withheld), "scope": scope}


_TWEET_PARTS: dict[str, Callable[[Tweet, View], Any]] = {
    "attachments": _attachments,
    "author_id": lambda tweet, view: str(tweet.author.id),
    "card_uri": lambda tweet, view: f"card://{tweet.poll_id}" if tweet.poll_id else None,
    "community_id": lambda tweet, view: (
        str(1_500_000 + tweet.id % 7) if draw(tweet.id, 15, 150) == 0 else None
    ),
    "context_annotations": _context,
    "conversation_id": lambda tweet, view: str(tweet.conversation_id or tweet.id),
    "created_at": lambda tweet, view: to_text(tweet.at_ms // 1000 * 1000),
    "display_text_range": _text_range,
    "edit_controls": _edit_controls,
    "edit_history_tweet_ids": _shown_versions,
    "entities": lambda tweet, view: _entities(tweet.spans, tweet, view),
    "geo": _geo,
    "id": lambda tweet, view: str(tweet.id),
    "in_reply_to_user_id": lambda tweet, view: str(tweet.reply_to.id) if tweet.reply_to else None,
    "lang": lambda tweet, view: tweet.lang,
    "note_tweet": _note,
    "paid_partnership": lambda tweet, view: draw(tweet.id, 16, 300) == 0,
    "possibly_sensitive": lambda tweet, view: draw(tweet.id, 17, 60) == 0,
    "public_metrics": _public_metrics,
    "referenced_tweets": lambda tweet, view: [{"type": kind, "id": str(ref)} for kind, ref in tweet.refs],
    # In 2.166 the enum allows "mentionedUsers" but the 12-letter pattern forbids it; "following" satisfies both.
    "reply_settings": lambda tweet, view: "following" if draw(tweet.id, 18, 40) == 0 else "everyone",
    "scopes": lambda tweet, view: {"followers": False} if draw(tweet.id, 19, 200) == 0 else None,
    "text": lambda tweet, view: tweet.text,
    "username": lambda tweet, view: tweet.author.username,
    "withheld": _withheld,
}


def _user_metrics(user: User, view: View) -> Json:
    days = max(0, view.at_ms - user.created_ms) / 86_400_000
    return {
        "followers_count": int(user.followers * min(1.0, days / 4_000)),
        "following_count": draw(user.id, 21, 900),
        "post_count" if view.as_posts else "tweet_count": draw(user.id, 22, 9_000)
        + view.world.written_by(user.id, view.at_ms),
        "listed_count": user.followers // 300,
        "like_count": int(draw(user.id, 23, 40) * days),
        "media_count": draw(user.id, 24, 600),
    }


def _user_entities(user: User, view: View) -> Json:
    found: Json = {}
    tag = user.bio.find("#coffee")
    if tag >= 0:
        found["description"] = {"hashtags": [{"start": tag, "end": tag + 7, "tag": "coffee"}]}
    if link := _user_url(user, view):
        entry = {
            "start": 0,
            "end": len(link),
            "url": link,
            "expanded_url": f"https://{user.username}.example.org",
        }
        found["url"] = {"urls": [{**entry, "display_url": f"{user.username}.example.org"}]}
    return found


def _user_url(user: User, view: View) -> str | None:
    return short_link(user.id, 25) if draw(user.id, 25, 3) == 0 else None


def _pinned(user: User, view: View) -> str | None:
    """The author's first tweet in this world, for one author in five; a deleted tweet stays pinned until viewed."""
    ids = view.world.ids_by(user.id)
    return str(ids[0]) if ids and draw(user.id, 26, 5) == 0 and moment_of(ids[0]) <= view.at_ms else None


def _most_recent(user: User, view: View) -> str | None:
    newest = view.world.newest_by(user.id, view.at_ms)
    return None if newest is None else str(newest)


def _affiliation(user: User, view: View) -> Json | None:
    if user.verified_type != "business":
        return None
    owner = view.world.most_active[0]
    badge = f"https://pbs.twimg.com/profile_images/{owner.id}/badge_normal.jpg"
    about = f"https://twitter.com/{owner.username}"
    return {"badge_url": badge, "description": owner.name, "url": about, "user_id": [str(owner.id)]}


_USER_PARTS: dict[str, Callable[[User, View], Any]] = {
    "affiliation": _affiliation,
    "created_at": lambda user, view: to_text(user.created_ms // 1000 * 1000),
    "description": lambda user, view: user.bio,
    "entities": _user_entities,
    "id": lambda user, view: str(user.id),
    "is_identity_verified": lambda user, view: user.verified_type in ("business", "government"),
    "location": lambda user, view: user.location,
    "most_recent_tweet_id": _most_recent,
    "name": lambda user, view: user.name,
    "parody": lambda user, view: draw(user.id, 27, 50) == 0,
    "pinned_tweet_id": _pinned,
    "profile_banner_url": lambda user, view: f"https://pbs.twimg.com/profile_banners/{user.id}/1600000000",
    "profile_image_url": lambda user, view: f"https://pbs.twimg.com/profile_images/{user.id}/a_normal.jpg",
    "protected": lambda user, view: user.state == "protected",
    "public_metrics": _user_metrics,
    "subscription_type": lambda user, view: "Premium" if user.verified_type == "blue" else "None",
    "url": _user_url,
    "username": lambda user, view: user.username,
    "verified": lambda user, view: user.verified_type != "none",
    "verified_followers_count": lambda user, view: user.followers // 20,
    "verified_type": lambda user, view: user.verified_type,
    "withheld": lambda user, view: (
        {"country_codes": ["TR"], "scope": "user"} if draw(user.id, 28, 300) == 0 else None
    ),
}


def _media(key: str, view: View) -> Json:
    prefix, _, number = key.partition("_")
    kind = {"3": "photo", "13": "video", "7": "video", "16": "animated_gif"}.get(prefix, "photo")
    at_ms = moment_of(int(number))
    about: Json = {"media_key": key, "type": kind, "width": 1280, "height": 720}
    address = f"https://pbs.twimg.com/media/{number}.jpg"
    if kind == "photo":
        about["url"] = address
        if draw(int(number), 31, 3) == 0:
            about["alt_text"] = ALT_TEXTS[draw(int(number), 32, len(ALT_TEXTS))]
        return about
    about["preview_image_url"] = address
    movie = f"https://video.twimg.com/{number}/720.mp4"
    about["variants"] = [{"bit_rate": 2_176_000, "content_type": "video/mp4", "url": movie}]
    if kind == "video":
        about["duration_ms"] = 1_000 + draw(int(number), 33, 90_000)
        about["public_metrics"] = {"view_count": _grown(_final(int(number), 34, 90), at_ms, view.at_ms)}
        playlist = {"content_type": "application/x-mpegURL", "url": movie.replace("720.mp4", "all.m3u8")}
        about["variants"].append(playlist)
    return about


def _poll(poll_id: int, view: View) -> Json:
    at_ms, minutes = moment_of(poll_id), (60, 1_440, 4_320)[draw(poll_id, 41, 3)]
    ends_ms = at_ms + minutes * 60_000
    until_ms = min(view.at_ms, ends_ms)
    options = [
        {
            "position": n + 1,
            "label": POLL_LABELS[(draw(poll_id, 42, len(POLL_LABELS)) + n) % len(POLL_LABELS)],
            "votes": _grown(_final(poll_id, 43 + n, 25), at_ms, until_ms),
        }
        for n in range(2 + draw(poll_id, 47, 3))
    ]
    return {
        "id": str(poll_id),
        "options": options,
        "duration_minutes": minutes,
        "end_datetime": to_text(ends_ms // 1000 * 1000),
        "voting_status": "open" if view.at_ms < ends_ms else "closed",
    }


def _place(place: Place) -> Json:
    return {
        "id": place.id,
        "full_name": place.full_name,
        "name": place.name,
        "country": place.country,
        "country_code": place.country_code,
        "place_type": place.place_type,
        "geo": {"type": "Feature", "bbox": list(place.bbox), "properties": {}},
    }
