"""Turn envelopes into rows of all tables, merged per key, ready to be staged.

A `Batch` collects the rows of many envelopes. An envelope is flattened whole or not at all: a record that
cannot be read raises `Unreadable` and leaves the batch as it was, and goes to the dead letters. Inside a good
envelope a broken side object (an include, an entity) costs only itself and is counted as drift.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from twitter_pipeline.text import bare_tag, searchable, trigrams
from twitter_pipeline.transform import objects as x
from twitter_pipeline.transform.values import (
    UNKNOWN_TIME,
    BadValue,
    NotJson,
    count,
    lenient_id,
    normal_tag,
    parse_carefully,
    read_id,
    read_time,
    snowflake_time,
    version,
)
from twitter_pipeline.warehouse import tables

SUPPORTED_VERSION = 1
_T = TypeVar("_T")
Rows = dict[tuple[Any, ...], dict[str, Any]]


class Coordinates(NamedTuple):
    """Where an envelope lies in Kafka, and so in raw."""

    topic_id: str
    partition: int
    offset: int


class Unreadable(ValueError):
    """One envelope that cannot become rows; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass
class Observed:
    """One object as X gave it, decoded, with the rank of this observation and what was asked for."""

    object: Any
    version: UUID
    observed_at: datetime
    requested: frozenset[str] | None
    is_data: bool
    is_sanitized: bool

    def asked(self, name: str, value: object) -> bool:
        """Whether this observation says anything about a field: it was asked for, or it is there."""
        return value is not None or (self.requested is not None and name in self.requested)


@dataclass
class Batch:
    """Rows per table, by key; `observations` say where each tweet was seen; `drift` counts unknown fields."""

    rows: dict[str, Rows] = field(default_factory=lambda: {t.name: {} for t in tables.IN_LOADING_ORDER})
    observations: dict[tuple[Coordinates, int | None], bool] = field(default_factory=dict)
    drift: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, table: tables.Table, row: dict[str, Any]) -> None:
        key = tuple(row[c] for c in table.key)
        known = self.rows[table.name].setdefault(key, row)
        if known is not row:
            table.merge(known, row)

    def add_envelope(self, payload: bytes, at: Coordinates) -> None:
        """Flatten one envelope. Raises Unreadable, then nothing was added."""
        envelope, tweet, includes, users, is_sanitized = _read(payload, self.drift)
        observed_at = read_time(envelope.provenance.observed_at) or UNKNOWN_TIME
        tweet_fields = envelope.requested.tweet_fields if envelope.requested else None
        user_fields = envelope.requested.user_fields if envelope.requested else None

        def observed(obj: Any, raw: bytes, fields: frozenset[str] | None, is_data: bool) -> Observed:
            digest = zlib.crc32(raw).to_bytes(4, "big") + zlib.adler32(raw).to_bytes(4, "big")
            rank = version(observed_at, is_data=is_data, content_hash=digest)
            return Observed(obj, rank, observed_at, fields, is_data, is_sanitized)

        if tweet is not None:
            obj, raw = tweet
            tweet_id = self._add_tweet(observed(obj, raw, tweet_fields, True), envelope.provenance.rule)
            self.observations[at, tweet_id] = True
        for obj, raw in includes:
            try:
                included_id = self._add_tweet(observed(obj, raw, tweet_fields, False), None)
            except Unreadable:
                self.drift["tweet", "(unreadable include)"] += 1
                continue
            self.observations.setdefault((at, included_id), False)
        for obj, raw in users:
            self._add_user(observed(obj, raw, user_fields, False))
        if tweet is None and not includes:
            self.observations[at, None] = False

    def _add_tweet(self, seen: Observed, rule: str | None) -> int:
        t: x.Tweet = seen.object
        try:
            tweet_id = read_id(t.id, "tweet.id")
            author_id = read_id(t.author_id, "tweet.author_id")
        except BadValue as bad:
            raise Unreadable("id_range", str(bad)) from None
        if tweet_id is None:
            raise Unreadable("shape", "tweet.id: missing")
        row = tables.TWEETS.blank(tweet_id)
        created_at = read_time(t.created_at)
        row.update(
            author_id=author_id,
            created_at=created_at or snowflake_time(tweet_id),
            conversation_id=lenient_id(t.conversation_id),
            in_reply_to_user_id=lenient_id(t.in_reply_to_user_id),
            text=t.text,
            note_text=t.note.text if t.note else None,
            lang=t.lang,
            source=t.source,
            place_id=t.geo.place_id if t.geo else None,
            community_id=lenient_id(t.community_id),
            media_keys=t.attachments.media_keys if t.attachments else None,
            poll_ids=t.attachments.poll_ids if t.attachments else None,
            edit_history_ids=sorted(i for v in t.edit_history if (i := lenient_id(v))) or None,
            is_collected=seen.is_data,
            is_sanitized=seen.is_sanitized,
            is_created_at_derived=created_at is None,
        )
        if seen.asked("possibly_sensitive", t.possibly_sensitive):
            row.update(possibly_sensitive=t.possibly_sensitive, possibly_sensitive_version=seen.version)
        if seen.asked("reply_settings", t.reply_settings):
            row.update(reply_settings=t.reply_settings, reply_settings_version=seen.version)
        if seen.asked("withheld", t.withheld):
            row["withheld_version"] = seen.version
            if t.withheld:
                row.update(
                    withheld_copyright=t.withheld.copyright, withheld_country_codes=t.withheld.country_codes
                )
        if t.public_metrics:
            counts = dict(zip(tables.COUNTS, map(count, t.public_metrics.counts), strict=True))
            row.update(counts, metrics_version=seen.version)
            snapshot = tables.TWEET_METRICS.blank(tweet_id, seen.observed_at)
            snapshot.update(counts, version=seen.version)
            self.add(tables.TWEET_METRICS, snapshot)
        self.add(tables.TWEETS, row)
        if (shown := row["note_text"] or row["text"]) is not None:
            self._add_searched(tweet_id, shown, seen.version)
        if author_id is not None:
            self.add(tables.USERS, tables.USERS.blank(author_id))
        if rule is not None:
            self.add(tables.TWEET_RULES, tables.TWEET_RULES.blank(tweet_id, rule))
        for reference in t.references:
            if (target := lenient_id(reference.id)) is not None:
                self.add(
                    tables.TWEET_REFERENCES, tables.TWEET_REFERENCES.blank(tweet_id, reference.type, target)
                )
        if t.entities:
            self._add_entities(tweet_id, t.entities, len(t.text or ""), row["created_at"])
        if t.note and t.note.entities:
            # positions in the long text are not positions in text: the long text's entities come without
            self._add_entities(tweet_id, t.note.entities, 0, row["created_at"])
        return tweet_id

    def _add_searched(self, tweet_id: int, shown: str, text_version: UUID) -> None:
        """What searches compare: it must follow the text, and so has the text's version."""
        text = searchable(shown)
        row = tables.TWEET_TEXTS.blank(tweet_id)
        row.update(text=text, trigrams=trigrams(text), version=text_version)
        self.add(tables.TWEET_TEXTS, row)

    def _add_entities(
        self, tweet_id: int, entities: x.Entities, text_length: int, created_at: datetime | None
    ) -> None:
        def positions(span: x.Span) -> dict[str, int | None]:
            start, end = span.start, span.end
            inside = start is not None and end is not None and 0 <= start < end <= text_length
            return {"start_index": start if inside else None, "end_index": end if inside else None}

        for hashtag in entities.hashtags or ():
            shown = bare_tag(hashtag.tag or "")  # X leaves the sign out, archives of others may not
            if tag := normal_tag(shown):
                row = tables.HASHTAGS.blank(tag)
                row.update(display_tag=shown, first_used_at=created_at)
                self.add(tables.HASHTAGS, row)
                row = tables.TWEET_HASHTAGS.blank(tweet_id, tag)
                row.update(positions(hashtag))
                self.add(tables.TWEET_HASHTAGS, row)
        for mention in entities.mentions or ():
            if mention.username:
                row = tables.TWEET_MENTIONS.blank(tweet_id, mention.username.lower())
                row.update(positions(mention), user_id=lenient_id(mention.id))
                self.add(tables.TWEET_MENTIONS, row)
        for url in entities.urls or ():
            if url.url:
                row = tables.TWEET_URLS.blank(tweet_id, url.url)
                row.update(
                    positions(url),
                    expanded_url=url.expanded_url,
                    display_url=url.display_url,
                    unwound_url=url.unwound_url,
                    title=url.title,
                    description=url.description,
                    media_key=url.media_key,
                )
                self.add(tables.TWEET_URLS, row)

    def _add_user(self, seen: Observed) -> None:
        u: x.User = seen.object
        if (user_id := lenient_id(u.id)) is None:
            self.drift["user", "(unreadable include)"] += 1
            return
        row = tables.USERS.blank(user_id)
        row["created_at"] = read_time(u.created_at)
        for name, column, value in (
            ("description", "description", u.description),
            ("location", "location", u.location),
            ("url", "url", u.url),
            ("profile_image_url", "profile_image_url", u.profile_image_url),
            ("protected", "is_protected", u.protected),
            ("verified", "is_verified", u.verified),
            ("verified_type", "verified_type", u.verified_type),
            ("pinned_tweet_id", "pinned_tweet_id", lenient_id(u.pinned_tweet_id or u.pinned_post_id)),
        ):
            if seen.asked(name, value):
                row[column] = value
                row[f"{column}_version"] = seen.version
        if u.username is not None or u.name is not None:
            row.update(username=u.username, name=u.name, name_version=seen.version)
        if u.public_metrics:
            columns = tables.USERS.groups["metrics_version"]
            row.update(zip(columns, map(count, u.public_metrics.counts), strict=True))
            row["metrics_version"] = seen.version
        self.add(tables.USERS, row)


Decoded = tuple[Any, bytes]


def _read(
    payload: bytes, drift: Counter[tuple[str, str]]
) -> tuple[x.Envelope, Decoded | None, list[Decoded], list[Decoded], bool]:
    """Decode an envelope and its objects; the slow way only for bytes that the fast way cannot take."""
    if b"\\u0000" in payload:
        return _read_carefully(payload, drift)
    try:
        envelope = x.decode_envelope(payload)
        tweet = (x.decode_tweet(envelope.tweet), bytes(envelope.tweet)) if envelope.has_tweet else None
        inc = envelope.includes or x.Includes()
        includes = [(x.decode_tweet(raw), bytes(raw)) for raw in inc.tweets or inc.posts or ()]
        users = [(x.decode_user(raw), bytes(raw)) for raw in inc.users or ()]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_carefully(payload, drift)
    _count_drift(envelope, drift)
    _check(envelope)
    return envelope, tweet, includes, users, False


def _check(envelope: x.Envelope) -> None:
    if envelope.envelope_version != SUPPORTED_VERSION:
        raise Unreadable(
            "version",
            f"envelope_version {envelope.envelope_version} is not {SUPPORTED_VERSION}; upgrade the reader",
        )
    if envelope.kind not in {"tweet", "includes"}:
        raise Unreadable("shape", f"kind: {envelope.kind[:40]!r} is neither 'tweet' nor 'includes'")
    if envelope.kind == "tweet" and not envelope.has_tweet:
        raise Unreadable("shape", "tweet: missing in an envelope of kind 'tweet'")


def _count_drift(envelope: x.Envelope, drift: Counter[tuple[str, str]]) -> None:
    if envelope.has_tweet:
        _count_unknown("tweet", x.decode_keys(envelope.tweet), drift)
    for raw in (envelope.includes.users if envelope.includes else None) or ():
        _count_unknown("user", x.decode_keys(raw), drift)


def _count_unknown(name: str, fields: Iterable[str], drift: Counter[tuple[str, str]]) -> None:
    known = x.TWEET_FIELDS if name == "tweet" else x.USER_FIELDS
    drift.update((name, field[:100]) for field in set(fields) - known)


def _read_carefully(
    payload: bytes, drift: Counter[tuple[str, str]]
) -> tuple[x.Envelope, Decoded | None, list[Decoded], list[Decoded], bool]:
    """Read bytes with NULs, lone surrogates or fields of another type: clean, coerce, drop broken side objects."""
    try:
        document, is_sanitized = parse_carefully(payload)
    except NotJson as why:
        raise Unreadable(why.reason, str(why)) from None
    if not isinstance(document, dict):
        raise Unreadable("shape", "an envelope is a JSON object")
    includes = document.pop("includes", None)
    tweet = document.pop("tweet", None)
    try:
        envelope = msgspec.convert(document, x.Envelope)
        decoded = None if tweet is None else (_convert(tweet, x.Tweet, drift), _canonical(tweet))
        envelope.tweet = msgspec.Raw(b"{}" if decoded else b"")
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unreadable("shape", str(error)[:200]) from None
    _check(envelope)
    if decoded:
        _count_unknown("tweet", tweet, drift)
    sides = includes if isinstance(includes, dict) else {}
    return (
        envelope,
        decoded,
        list(_side_objects(sides.get("tweets") or sides.get("posts"), x.Tweet, "tweet", drift)),
        list(_side_objects(sides.get("users"), x.User, "user", drift)),
        is_sanitized,
    )


def _side_objects(
    values: Any, kind: type[_T], name: str, drift: Counter[tuple[str, str]]
) -> Iterable[tuple[_T, bytes]]:
    for value in values if isinstance(values, list) else ():
        try:
            found = _convert(value, kind, drift)
        except msgspec.ValidationError:
            drift[name, "(unreadable include)"] += 1
        else:
            _count_unknown(name, value, drift)
            yield found, _canonical(value)


def _convert(value: Any, kind: type[_T], drift: Counter[tuple[str, str]]) -> _T:
    """Convert, dropping entities that do not fit their type: each costs only itself."""
    if isinstance(value, dict) and isinstance(entities := value.get("entities"), dict):
        for name, item_type in (("hashtags", x.Hashtag), ("mentions", x.Mention), ("urls", x.Url)):
            if name in entities:
                items = entities[name] if isinstance(entities[name], list) else []
                entities[name] = [item for item in items if _fits(item, item_type)]
                if dropped := len(items) - len(entities[name]):
                    drift["tweet", f"(unreadable {name})"] += dropped
    return msgspec.convert(value, kind, strict=False)


def _fits(value: object, kind: type) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
