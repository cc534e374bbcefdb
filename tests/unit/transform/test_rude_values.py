"""Only the id of a tweet is required: a value that does not fit is null and counted, and affects nothing else."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.transform.engines.rows import Batch

ID = 1531791275324342272
LANDED_AT = datetime(2026, 1, 3, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "id": str(ID),
    "text": "true words #tag",
    "author_id": "7",
    "conversation_id": "8",
    "created_at": "2022-06-01T00:14:34.000Z",
    "lang": "en",
    "public_metrics": {"like_count": 3, "retweet_count": 1},
    "attachments": {"media_keys": ["3_1"], "poll_ids": ["9"]},
    "geo": {"place_id": "p"},
    "entities": {"hashtags": [{"tag": "tag", "start": 11, "end": 15}]},
    "withheld": {"copyright": False, "country_codes": ["DE"]},
    "possibly_sensitive": False,
    "edit_history_tweet_ids": [str(ID)],
    "referenced_tweets": [{"type": "quoted", "id": "5"}],
}
NOTHING: dict[str, Any] = {}


def flattened(
    tweet: Any, *, observed_at: Any = "2026-01-02T00:00:00Z", requested: Any = None, **parts: Any
) -> Batch:
    document = {"envelope_version": 1, "kind": "tweet", "tweet": tweet, "requested": requested}
    document |= {"provenance": {"rule": "r", "observed_at": observed_at}, **parts}
    batch = Batch()
    batch.add_envelope(json.dumps(document).encode(), Coordinate("topic", 0, 0), LANDED_AT)
    return batch


def row_of(batch: Batch) -> dict[str, Any]:
    return batch.rows["tweets"][ID,]


def unversioned(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("_version")}


EXPECTED = unversioned(row_of(flattened(GOOD)))


@pytest.mark.parametrize(
    ("changes", "nulls", "drift"),
    [
        ({"text": 5}, {"text": None, "lang": None, "entities_text_hash": None}, {"text"}),
        ({"text": {"not": "text"}}, {"text": None, "lang": None, "entities_text_hash": None}, {"text"}),
        ({"lang": ["en"]}, {"lang": None}, {"lang"}),
        ({"author_id": "nobody"}, {"author_id": None}, {"author_id"}),
        ({"author_id": -1}, {"author_id": None}, {"author_id"}),
        ({"author_id": 2**63}, {"author_id": None}, {"author_id"}),
        ({"author_id": True}, {"author_id": None}, {"author_id"}),
        ({"author_id": {"id": "7"}}, {"author_id": None}, {"author_id"}),
        ({"conversation_id": 1580661436132757506.0}, {"conversation_id": None}, {"conversation_id"}),
        ({"conversation_id": 1.5e18}, {"conversation_id": None}, {"conversation_id"}),
        ({"conversation_id": "1.58e+18"}, {"conversation_id": None}, {"conversation_id"}),
        ({"conversation_id": 8.0}, {"conversation_id": None}, {"conversation_id"}),
        ({"in_reply_to_user_id": [7]}, NOTHING, {"in_reply_to_user_id"}),
        ({"created_at": 1654042474}, {"created_at": ...}, {"created_at"}),
        ({"created_at": "yesterday"}, {"created_at": ...}, {"created_at"}),
        ({"created_at": ""}, {"created_at": ...}, {"created_at"}),
        ({"possibly_sensitive": "perhaps"}, {"possibly_sensitive": None}, {"possibly_sensitive"}),
        ({"possibly_sensitive": 2}, {"possibly_sensitive": None}, {"possibly_sensitive"}),
        ({"public_metrics": "many"}, {"like_count": None, "retweet_count": None}, {"public_metrics"}),
        ({"public_metrics": {"like_count": "x", "retweet_count": 1}}, {"like_count": None}, {"like_count"}),
        ({"public_metrics": {"like_count": -1, "retweet_count": 1}}, {"like_count": None}, {"like_count"}),
        ({"public_metrics": {"like_count": 2**63, "retweet_count": 1}}, {"like_count": None}, {"like_count"}),
        ({"public_metrics": {"like_count": [3], "retweet_count": 1}}, {"like_count": None}, {"like_count"}),
        ({"public_metrics": {"like_count": 0.5, "retweet_count": 1}}, {"like_count": None}, {"like_count"}),
        ({"attachments": ["3_1"]}, {"media_keys": None, "poll_ids": None}, {"attachments"}),
        ({"attachments": {"media_keys": "3_1", "poll_ids": ["9"]}}, {"media_keys": None}, {"media_keys"}),
        ({"attachments": {"media_keys": ["3_1", 5], "poll_ids": ["9"]}}, NOTHING, {"media_keys"}),
        ({"attachments": {"media_keys": [["3_2"], "3_1"], "poll_ids": [9, "9"]}}, NOTHING, {"media_keys", "poll_ids"}),
        ({"geo": "somewhere"}, {"place_id": None}, {"geo"}),
        ({"geo": {"place_id": 5}}, {"place_id": None}, {"place_id"}),
        ({"withheld": True}, {"withheld_copyright": None, "withheld_country_codes": None}, {"withheld"}),
        ({"withheld": {"copyright": "no", "country_codes": ["DE"]}}, {"withheld_copyright": None}, {"copyright"}),
        ({"withheld": {"copyright": False, "country_codes": "DE"}}, {"withheld_country_codes": None}, {"country_codes"}),
        ({"edit_history_tweet_ids": [str(ID), "x"]}, NOTHING, {"edit_history_tweet_ids"}),
        ({"edit_history_tweet_ids": {"0": str(ID)}}, {"edit_history_ids": None}, {"edit_history_tweet_ids"}),
        ({"referenced_tweets": [5, {"type": "quoted", "id": "5"}]}, NOTHING, {"referenced_tweets"}),
        ({"referenced_tweets": [{"type": "quoted", "id": 5.0}, {"type": "quoted", "id": "5"}]}, NOTHING, {"referenced_tweets"}),
        ({"entities": "many"}, {"entities": None, "entities_text_hash": None}, {"entities"}),
        ({"entities": {"hashtags": "tag"}}, {"entities": None, "entities_text_hash": None}, {"hashtags"}),
        ({"entities": {"hashtags": [{"tag": "tag", "start": 11, "end": 15}, "x"]}}, NOTHING, {"hashtags"}),
        ({"entities": {"hashtags": [{"tag": 5}, {"tag": "tag", "start": 11, "end": 15}]}}, NOTHING, {"hashtags"}),
        ({"note_tweet": "long"}, NOTHING, {"note_tweet"}),
        ({"note_tweet": {"text": ["long"]}}, NOTHING, {"text"}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_null_and_counted_and_nothing_else_is_lost(
    changes: dict[str, Any], nulls: dict[str, Any], drift: set[str]
) -> None:
    """With one wrong value of any kind, anywhere in a tweet, every other column is as it would have been."""
    batch = flattened(GOOD | changes)
    expected = EXPECTED | nulls
    if expected["created_at"] is ...:
        expected |= {"created_at": datetime(2022, 6, 1, 0, 14, 34, tzinfo=UTC), "is_created_at_derived": True}
        got = unversioned(row_of(batch))
        assert abs(got["created_at"] - expected["created_at"]).total_seconds() < 2
        expected["created_at"] = got["created_at"]
    assert unversioned(row_of(batch)) == expected
    assert set(batch.drift) == {("tweet", f"(unreadable {name})") for name in drift}
    assert list(batch.rows["tweet_references"]) == [(ID, "quoted", 5)]


@pytest.mark.parametrize("nothing", [{}, [], "", None])
@pytest.mark.parametrize(
    ("path", "columns"),
    [
        (("attachments",), ("media_keys", "poll_ids")),
        (("attachments", "media_keys"), ("media_keys",)),
        (("attachments", "poll_ids"), ("poll_ids",)),
        (("geo",), ("place_id",)),
        (("geo", "place_id"), ("place_id",)),
        (("entities",), ("entities", "entities_text_hash")),
        (("entities", "hashtags"), ("entities", "entities_text_hash")),
        (("public_metrics",), ("like_count", "retweet_count")),
        (("withheld",), ("withheld_copyright", "withheld_country_codes")),
        (("author_id",), ("author_id",)),
        (("conversation_id",), ("conversation_id",)),
        (("edit_history_tweet_ids",), ("edit_history_ids",)),
        (("note_tweet",), ()),
        (("referenced_tweets",), ()),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_empty_values_are_absent(nothing: Any, path: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """R writes {} for null, PHP [] for an object, spreadsheets "" for both: the value is absent, and not drift."""
    tweet = json.loads(json.dumps(GOOD))
    inner = tweet
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = nothing
    batch = flattened(tweet)
    assert unversioned(row_of(batch)) == EXPECTED | dict.fromkeys(columns)
    assert not batch.drift
    versions = {f"{column}_version" for column in columns} & {"media_keys_version", "poll_ids_version", "place_id_version", "entities_version"}  # fmt: skip
    assert not any(row_of(batch)[version] for version in versions)


def test_lists_lose_their_empty_elements_only() -> None:
    """[null, "3_1"] is one key."""
    batch = flattened(GOOD | {"attachments": {"media_keys": [None, "3_1", {}, "", "3_2"]}})
    assert row_of(batch)["media_keys"] == ["3_1", "3_2"]
    assert not batch.drift


def test_numbers_and_booleans_as_text_are_read() -> None:
    """A value that means the same in another type is not a misfit."""
    batch = flattened(
        GOOD
        | {
            "author_id": 7,
            "possibly_sensitive": "false",
            "public_metrics": {"like_count": "3", "retweet_count": 1.0},
            "attachments": {"media_keys": [None, "3_1"], "poll_ids": ["9"]},
        }
    )
    assert unversioned(row_of(batch)) == EXPECTED
    assert not batch.drift


def test_an_unreadable_value_states_nothing() -> None:
    """A requested but garbled field does not count as absent: the value of an older observation stays."""
    requested = {"tweet_fields": ["attachments", "geo", "entities", "withheld", "source"], "user_fields": []}
    garbled = {
        "id": str(ID),
        "attachments": 5,
        "geo": [1],
        "entities": "x",
        "withheld": 1,
        "source": {"a": 1},
    }
    row = row_of(flattened(garbled, requested=requested))
    assert {name: v for name, v in row.items() if name.endswith("_version") and v is not None} == {}
    asked = row_of(flattened({"id": str(ID)}, requested=requested))
    assert {name for name, v in asked.items() if name.endswith("_version") and v is not None} == {
        "source_version",
        "media_keys_version",
        "poll_ids_version",
        "place_id_version",
        "entities_version",
        "withheld_version",
    }


def test_ids_count_from_0() -> None:
    """X's own playground has a user 0: as author, as user, as tweet."""
    batch = flattened(
        GOOD | {"author_id": "0", "conversation_id": 0, "referenced_tweets": [{"type": "quoted", "id": "0"}]},
        includes={"users": [{"id": "0", "username": "first"}], "tweets": [{"id": 0, "text": "zeroth"}]},
    )
    assert (row_of(batch)["author_id"], row_of(batch)["conversation_id"]) == (0, 0)
    assert batch.rows["users"][0,]["username"] == "first"
    assert batch.rows["tweets"][0,]["text"] == "zeroth"
    assert list(batch.rows["tweet_references"]) == [(ID, "quoted", 0)]
    assert not batch.drift


@pytest.mark.parametrize(
    "includes", [[], "", {"users": {}}, {"tweets": "x", "users": [[], {"id": "7"}]}, "lost", 5]
)
def test_includes_of_any_shape_do_not_cost_the_tweet(includes: Any) -> None:
    """Anything that is not a list of objects is left out; valid elements are kept."""
    batch = flattened(GOOD, includes=includes)
    assert unversioned(row_of(batch)) == EXPECTED


def test_a_user_is_read_field_by_field() -> None:
    """The same holds for accounts."""
    user = {
        "id": 7,
        "username": "ann",
        "name": ["Ann"],
        "description": "d",
        "protected": "unknown",
        "created_at": "0001-01-01T00:00:00Z",
        "pinned_tweet_id": 1.5e18,
        "public_metrics": {"followers_count": -3, "tweet_count": 4},
    }
    batch = flattened(GOOD, includes={"users": [user]})
    row = batch.rows["users"][7,]
    assert (row["username"], row["name"], row["description"]) == ("ann", None, "d")
    assert (row["followers_count"], row["tweet_count"]) == (None, 4)
    assert (row["created_at"], row["pinned_tweet_id"], row["is_protected"]) == (None, None, None)
    assert set(batch.drift) == {
        ("user", f"(unreadable {field})")
        for field in ("name", "protected", "created_at", "pinned_tweet_id", "followers_count")
    }


@pytest.mark.parametrize(
    "stated",
    ["0001-01-01T00:00:00Z", "2005-12-31T23:59:59Z", "2026-01-04T00:00:01Z", "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "infinity", "-infinity"],
)  # fmt: skip
def test_an_impossible_creation_time_is_replaced_by_that_of_the_id(stated: str) -> None:
    """Times from 2006 to a day after landing are possible; others would make an endless series of days."""
    batch = flattened(GOOD | {"created_at": stated})
    assert row_of(batch)["is_created_at_derived"]
    assert row_of(batch)["created_at"].date().isoformat() == "2022-06-01"
    assert batch.drift == {("tweet", "(unreadable created_at)"): 1}


def test_an_id_that_is_not_a_past_snowflake_gives_no_time() -> None:
    """An emulator's id may lie decades ahead."""
    batch = flattened({"id": str(2**63 - 1), "created_at": "9999-01-01T00:00:00Z"})
    assert batch.rows["tweets"][2**63 - 1,]["created_at"] is None


@pytest.mark.parametrize(
    "stated", ["2026-01-03T00:00:01Z", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
)
def test_no_observation_outranks_its_landing(stated: str) -> None:
    """A forged year ranks like the instant of landing, so the next true observation wins."""
    forged = flattened(GOOD, observed_at=stated)
    honest = flattened(GOOD, observed_at="2026-01-03T00:00:00Z")
    assert row_of(forged)["text_version"] == row_of(honest)["text_version"]
    assert list(forged.rows["tweet_metrics"]) == [(ID, LANDED_AT)]


@pytest.mark.parametrize(
    "stated", ["0001-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "infinity", ""]
)
def test_a_time_before_x_is_unknown(stated: str) -> None:
    """It ranks oldest, and is counted."""
    batch = flattened(GOOD, observed_at=stated)
    assert list(batch.rows["tweet_metrics"]) == [(ID, datetime(1970, 1, 1, tzinfo=UTC))]
    assert batch.drift["envelope", "(unreadable observed_at)"] == 1


def test_keys_have_bounded_lengths() -> None:
    """A value too long for an index is null and counted: one hashtag must not stop a partition or lose its tweet."""
    long = "é" * 501
    batch = flattened(
        GOOD
        | {
            "entities": {
                "hashtags": [{"tag": long}, {"tag": "ß" * 251}, {"tag": "tag", "start": 11, "end": 15}],
                "mentions": [{"username": long}],
            },
            "referenced_tweets": [{"type": long, "id": "6"}, {"type": "quoted", "id": "5"}],
        },
        includes={"users": [{"id": "7", "username": long, "name": "Ann"}]},
    )
    assert unversioned(row_of(batch)) == EXPECTED
    assert list(batch.rows["hashtags"]) == [("tag",)]
    assert list(batch.rows["tweet_references"]) == [(ID, "quoted", 5)]
    assert (batch.rows["users"][7,]["username"], batch.rows["users"][7,]["name"]) == (None, "Ann")
    assert batch.drift == {
        ("tweet", "(unreadable hashtags)"): 2,
        ("tweet", "(unreadable mentions)"): 1,
        ("tweet", "(unreadable referenced_tweets)"): 1,
        ("user", "(unreadable username)"): 1,
    }


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e400", "9" * 5000 + ".5"])
def test_an_overlong_number_is_neither_a_count_nor_an_id(number: str) -> None:
    """More digits than Python converts lose the field, not the tweet."""
    tweet = json.dumps(
        GOOD | {"conversation_id": 0.25, "public_metrics": {"like_count": 0.25, "retweet_count": 1}}
    )
    document = '{"envelope_version": 1, "kind": "tweet", "provenance": {"rule": "r", "observed_at": "2026-01-02T00:00:00Z"}, "tweet": '
    batch = Batch()
    batch.add_envelope(
        (document + tweet.replace("0.25", number) + "}").encode(), Coordinate("topic", 0, 0), LANDED_AT
    )
    assert unversioned(row_of(batch)) == EXPECTED | {"conversation_id": None, "like_count": None}
    assert set(batch.drift) == {
        ("tweet", "(unreadable conversation_id)"),
        ("tweet", "(unreadable like_count)"),
    }


def test_a_set_of_entities_is_kept_as_x_gave_it() -> None:
    """Links keep their order, one per photo; the long text adds what only it has, without positions."""
    url = {"url": "https://t.co/p", "display_url": "pic.x.com/p", "start": 0, "end": 4}
    batch = flattened(
        {
            "id": str(ID),
            "text": "true #Two @ann",
            "entities": {
                "hashtags": [{"tag": "two", "start": 5, "end": 9}, {"tag": "two", "start": 0, "end": 4}],
                "mentions": [{"username": "Ann", "id": "x", "start": 10, "end": 14}],
                "urls": [
                    url | {"media_key": "3_2"},
                    url | {"media_key": "3_1"},
                    {"title": "no link"},
                    {"media_key": "3_9", "url": ""},
                ],
            },
            "note_tweet": {
                "text": "true #Two @ann and #more",
                "entities": {
                    "hashtags": [
                        {"tag": "Two", "start": 5, "end": 9},
                        {"tag": "more", "start": 19, "end": 24},
                    ],
                    "urls": [{"media_key": "3_9"}, {"url": "https://t.co/more", "start": 1, "end": 2}],
                },
            },
        }
    )
    kept = {name: value for name, value in url.items() if name not in ("start", "end")}
    assert row_of(batch)["entities"] == {
        "hashtags": [{"tag": "two", "start": 5, "end": 9}, {"tag": "more"}],
        "mentions": [{"username": "ann", "start": 10, "end": 14}],
        "urls": [
            kept | {"media_key": "3_2", "start": 0, "end": 4},
            kept | {"media_key": "3_1", "start": 0, "end": 4},
            {"media_key": "3_9"},
            {"url": "https://t.co/more"},
        ],
    }
    assert batch.drift == {("tweet", "(unreadable mentions)"): 1}


@pytest.mark.parametrize("place", [(0, 4), (10, 16), (12, 15), (15, 11), (-1, 3), (11, None)])
def test_a_hashtag_stands_only_where_the_text_has_it(place: tuple[int, int | None]) -> None:
    """Positions next to the hashtag, without its sign, or beyond the text are dropped; the hashtag stays."""
    start, end = place
    batch = flattened(GOOD | {"entities": {"hashtags": [{"tag": "tag", "start": start, "end": end}]}})
    assert row_of(batch)["entities"] == {"hashtags": [{"tag": "tag"}]}
    assert batch.drift == {("tweet", "(misplaced hashtags)"): 1}
