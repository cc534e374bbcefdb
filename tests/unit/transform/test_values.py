"""Values from X's JSON: what is accepted, refused and cleaned."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tweet_envelope.ids import BadId, read_id, snowflake_time
from tweet_envelope.instants import read_time
from tweet_envelope.json_text import clean
from twitter_pipeline.text import normal_tag
from twitter_pipeline.transform.values import version


@pytest.mark.parametrize("value", ["0", "1", "9223372036854775807", 0, 12, 2**63 - 1])
def test_ids_below_2_to_the_63_are_accepted(value):
    """An id is a string of digits or an exact number."""
    assert read_id(value, "id") == int(value)


@pytest.mark.parametrize(
    "value",
    [
        "00",
        "-0",
        "-5",
        "+1",
        " 7",
        "7 ",
        "1_0",
        "1.0",
        "\u0663",
        "\uff17",
        "",
        "abc",
        "9223372036854775808",
        2**63,
        -1,
        True,
        False,
        1480000000000000007.0,
        1.5e18,
        {},
        [1],
        "1\n",
    ],
)
def test_an_invalid_id_is_refused_and_the_field_named(value):
    """Signs, spaces, digits of other scripts, leading zeros, floats and 2^63 are not ids."""
    with pytest.raises(BadId, match=r"tweet\.id"):
        read_id(value, "tweet.id")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "2026-02-30T00:00:00Z",
        "infinity",
        "10000-01-01T00:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00",
        "1700000000000",
        "0001-01-01T00:00:00+10:00",
    ],
)
def test_impossible_or_naive_times_are_unknown(value):
    """A time that PostgreSQL could not return, or that has no zone, is not stored."""
    assert read_time(value) is None


def test_times_are_utc():
    """An offset is converted to UTC."""
    assert read_time("2026-01-01T02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_snowflake_contains_its_time_and_a_small_id_does_not():
    """Ids from before November 2010, and those of emulators, hold no time."""
    assert snowflake_time(1800000000000000001) == datetime(2024, 6, 10, 3, 0, 17, 39000, tzinfo=UTC)
    assert snowflake_time(20) is None


def test_versions_sort_by_time_then_data_before_includes_then_content():
    """The rank of an observation is one sortable value."""
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-1)))
    ranks = [
        version(early, is_data=False, content_hash=b"\x01" * 8),
        version(early, is_data=False, content_hash=b"\x02" * 8),
        version(early, is_data=True, content_hash=b"\x00" * 8),
        version(late, is_data=False, content_hash=b"\x00" * 8),
    ]
    assert ranks == sorted(ranks)


def test_cleaning_removes_only_what_postgresql_cannot_store():
    """NULs are removed, lone surrogates become U+FFFD, and a literal backslash-u0000 is just text."""
    assert clean({"a\x00": ["x\x00y", "\ud83d", "\ud83d\ude00"]}) == (
        {"a": ["xy", "\ufffd", "\U0001f600"]},
        True,
    )
    assert clean({"text": "\\u0000", "n": 1, "b": None}) == ({"text": "\\u0000", "n": 1, "b": None}, False)


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("CAFÉ", "cafe\u0301"), ("ΣΊΣΥΦΟΣ", "σίσυφος")]
)
def test_hashtags_that_people_read_as_equal_are_equal(one, other):
    """Normal form: NFC and case-folded."""
    assert normal_tag(one) == normal_tag(other)
