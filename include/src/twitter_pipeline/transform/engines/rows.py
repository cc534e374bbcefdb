"""Turn envelopes into rows of all tables, one by one, merged per key, ready to be staged.

An envelope is read completely or not at all: one that cannot be read raises `Unreadable`, leaves the batch unchanged and
goes to the dead letters. Only the id of a tweet is required: any other value that does not fit its type is null, affects
nothing else and is counted as drift. The model reads fields that a column stores unchanged; this module has the rest.
"""

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tweet_envelope.coordinates import Coordinate, offset_of
from tweet_envelope.ids import BadId, read_id, snowflake_time
from tweet_envelope.instants import UNKNOWN_TIME, is_plausible, read_observed_at, read_plausible_time
from twitter_pipeline.text import searchable, trigrams
from twitter_pipeline.transform.decoding import Decoded, open_envelope
from twitter_pipeline.transform.engine import DeadLetter, Prepared, Unreadable
from twitter_pipeline.transform.entities import EntitySet
from twitter_pipeline.transform.objects import note_of, references_of
from twitter_pipeline.transform.observed import Observed
from twitter_pipeline.transform.values import version
from twitter_pipeline.warehouse import model

ENTITY_FIELDS = frozenset({"entities", "hashtags", "mentions", "urls"})


def prepare(documents: Sequence[Mapping[str, Any]], topic_id: str, partition: int) -> Prepared:
    """The rows of raw documents of one partition. A document that cannot be read becomes a dead letter; a stub of a
    removed one is only counted."""
    batch = Batch()
    for document in documents:
        at = Coordinate(topic_id, partition, offset_of(document["_id"]))
        if document.get("removed_at") is not None:
            batch.removed += 1
            continue
        try:
            batch.add_document(document, at)
        except Unreadable as why:
            batch.refuse(DeadLetter(at, why.reason, str(why), document["envelope"]))
    return batch


class Batch(Prepared):
    """The rows of many envelopes, added one by one."""

    def add(self, table: model.Table, row: dict[str, Any]) -> None:
        """Add a row, or merge it into the row with the same key."""
        known = self.rows[table.name].setdefault(table.key_of(row), row)
        if known is not row:
            table.merge(known, row)

    def add_document(self, document: Mapping[str, Any], at: Coordinate) -> None:
        """Add one raw document. Raises Unreadable; then nothing was added."""
        landed_at: datetime = document["landed_at"]  # in UTC, whether or not the client returns aware times
        aware = landed_at.astimezone(UTC) if landed_at.tzinfo else landed_at.replace(tzinfo=UTC)
        self.add_envelope(document["envelope"], at, aware)

    def add_envelope(self, payload: bytes, at: Coordinate, landed_at: datetime | None = None) -> None:
        """Add one envelope. Raises Unreadable; then no row was added.

        `landed_at` is the raw document's (default: now, for an envelope without one): no observation can be later.
        """
        landed_at = landed_at or datetime.now(UTC)
        drift = self.drift
        opened = open_envelope(payload, drift)
        envelope = opened.envelope
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
                opened.is_sanitized,
                found.unread,
                drift,
            )

        note = self.observations.note
        if opened.tweet is not None:
            seen = observed("tweet", opened.tweet, tweet_fields, True)
            note("tweet", self._add_tweet(seen, envelope.provenance.rule, at), at)
        note("envelope", 0, at)
        for found in opened.includes:
            try:
                included_id = self._add_tweet(observed("tweet", found, tweet_fields, False), None, at)
            except Unreadable:
                drift["tweet", "(unreadable include)"] += 1
                continue
            note("included_tweet", included_id, at)
        for found in opened.users:
            user_id = self._add_user(observed("user", found, user_fields, False))
            if user_id is not None:
                note("user", user_id, at)
        for kind, x_id in opened.others:
            note(kind, x_id, at)

    def _add_tweet(self, seen: Observed, rule: str | None, at: Coordinate) -> int:
        t = seen.object
        try:
            tweet_id = read_id(t.id, "tweet.id")
        except BadId as bad:
            raise Unreadable("id_range", str(bad)) from None
        if tweet_id is None:
            raise Unreadable("shape", "tweet.id: missing")
        row = model.TWEETS.blank(tweet_id)
        stated_at = seen.time(t.created_at, "created_at")
        created_at = stated_at or snowflake_time(tweet_id)
        if created_at is not None and not is_plausible(created_at, seen.landed_at):
            created_at = None  # the id is not a snowflake, or lies in the future
        row.update(
            created_at=created_at,
            is_collected=seen.is_data,
            is_sanitized=seen.is_sanitized,
            is_created_at_derived=stated_at is None,
        )
        seen.read_fixed(model.TWEETS, row)
        seen.read_groups(model.TWEETS, row)
        self._add_text(seen, row)
        self._add_entities(seen, row)
        self._add_metrics(seen, row)
        self.add(model.TWEETS, row)
        if (author_id := row["author_id"]) is not None:
            self.add(model.USERS, model.USERS.blank(author_id))
            self.observations.note("user", author_id, at)
        if (rule := seen.key(rule, "rule")) is not None:
            self.add(model.TWEET_RULES, model.TWEET_RULES.blank(tweet_id, rule))
        for reference in references_of(t):
            target = seen.id(reference.id, "referenced_tweets")
            kind = seen.key(reference.type, "referenced_tweets")
            if target is not None and kind:
                self.add(model.TWEET_REFERENCES, model.TWEET_REFERENCES.blank(tweet_id, kind, target))
        return tweet_id

    def _add_text(self, seen: Observed, row: dict[str, Any]) -> None:
        """The text with what belongs to it: of a long text, a language and so on none said, there is none."""
        t = seen.object
        note = note_of(t)
        note_text = note.text if note else None
        if t.text is None and (note_text is None or "text" in seen.unread):
            return
        row.update(text=t.text, note_text=note_text, text_version=seen.version)
        seen.read_along(model.TWEETS, "text_version", row)
        self._add_searched(row["id"], note_text or t.text or "", seen.version)

    def _add_searched(self, tweet_id: int, shown: str, text_version: UUID) -> None:
        """The text as searches compare it: it must follow the text, and so has the text's version."""
        text = searchable(shown)
        row = model.TWEET_TEXTS.blank(tweet_id)
        row.update(text=text, trigrams=trigrams(text), version=text_version)
        self.add(model.TWEET_TEXTS, row)

    def _add_metrics(self, seen: Observed, row: dict[str, Any]) -> None:
        """Add a snapshot of the metrics that this observation states."""
        if row["metrics_version"] is None:
            return
        snapshot = model.TWEET_METRICS.blank(row["id"], seen.observed_at)
        snapshot["version"] = seen.version
        for column in model.PUBLIC_METRICS:
            snapshot[column.name] = row[column.name]
        self.add(model.TWEET_METRICS, snapshot)

    def _add_entities(self, seen: Observed, row: dict[str, Any]) -> None:
        t = seen.object
        note = note_of(t)
        found = EntitySet(t.text, t.entities, note.entities if note else None)
        for name, times in found.misfits.items():
            seen.drift["tweet", name] += times
        if seen.states(document := found.document, ENTITY_FIELDS):
            row.update(entities=document, entities_text_hash=found.text_hash, entities_version=seen.version)
        for tag, spelling in found.spellings.items():
            hashtag = model.HASHTAGS.blank(tag)
            hashtag.update(display_tag=spelling, first_used_at=row["created_at"])
            self.add(model.HASHTAGS, hashtag)

    def _add_user(self, seen: Observed) -> int | None:
        try:
            user_id = read_id(seen.object.id, "user.id")
        except BadId:
            user_id = None
        if user_id is None:
            seen.drift["user", "(unreadable include)"] += 1
            return None
        row = model.USERS.blank(user_id)
        seen.read_fixed(model.USERS, row)
        seen.read_groups(model.USERS, row)
        self.add(model.USERS, row)
        return user_id
