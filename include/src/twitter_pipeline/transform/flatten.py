"""Turn envelopes into rows of all tables, merged per key, ready to be staged.

A `Batch` collects the rows of many envelopes. An envelope is flattened whole or not at all: a record that
cannot be read raises `Unreadable` and leaves the batch as it was, and goes to the dead letters. Of a tweet only
the id is needed: whatever else does not fit its type is null, costs nothing but itself and is counted as drift.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from tweet_envelope.coordinates import Coordinate
from tweet_envelope.ids import LARGEST_ID, BadId, read_id, snowflake_time
from tweet_envelope.instants import UNKNOWN_TIME, is_plausible, read_observed_at, read_plausible_time
from tweet_envelope.json_text import NotJson, parse_carefully
from tweet_envelope.reading import Envelope, Includes, NotAnEnvelope, check, decode_envelope
from twitter_pipeline.text import searchable, trigrams
from twitter_pipeline.transform import objects as x
from twitter_pipeline.transform.careful import Misfits, is_absent, read_struct
from twitter_pipeline.transform.entities import EntitySet
from twitter_pipeline.transform.values import LONGEST_KEY, version
from twitter_pipeline.warehouse import tables

_T = TypeVar("_T", x.Tweet, x.User)
Drift = Counter[tuple[str, str]]
Rows = dict[tuple[Any, ...], dict[str, Any]]


class Unreadable(ValueError):
    """One envelope that cannot become rows; `reason` is a stable code, the text names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass
class Observed:
    """One object as X gave it, decoded, with the rank of this observation and what was asked for.

    `unread` are the fields that were there and could not be read; `landed_at` bounds every time it states.
    """

    name: str
    object: Any
    version: UUID
    observed_at: datetime
    landed_at: datetime
    requested: frozenset[str] | None
    is_data: bool
    is_sanitized: bool
    unread: set[str]
    drift: Drift

    def states(self, value: object, *fields: str) -> bool:
        """Whether this observation says anything about a value that is found under one of `fields`.

        It does when the value is there; when it is not, only if one of the fields was asked for: X leaves out
        what is empty. What was there and could not be read is no word about it.
        """
        if value is not None:
            return True
        if self.requested is None or self.requested.isdisjoint(fields):
            return False
        return self.unread.isdisjoint(fields)

    def misfit(self, field: str) -> None:
        """Count a value that does not fit and is null."""
        self.unread.add(field)
        self.drift[self.name, f"(unreadable {field})"] += 1

    def id(self, value: object, field: str) -> int | None:
        """An id of a side column; what is none is null."""
        if value is None or value == "":
            return None
        try:
            return read_id(value, field)
        except BadId:
            self.misfit(field)
            return None

    def key(self, value: str | None, field: str) -> str | None:
        """A text that an index holds; one too long for that is null, never cut."""
        if value is not None and len(value) > LONGEST_KEY:
            self.misfit(field)
            return None
        return value

    def time(self, value: str | None, field: str) -> datetime | None:
        """An instant that can be true; any other is null."""
        instant = read_plausible_time(value, self.landed_at)
        if instant is None and value is not None:
            self.misfit(field)
        return instant

    def counts(self, columns: Iterable[str], values: Iterable[int | None]) -> dict[str, int | None]:
        """Counters by column; what is no count (negative, beyond 64 bits) is null, never cut."""
        counts = dict(zip(columns, values, strict=True))
        for column, value in counts.items():
            if value is not None and not 0 <= value <= LARGEST_ID:
                self.misfit(column)
                counts[column] = None
        return counts


@dataclass
class Batch:
    """Rows per table, by key; `observations` say where each tweet was seen; `drift` counts what was not understood."""

    rows: dict[str, Rows] = field(default_factory=lambda: {t.name: {} for t in tables.IN_LOADING_ORDER})
    observations: dict[tuple[Coordinate, int | None], bool] = field(default_factory=dict)
    drift: Drift = field(default_factory=Counter)

    def add(self, table: tables.Table, row: dict[str, Any]) -> None:
        key = tuple(row[c] for c in table.key)
        known = self.rows[table.name].setdefault(key, row)
        if known is not row:
            table.merge(known, row)

    def add_envelope(self, payload: bytes, at: Coordinate, landed_at: datetime | None = None) -> None:
        """Flatten one envelope. Raises Unreadable, then no row was added.

        `landed_at` is the raw document's (default: now, for an envelope that has none): no observation is later.
        """
        landed_at = landed_at or datetime.now(UTC)
        drift = self.drift
        envelope, tweet, includes, users, is_sanitized = _read(payload, drift)
        stated_at = envelope.provenance.observed_at
        observed_at = read_observed_at(stated_at, landed_at) or UNKNOWN_TIME
        if stated_at is not None and read_plausible_time(stated_at, landed_at) is None:
            drift["envelope", "(unreadable observed_at)"] += 1
        tweet_fields = envelope.requested.tweet_fields if envelope.requested else None
        user_fields = envelope.requested.user_fields if envelope.requested else None

        def observed(name: str, found: Decoded, fields: frozenset[str] | None, is_data: bool) -> Observed:
            digest = zlib.crc32(found.raw).to_bytes(4, "big") + zlib.adler32(found.raw).to_bytes(4, "big")
            rank = version(observed_at, is_data=is_data, content_hash=digest)
            return Observed(
                name,
                found.object,
                rank,
                observed_at,
                landed_at,
                fields,
                is_data,
                is_sanitized,
                found.unread,
                drift,
            )

        if tweet is not None:
            tweet_id = self._add_tweet(observed("tweet", tweet, tweet_fields, True), envelope.provenance.rule)
            self.observations[at, tweet_id] = True
        for found in includes:
            try:
                included_id = self._add_tweet(observed("tweet", found, tweet_fields, False), None)
            except Unreadable:
                drift["tweet", "(unreadable include)"] += 1
                continue
            self.observations.setdefault((at, included_id), False)
        for found in users:
            self._add_user(observed("user", found, user_fields, False))
        if tweet is None and not includes:
            self.observations[at, None] = False

    def _add_tweet(self, seen: Observed, rule: str | None) -> int:
        t: x.Tweet = seen.object
        try:
            tweet_id = read_id(t.id, "tweet.id")
        except BadId as bad:
            raise Unreadable("id_range", str(bad)) from None
        if tweet_id is None:
            raise Unreadable("shape", "tweet.id: missing")
        row = tables.TWEETS.blank(tweet_id)
        author_id = seen.id(t.author_id, "author_id")
        stated_at = seen.time(t.created_at, "created_at")
        created_at = stated_at or snowflake_time(tweet_id)
        if created_at is not None and not is_plausible(created_at, seen.landed_at):
            created_at = None  # an id that is no snowflake, or one of the future
        row.update(
            author_id=author_id,
            created_at=created_at,
            conversation_id=seen.id(t.conversation_id, "conversation_id"),
            in_reply_to_user_id=seen.id(t.in_reply_to_user_id, "in_reply_to_user_id"),
            community_id=seen.id(t.community_id, "community_id"),
            edit_history_ids=sorted(
                i for v in t.edit_history if (i := seen.id(v, "edit_history_tweet_ids")) is not None
            )
            or None,
            is_collected=seen.is_data,
            is_sanitized=seen.is_sanitized,
            is_created_at_derived=stated_at is None,
        )
        self._add_parts(seen, row)
        self.add(tables.TWEETS, row)
        if author_id is not None:
            self.add(tables.USERS, tables.USERS.blank(author_id))
        if (rule := seen.key(rule, "rule")) is not None:
            self.add(tables.TWEET_RULES, tables.TWEET_RULES.blank(tweet_id, rule))
        for reference in t.references:
            target = seen.id(reference.id, "referenced_tweets")
            kind = seen.key(reference.type, "referenced_tweets")
            if target is not None and kind:
                self.add(tables.TWEET_REFERENCES, tables.TWEET_REFERENCES.blank(tweet_id, kind, target))
        return tweet_id

    def _add_parts(self, seen: Observed, row: dict[str, Any]) -> None:
        """Fill the parts of a tweet that this observation states, each with its rank."""
        t: x.Tweet = seen.object
        tweet_id = row["id"]
        note_text = t.note.text if t.note else None
        if t.text is not None or (note_text is not None and "text" not in seen.unread):
            # a long text and a language belong to the text that they came with: of none said, there is none
            row.update(text=t.text, note_text=note_text, lang=t.lang, text_version=seen.version)
            self._add_searched(tweet_id, note_text or t.text or "", seen.version)
        if seen.states(t.source, "source"):
            row.update(source=t.source, source_version=seen.version)
        media_keys = _filled(t.attachments.media_keys if t.attachments else None)
        if seen.states(media_keys, "attachments", "media_keys"):
            row.update(media_keys=media_keys, media_keys_version=seen.version)
        poll_ids = _filled(t.attachments.poll_ids if t.attachments else None)
        if seen.states(poll_ids, "attachments", "poll_ids"):
            row.update(poll_ids=poll_ids, poll_ids_version=seen.version)
        place_id = (t.geo.place_id if t.geo else None) or None
        if seen.states(place_id, "geo", "place_id"):
            row.update(place_id=place_id, place_id_version=seen.version)
        if seen.states(t.possibly_sensitive, "possibly_sensitive"):
            row.update(possibly_sensitive=t.possibly_sensitive, possibly_sensitive_version=seen.version)
        if seen.states(t.reply_settings, "reply_settings"):
            row.update(reply_settings=t.reply_settings, reply_settings_version=seen.version)
        withheld = t.withheld
        if withheld is not None and withheld.copyright is None and not withheld.country_codes:
            withheld = None
        if seen.states(withheld, "withheld"):
            row["withheld_version"] = seen.version
            if withheld:
                row.update(
                    withheld_copyright=withheld.copyright,
                    withheld_country_codes=_filled(withheld.country_codes),
                )
        if t.public_metrics and any(n is not None for n in t.public_metrics.counts):
            counts = seen.counts(tables.COUNTS, t.public_metrics.counts)
            row.update(counts, metrics_version=seen.version)
            snapshot = tables.TWEET_METRICS.blank(tweet_id, seen.observed_at)
            snapshot.update(counts, version=seen.version)
            self.add(tables.TWEET_METRICS, snapshot)
        self._add_entities(seen, row)

    def _add_searched(self, tweet_id: int, shown: str, text_version: UUID) -> None:
        """What searches compare: it must follow the text, and so has the text's version."""
        text = searchable(shown)
        row = tables.TWEET_TEXTS.blank(tweet_id)
        row.update(text=text, trigrams=trigrams(text), version=text_version)
        self.add(tables.TWEET_TEXTS, row)

    def _add_entities(self, seen: Observed, row: dict[str, Any]) -> None:
        t: x.Tweet = seen.object
        found = EntitySet(t.text, t.entities, t.note.entities if t.note else None)
        for name, times in found.misfits.items():
            seen.drift["tweet", name] += times
        if seen.states(document := found.document, "entities", "entities", "hashtags", "mentions", "urls"):
            row.update(entities=document, entities_text_hash=found.text_hash, entities_version=seen.version)
        for tag, spelling in found.spellings.items():
            hashtag = tables.HASHTAGS.blank(tag)
            hashtag.update(display_tag=spelling, first_used_at=row["created_at"])
            self.add(tables.HASHTAGS, hashtag)

    def _add_user(self, seen: Observed) -> None:
        u: x.User = seen.object
        try:
            user_id = read_id(u.id, "user.id")
        except BadId:
            user_id = None
        if user_id is None:
            seen.drift["user", "(unreadable include)"] += 1
            return
        row = tables.USERS.blank(user_id)
        row["created_at"] = seen.time(u.created_at, "created_at")
        pinned = u.pinned_post_id if u.pinned_tweet_id is None else u.pinned_tweet_id
        for name, column, value in (
            ("description", "description", u.description),
            ("location", "location", u.location),
            ("url", "url", u.url),
            ("profile_image_url", "profile_image_url", u.profile_image_url),
            ("protected", "is_protected", u.protected),
            ("verified", "is_verified", u.verified),
            ("verified_type", "verified_type", u.verified_type),
            ("pinned_tweet_id", "pinned_tweet_id", seen.id(pinned, "pinned_tweet_id")),
        ):
            if seen.states(value, name, name.replace("tweet", "post")):
                row[column] = value
                row[f"{column}_version"] = seen.version
        username = seen.key(u.username, "username")
        if username is not None or u.name is not None:
            row.update(username=username, name=u.name, name_version=seen.version)
        if u.public_metrics and any(n is not None for n in u.public_metrics.counts):
            columns = tables.USERS.groups["metrics_version"]
            row.update(seen.counts(columns, u.public_metrics.counts), metrics_version=seen.version)
        self.add(tables.USERS, row)


class Decoded(NamedTuple):
    """One object of X: its struct, the bytes that its rank is made of, and the fields that could not be read."""

    object: Any
    raw: bytes
    unread: set[str]


def _read(
    payload: bytes, drift: Drift
) -> tuple[Envelope, Decoded | None, list[Decoded], list[Decoded], bool]:
    """Decode an envelope and its objects; the slow way only for bytes that the fast way cannot take."""
    if b"\\u0000" in payload:
        return _read_carefully(payload, drift)
    try:
        envelope = decode_envelope(payload)
        tweet = (
            Decoded(x.decode_tweet(envelope.tweet), bytes(envelope.tweet), set())
            if envelope.has_tweet
            else None
        )
        inc = envelope.includes or Includes()
        includes = [Decoded(x.decode_tweet(raw), bytes(raw), set()) for raw in inc.tweets or inc.posts or ()]
        users = [Decoded(x.decode_user(raw), bytes(raw), set()) for raw in inc.users or ()]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_carefully(payload, drift)
    _count_drift(envelope, drift)
    _check(envelope)
    return envelope, tweet, includes, users, False


def _check(envelope: Envelope) -> None:
    try:
        check(envelope.envelope_version, envelope.kind, has_tweet=envelope.has_tweet)
    except NotAnEnvelope as why:
        raise Unreadable(why.reason, str(why)) from None


def _count_drift(envelope: Envelope, drift: Drift) -> None:
    if envelope.has_tweet:
        _count_unknown("tweet", x.decode_keys(envelope.tweet), drift)
    for raw in (envelope.includes.users if envelope.includes else None) or ():
        _count_unknown("user", x.decode_keys(raw), drift)


def _count_unknown(name: str, fields: Iterable[str], drift: Drift) -> None:
    known = x.TWEET_FIELDS if name == "tweet" else x.USER_FIELDS
    drift.update((name, field[:100]) for field in set(fields) - known)


def _read_carefully(
    payload: bytes, drift: Drift
) -> tuple[Envelope, Decoded | None, list[Decoded], list[Decoded], bool]:
    """Read bytes with NULs, lone surrogates or fields of another type: clean them, and take what fits."""
    try:
        document, is_sanitized = parse_carefully(payload)
    except NotJson as why:
        raise Unreadable(why.reason, str(why)) from None
    if not isinstance(document, dict):
        raise Unreadable("shape", "an envelope is a JSON object")
    includes = document.pop("includes", None)
    tweet = document.pop("tweet", None)
    if is_absent(document.get("requested")):
        document.pop("requested", None)
    try:
        envelope = msgspec.convert(document, Envelope)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unreadable("shape", str(error)[:200]) from None
    if isinstance(tweet, dict):
        envelope.tweet = msgspec.Raw(b"{}")
    elif tweet is not None:
        raise Unreadable("shape", "tweet: not a JSON object")
    _check(envelope)
    if not isinstance(includes, dict):
        if not (is_absent(includes) or includes == ""):
            drift["envelope", "(unreadable includes)"] += 1
        includes = {}
    return (
        envelope,
        None if tweet is None else _decoded(tweet, x.Tweet, "tweet", drift),
        _side_objects(includes.get("tweets") or includes.get("posts"), x.Tweet, "tweet", drift),
        _side_objects(includes.get("users"), x.User, "user", drift),
        is_sanitized,
    )


def _filled(keys: list[str] | None) -> list[str] | None:
    """A list without the empty strings that some writers put for null; None for an empty one."""
    return [key for key in keys if key] or None if keys else None


def _side_objects(values: Any, kind: type[_T], name: str, drift: Drift) -> list[Decoded]:
    if is_absent(values) or values == "":
        return []
    if not isinstance(values, list):
        drift["envelope", f"(unreadable {name}s)"] += 1
        return []
    objects = [value for value in values if isinstance(value, dict)]
    if dropped := len(values) - len(objects):
        drift[name, "(unreadable include)"] += dropped
    return [_decoded(value, kind, name, drift) for value in objects]


def _decoded(value: dict[str, Any], kind: type[_T], name: str, drift: Drift) -> Decoded:
    """Decode one object as a whole, or field by field where it does not fit."""
    misfits = Misfits()
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        found = read_struct(value, kind, misfits)
        found.id = value.get("id")  # as it is: what is wrong with it is said of the id
    drift.update(
        {(name, f"(unreadable {field})"): times for field, times in misfits.counted.items() if field != "id"}
    )
    _count_unknown(name, value, drift)
    return Decoded(found, json.dumps(value, sort_keys=True).encode(), misfits.unread)
