"""Turns an archived page into Kafka messages.

They equal what the provider would make from the same page, except for the provenance: what was requested is unknown,
and the time of the observation may be unknown. One of our own envelopes is sent again unchanged, except that its source
becomes the import.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version

import msgspec

from tweet_envelope import writing
from tweet_envelope.schema import IMPORT, Provenance
from tweet_envelope.writing import Message, instant
from twitter_pipeline.archives.page import ArchivedPage, Item

COLLECTOR = f"twitter-pipeline/{version('twitter-pipeline')}"
ENDPOINT = "import"


def envelopes_of(
    page: ArchivedPage, *, request_id: str, rule: str | None, observed_at: datetime | None
) -> Iterator[tuple[Message, Item | None]]:
    """One message per tweet of the page, together with that tweet, in order; then what no tweet needed (None)."""
    if page.message is not None:
        yield _again(page, page.message, rule)
        return
    provenance = Provenance(
        rule=rule,
        source=IMPORT,
        endpoint=ENDPOINT,
        request_id=request_id,
        observed_at=None if observed_at is None else instant(observed_at),
        collector=COLLECTOR,
    )
    tweets = iter(page.data)
    for message, tweet in writing.envelopes_of(page, provenance, matching_rules=page.matching_rules):
        yield message, None if tweet is None else next(tweets)


def _again(page: ArchivedPage, message: Mapping[str, bytes], rule: str | None) -> tuple[Message, Item | None]:
    """An envelope with its own provenance, except that its source is the import: live stages must not count it as X's."""
    members = {name: msgspec.Raw(raw) for name, raw in message.items()}
    if page.provenance:
        provenance = {
            **page.provenance,
            "rule": page.provenance.get("rule") or rule,
            "source": IMPORT,
            "observed_at": page.provenance.get("observed_at") if page.observed_at else None,
        }
        members["provenance"] = msgspec.Raw(json.dumps(provenance).encode())
    tweet = page.data[0] if page.data else None
    key = page.provenance.get("request_id") if tweet is None else tweet.value["id"]
    return Message(str(key).encode("ascii", "replace"), msgspec.json.encode(members)), tweet
