"""The rank of an observation, the hash of a text, and the longest text that an index can hold."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from tweet_envelope.instants import UNKNOWN_TIME

LONGEST_KEY = 500  # characters: even at four bytes each they fit into an index entry, 2,704 bytes


def version(observed_at: datetime, *, is_data: bool, content_hash: bytes) -> UUID:
    """A uuid that sorts like (observed_at, data before includes, content): the rank of one observation.

    Eight bytes of microseconds since 1970, one byte for data (1) or include (0), seven bytes of hash.
    `twitter.observed_at(uuid)` reads the instant back.
    """
    microseconds = (observed_at - UNKNOWN_TIME) // timedelta(microseconds=1)
    return UUID(bytes=max(microseconds, 0).to_bytes(8, "big") + bytes((is_data,)) + content_hash[:7])


def text_hash(text: str) -> UUID:
    """Identifies the text that positions of entities belong to. In PostgreSQL: `md5(text)::uuid`."""
    return UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest())
