"""The set of entities in one observation of a tweet: hashtags, mentions and links of the text and of the long text.

X states a set as a whole, and a newer set replaces an older one as a whole. So it is stored as one value, with the hash
of the text that its positions belong to. PostgreSQL derives `tweet_hashtags`, `tweet_mentions` and `tweet_urls` from it
(migration 0006, decision 16).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from tweet_envelope.ids import lenient_id
from twitter_pipeline.text import bare_tag, normal_tag
from twitter_pipeline.transform import objects as x
from twitter_pipeline.transform.values import LONGEST_KEY, text_hash

_SIGNS = "#\uff03"
_OF_A_LINK = (
    "url",
    "expanded_url",
    "display_url",
    "unwound_url",
    "title",
    "description",
    "media_key",
)
_LARGEST_POSITION = 2**31 - 1


class EntitySet:
    """Collects the entities of one tweet. `misfits` counts, by list, those without a place in the text or an id."""

    def __init__(
        self, text: str | None, entities: x.Entities | None, of_long_text: x.Entities | None
    ) -> None:
        self._text = text
        self._hashtags: dict[str, dict[str, Any]] = {}
        self._mentions: dict[str, dict[str, Any]] = {}
        self._urls: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.spellings: dict[str, str] = {}
        self.misfits: Counter[str] = Counter()
        if entities:
            self._add(entities, has_positions=True)
        if of_long_text:
            # positions in the long text do not apply to the text, so entities of the long text alone have none
            self._add(of_long_text, has_positions=False)

    @property
    def document(self) -> dict[str, Any] | None:
        """The set as stored, each list in X's order; None for a tweet without entities."""
        lists: tuple[tuple[str, Mapping[Any, dict[str, Any]]], ...] = (
            ("hashtags", self._hashtags),
            ("mentions", self._mentions),
            ("urls", self._urls),
        )
        return {name: list(found.values()) for name, found in lists if found} or None

    @property
    def text_hash(self) -> UUID | None:
        """Which text the positions belong to; None without a text or without a position."""
        positioned = any("start" in item for item in self._items())
        return text_hash(self._text) if self._text is not None and positioned else None

    def _items(self) -> Iterable[dict[str, Any]]:
        yield from self._hashtags.values()
        yield from self._mentions.values()
        yield from self._urls.values()

    def _add(self, entities: x.Entities, *, has_positions: bool) -> None:
        for hashtag in entities.hashtags or ():
            spelling = bare_tag(hashtag.tag or "")  # X omits the sign, other people's archives may not
            tag = self._key(normal_tag(spelling), "hashtags")
            if tag and tag not in self._hashtags:
                place = self._place(hashtag, "hashtags", tag) if has_positions else {}
                self._hashtags[tag] = {"tag": tag, **place}
                self.spellings[tag] = spelling
        for mention in entities.mentions or ():
            username = self._key((mention.username or "").lower(), "mentions")
            if username and username not in self._mentions:
                place = self._place(mention, "mentions") if has_positions else {}
                self._mentions[username] = {"username": username, **self._user_id(mention), **place}
        for url in entities.urls or ():
            link = {name: value for name in _OF_A_LINK if (value := getattr(url, name))}
            if link.keys() <= {"title", "description"}:
                continue
            said = tuple(link.items())
            if has_positions:
                place = self._place(url, "urls")
                self._urls.setdefault((said, *place.values()), link | place)
            elif not any(known == said for known, *_ in self._urls):
                self._urls[(said,)] = link

    def _key(self, value: str, name: str) -> str:
        """A text that fits into an index; empty if it is too long."""
        if len(value) <= LONGEST_KEY:
            return value
        self.misfits[f"(unreadable {name})"] += 1
        return ""

    def _user_id(self, mention: x.Mention) -> dict[str, int]:
        if mention.id is None or mention.id == "":
            return {}
        if (user_id := lenient_id(mention.id)) is None:
            self.misfits["(unreadable mentions)"] += 1
            return {}
        return {"user_id": user_id}

    def _place(self, span: x.Span, name: str, tag: str | None = None) -> dict[str, int]:
        """The position of an entity in its text, if it is possible: a hashtag must stand in the text there."""
        start, end = span.start, span.end
        if start is None and end is None:
            return {}
        last = _LARGEST_POSITION if self._text is None else len(self._text)
        if (
            start is not None
            and end is not None
            and 0 <= start < end <= last
            and self._holds(start, end, tag)
        ):
            return {"start": start, "end": end}
        self.misfits[f"(misplaced {name})"] += 1
        return {}

    def _holds(self, start: int, end: int, tag: str | None) -> bool:
        if tag is None or self._text is None:
            return True
        return self._text[start] in _SIGNS and normal_tag(self._text[start:end]) == tag
