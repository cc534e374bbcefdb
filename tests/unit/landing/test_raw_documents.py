"""What a message becomes in MongoDB, and why one is refused."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary

from tweet_envelope.coordinates import Coordinate, offset_of
from twitter_pipeline.landing.documents import Unlandable, dead_letter, raw_document

NOW = datetime(2026, 1, 3, tzinfo=UTC)
AT = Coordinate("topic", 3, 42)


def envelope(**changes: Any) -> bytes:
    parts = {
        "envelope_version": 1,
        "kind": "tweet",
        "tweet": {"id": "20", "author_id": "12"},
        "provenance": {
            "rule": "r",
            "source": "search",
            "request_id": "q",
            "observed_at": "2026-01-02T03:04:05Z",
        },
    }
    return json.dumps({k: v for k, v in (parts | changes).items() if v is not ...}).encode()


def test_a_document_keeps_the_bytes_and_knows_what_people_search_for():
    """Ids are numbers, times are aware, the envelope is unchanged."""
    value = envelope(unknown={"kept": True})
    document = raw_document(value, AT, NOW)
    assert document["envelope"] == Binary(value)
    assert (document["tweet_id"], document["author_id"]) == (20, 12)
    assert document["observed_at"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (document["_id"], document["rule"], document["landed_at"]) == (AT.key, "r", NOW)


def test_keys_sort_like_offsets_and_contain_them():
    """The order of the ids is the order in which transform reads."""
    offsets = [0, 9, 10, 99, 2**31, 2**63 - 1, *(random.Random(7).randrange(2**63) for _ in range(50))]
    keys = [Coordinate("topic", 3, offset).key for offset in sorted(offsets)]
    assert keys == sorted(keys)
    assert [offset_of(key) for key in keys] == sorted(offsets)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_message"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b'"\xff"', "not_utf8"),
        (envelope()[:-1], "not_json"),
        (b"[]", "shape"),
        (envelope(kind="tweet", tweet=...), "shape"),
        (envelope(kind="includes"), "shape"),
        (envelope(kind="user"), "shape"),
        (envelope(provenance=...), "shape"),
        (envelope(envelope_version=2), "version"),
        (envelope(tweet={"id": "9223372036854775808"}), "id_range"),
        (envelope(tweet={"id": "-1"}), "id_range"),
        (envelope(tweet={"id": "twenty"}), "id_range"),
        (envelope(tweet={"id": 1480000000000000007.0}), "id_range"),
        (envelope(tweet={"id": False}), "id_range"),
        (envelope(tweet={"id": {}}), "id_range"),
        (envelope(tweet={"id": None}), "shape"),
        (envelope(tweet={"text": "no id"}), "shape"),
    ],
)
def test_a_message_that_is_not_an_envelope_is_refused_with_a_stable_reason(value: bytes | None, reason: str):
    """Dead letters are counted by their reason; the letter keeps the bytes, the time and the stage."""
    with pytest.raises(Unlandable) as refused:
        raw_document(value, AT, NOW)
    assert refused.value.reason == reason
    letter = dead_letter(value, AT, refused.value.reason, str(refused.value))
    assert (letter["_id"], letter["stage"]) == (AT.key, "land")
    assert letter["payload"] == (None if value is None else Binary(value))
    assert letter["failed_at"].tzinfo is not None
    assert letter["detail"]


@pytest.mark.parametrize(
    "author_id", ["nobody", "", {}, [], 1.5e18, True, {"id": "7"}, "9223372036854775808"]
)
def test_a_bad_author_id_costs_the_author_and_not_the_tweet(author_id: Any):
    """Landing needs only the id of the tweet; transform deals with everything else that is wrong."""
    document = raw_document(envelope(tweet={"id": "20", "author_id": author_id}), AT, NOW)
    assert (document["tweet_id"], document["author_id"]) == (20, None)


def test_ids_count_from_0():
    """X's own playground gives its first user the id 0."""
    document = raw_document(envelope(tweet={"id": "0", "author_id": 0}), AT, NOW)
    assert (document["tweet_id"], document["author_id"]) == (0, 0)


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("2026-01-02T23:59:59+00:00", datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-03T00:00:01Z", NOW),
        ("9999-12-31T23:59:59Z", NOW),
        ("2006-01-01T00:00:00Z", datetime(2006, 1, 1, tzinfo=UTC)),
        ("2005-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("infinity", None),
        ("", None),
        (None, None),
    ],
)
def test_nothing_was_observed_after_it_landed(stated: str | None, kept: datetime | None):
    """A later time becomes that of landing; a time from before X existed, or an invalid one, is unknown."""
    provenance = {"rule": "r", "source": "search", "request_id": "q", "observed_at": stated}
    assert raw_document(envelope(provenance=provenance), AT, NOW)["observed_at"] == kept
