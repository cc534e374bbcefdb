"""A tweet as the world stores it, and how one is built.

Positions count Unicode code points in the text with HTML entities; ends are exclusive, as for 2,802 of 2,802 real
hashtags, but inclusive for annotations (x-api-v2.md §9). Retweets look as X sends them: "RT @name: ", cut to 140
code points with "…", entities only within the remaining text, no likes (§9: 612 of 820 cut, 820 of 820 with 0 likes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from x_api_simulator.chance import draw
from x_api_simulator.population import User

NEVER_MS = 1 << 62
RETWEET_LENGTH = 140
LONG_TEXT = 280

Span = tuple[str, int, int, str, str]
"""(kind, start, end, value, more): kind is hashtag, cashtag, mention, url, media, quote or annotation.

value/more by kind: tag/""; username/user id or "" when X cannot resolve it; t.co address/expanded address;
for annotation: normalised text/type and an inclusive end.
"""


@dataclass(slots=True, eq=False)
class Tweet:
    """Times are Unix milliseconds. `refs` holds (replied_to|quoted|retweeted, id)."""

    id: int
    at_ms: int
    author: User
    lang: str
    text: str
    spans: tuple[Span, ...] = ()
    refs: tuple[tuple[str, int], ...] = ()
    conversation_id: int = 0
    reply_to: User | None = None
    original: Tweet | None = None
    """The retweeted tweet; a retweet disappears with its original."""
    media: tuple[str, ...] = ()
    poll_id: int = 0
    place: int = -1
    point: bool = False
    note: tuple[str, tuple[Span, ...]] | None = None
    """Text and spans of a long post, of which `text` is the beginning."""
    indexed_ms: int = 0
    """From this moment search and timelines show it (x-api-v2.md §6: P99 latency 6-7 s)."""
    superseded_ms: int = NEVER_MS
    """From this moment a newer version replaces it."""
    deleted_ms: int = NEVER_MS
    """When its author deletes it, as the seed decides."""
    removed_ms: int = NEVER_MS
    """When the control door deletes it; kept separate so that it never changes what the seed produces."""
    withheld: tuple[str, ...] = ()
    versions: list[int] = field(default_factory=list)
    """The edit chain, oldest first, shared by all its versions; empty means never edited."""
    seeded: bool = False

    def kind(self) -> str:
        """retweeted, quoted, replied_to or original; the first that applies."""
        kinds = {kind for kind, _ in self.refs}
        return next((kind for kind in ("retweeted", "quoted", "replied_to") if kind in kinds), "original")

    def exists_at(self, at_ms: int) -> bool:
        """Whether a lookup by id finds it at this moment."""
        return self.at_ms <= at_ms < self.gone_ms()

    def gone_ms(self) -> int:
        """The moment of its deletion; a retweet is deleted with its original."""
        gone_ms = min(self.deleted_ms, self.removed_ms)
        return gone_ms if self.original is None else min(gone_ms, self.original.gone_ms())

    def found_at(self, at_ms: int) -> bool:
        """Whether search and timelines show it: indexed, not deleted, the newest version."""
        return self.indexed_ms <= at_ms < self.superseded_ms and self.exists_at(at_ms)

    def was_found_before(self, at_ms: int) -> bool:
        """Whether it could have been found at any moment up to this one."""
        return self.indexed_ms <= at_ms and self.indexed_ms < min(self.superseded_ms, self.gone_ms())


class Draft:
    """Text that is built piece by piece and remembers where each entity is."""

    __slots__ = ("_length", "_parts", "spans")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.spans: list[Span] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def begin(self, text: str) -> None:
        """Start with a complete text whose entities are already in `spans`."""
        self._parts, self._length = [text], len(text)

    def say(self, text: str, annotations: tuple[tuple[int, int, str, str], ...] = ()) -> None:
        """Append plain text, after a space if there is text already."""
        if self._length:
            self._parts.append(" ")
            self._length += 1
        for start, end, kind, name in annotations:
            self.spans.append(("annotation", self._length + start, self._length + end, name, kind))
        self._parts.append(text)
        self._length += len(text)

    def mark(self, kind: str, text: str, value: str, more: str = "") -> None:
        """Append text that is an entity."""
        self.say(text)
        self.spans.append((kind, self._length - len(text), self._length, value, more))


def short_link(number: int, salt: int) -> str:
    """A t.co address of 23 characters, the same for the same number and salt."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
    return "https://t.co/" + "".join(alphabet[draw(number, salt * 16 + n, len(alphabet))] for n in range(10))


def cut(text: str, spans: tuple[Span, ...], length: int) -> tuple[str, tuple[Span, ...]]:
    """The first `length` code points, ending in "…"; never half an HTML entity, half an X entity, or a dangling
    joiner."""
    if len(text) <= length:
        return text, spans
    end = length - 1
    ampersand = text.rfind("&", 0, end)
    if ampersand >= 0 and ";" not in text[ampersand:end] and ";" in text[ampersand : ampersand + 6]:
        end = ampersand
    while end and text[end - 1] in " \u200d\ufe0f":
        end -= 1
    kept = tuple(span for span in spans if (span[2] < end if span[0] == "annotation" else span[2] <= end))
    return text[:end] + "…", kept


def retweet_text(original: Tweet) -> tuple[str, tuple[Span, ...]]:
    """Text and spans of a retweet of `original`."""
    prefix = f"RT @{original.author.username}: "
    by = ("mention", 3, 4 + len(original.author.username), original.author.username, str(original.author.id))
    moved = tuple(
        (kind, start + len(prefix), end + len(prefix), value, more)
        for kind, start, end, value, more in original.spans
    )
    return cut(prefix + original.text, (by, *moved), RETWEET_LENGTH)


def shorten_note(text: str, spans: tuple[Span, ...], tweet_id: int) -> tuple[str, tuple[Span, ...]]:
    """What `text` shows of a long post: its beginning, "…" and a link to the full post."""
    head, kept = cut(text, spans, LONG_TEXT - 24)
    link = short_link(tweet_id, 7)
    start = len(head) + 1
    whole = ("url", start, start + len(link), link, f"https://twitter.com/i/web/status/{tweet_id}")
    return f"{head} {link}", (*kept, whole)
