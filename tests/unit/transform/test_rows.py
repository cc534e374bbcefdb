"""Envelopes become rows; a bad envelope is refused completely, a bad side object affects only itself."""

from datetime import UTC, datetime

import pytest

from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.transform.engine import Unreadable
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.values import text_hash
from twitter_pipeline.warehouse.observations import Observations, object_id

AT = Coordinate("topic", 0, 7)


def flatten(*payloads):
    batch = Batch()
    for offset, payload in enumerate(payloads):
        batch.add_envelope(payload, Coordinate("topic", 0, offset))
    return batch


def only(batch, table):
    (row,) = batch.rows[table].values()
    return row


def test_a_tweet_fills_all_tables():
    """Entities are one value of the tweet; references, metrics, hashtags, the author and the rule each get a row."""
    batch = flatten(
        envelope(
            {
                "id": "1800000000000000001",
                "text": "hi @Bob #World https://t.co/a",
                "author_id": "12",
                "created_at": "2024-06-10T03:00:17.000Z",
                "public_metrics": {"retweet_count": 1, "like_count": 0},
                "referenced_tweets": [{"type": "quoted", "id": "5"}],
                "entities": {
                    "hashtags": [{"start": 8, "end": 14, "tag": "World"}],
                    "mentions": [{"start": 3, "end": 7, "username": "Bob"}],
                    "urls": [
                        {"start": 15, "end": 29, "url": "https://t.co/a", "expanded_url": "https://e.org"}
                    ],
                },
            },
            includes={
                "users": [
                    {"id": "12", "username": "Ann", "name": "A", "public_metrics": {"followers_count": 3}}
                ]
            },
        )
    )
    assert only(batch, "tweets")["text"] == "hi @Bob #World https://t.co/a"
    assert only(batch, "users")["username"] == "Ann"
    assert only(batch, "users")["followers_count"] == 3
    assert only(batch, "tweets")["entities"] == {
        "hashtags": [{"tag": "world", "start": 8, "end": 14}],
        "mentions": [{"username": "bob", "start": 3, "end": 7}],
        "urls": [{"url": "https://t.co/a", "expanded_url": "https://e.org", "start": 15, "end": 29}],
    }
    assert only(batch, "tweets")["entities_text_hash"] == text_hash("hi @Bob #World https://t.co/a")
    assert only(batch, "tweet_references") == {
        "tweet_id": 1800000000000000001,
        "type": "quoted",
        "referenced_tweet_id": 5,
    }
    assert only(batch, "tweet_metrics")["like_count"] == 0
    assert only(batch, "tweet_metrics")["quote_count"] is None
    assert only(batch, "tweet_rules") == {"tweet_id": 1800000000000000001, "rule": "rule"}


def test_the_post_vocabulary_fills_the_same_columns():
    """OpenAPI 2.167 renames fields; the tables do not notice."""
    batch = flatten(
        envelope(
            {
                "id": "30000000000",
                "text": "short",
                "note_post": {"text": "long"},
                "edit_history_post_ids": ["30000000000"],
                "referenced_posts": [{"type": "replied_to", "id": "4"}],
                "public_metrics": {"repost_count": 9},
            },
            includes={
                "posts": [{"id": "4", "text": "before"}],
                "users": [{"id": "1", "public_metrics": {"post_count": 2}}],
            },
        )
    )
    row = batch.rows["tweets"][30000000000,]
    assert (row["note_text"], row["retweet_count"], row["edit_history_ids"]) == ("long", 9, [30000000000])
    assert only(batch, "tweet_references")["type"] == "replied_to"
    assert batch.rows["tweets"][4,]["is_collected"] is False
    assert only(batch, "users")["tweet_count"] == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"not json", "not_json"),
        (b'{"envelope_version": 1, "kind": "tweet", "tweet": {"id": NaN}}', "not_json"),
        (b"[]", "shape"),
        (envelope({"text": "no id"}), "shape"),
        (envelope({"id": "9223372036854775808"}), "id_range"),
        (envelope({"id": 1480000000000000007.0}), "id_range"),
        (envelope({"id": 1.5e18}), "id_range"),
        (envelope({"id": True}), "id_range"),
        (envelope({"id": ["1"]}), "id_range"),
        (envelope({"id": None, "text": 5}), "shape"),
        (envelope(["1"]), "shape"),
        (envelope({"id": "1"}, requested="everything"), "shape"),
        (envelope(None, kind="tweet"), "shape"),
        (envelope({"id": "1"}, kind="else"), "shape"),
        (envelope({"id": "1"}).replace(b'"envelope_version": 1', b'"envelope_version": 2'), "version"),
        (b'{"envelope_version": 1, "kind": "tweet", "tweet": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nesting"),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_the_batch_as_it_was(payload, reason):
    """Each refusal has a stable reason."""
    batch = Batch()
    with pytest.raises(Unreadable) as refused:
        batch.add_envelope(payload, AT)
    assert refused.value.reason == reason
    assert not any(batch.rows.values())
    assert not batch.observations


def test_nul_and_lone_surrogates_become_a_sanitised_row():
    """The text loses only what PostgreSQL cannot store, and the row says so."""
    row = only(flatten(envelope({"id": "1", "text": "a\x00b\ud83dc"})), "tweets")
    assert (row["text"], row["is_sanitized"]) == ("ab\ufffdc", True)


def test_emoji_written_as_escapes_are_not_sanitised():
    """A proper pair of surrogates is a character."""
    row = only(flatten(envelope({"id": "1", "text": "\U0001f600"})), "tweets")
    assert (row["text"], row["is_sanitized"]) == ("\U0001f600", False)


def test_a_missing_time_is_derived_from_the_snowflake_and_flagged():
    """created_at derived from the id is flagged; a small id has none."""
    row = only(flatten(envelope({"id": "1800000000000000001"})), "tweets")
    assert row["created_at"] == datetime(2024, 6, 10, 3, 0, 17, 39000, tzinfo=UTC)
    assert row["is_created_at_derived"]
    assert only(flatten(envelope({"id": "7"})), "tweets")["created_at"] is None


def test_numbers_as_strings_are_read_and_impossible_ones_are_null():
    """A metric given as text counts; one beyond 64 bits is unknown, not cut."""
    row = only(
        flatten(envelope({"id": "1", "public_metrics": {"like_count": "5", "reply_count": 2**70}})), "tweets"
    )
    assert (row["like_count"], row["reply_count"]) == (5, None)


def test_a_broken_entity_or_include_affects_only_itself():
    """The tweet and its valid entities and includes load; the loss is counted as drift."""
    batch = flatten(
        envelope(
            {
                "id": "1",
                "text": "abc",
                "entities": {"hashtags": [{"tag": 5}, {"tag": "ok", "start": 9, "end": 2}, "x"]},
            },
            includes={
                "users": [{"id": "2", "username": "u"}, {"username": 5, "id": []}],
                "tweets": ["x", {"id": "-1"}],
            },
        )
    )
    assert only(batch, "tweets")["entities"] == {"hashtags": [{"tag": "ok"}]}
    assert list(batch.rows["users"]) == [(2,)]
    assert list(batch.rows["tweets"]) == [(1,)]
    assert batch.drift["tweet", "(unreadable hashtags)"] == 2
    assert batch.drift["user", "(unreadable include)"] == 1
    assert batch.drift["tweet", "(unreadable include)"] == 2


def test_unknown_fields_are_counted_and_cost_nothing():
    """Drift is counted per object and field."""
    batch = flatten(envelope({"id": "1", "hologram": True}, includes={"users": [{"id": "2", "aura": 1}]}))
    assert batch.drift == {("tweet", "hologram"): 1, ("user", "aura"): 1}
    assert only(batch, "tweets")["id"] == 1


def test_absence_states_something_only_about_requested_fields():
    """X omits empty values: absence proves something only when the field was requested."""
    asked = flatten(envelope({"id": "1"}, requested={"tweet_fields": ["withheld"], "user_fields": []}))
    assert only(asked, "tweets")["withheld_version"] is not None
    assert only(flatten(envelope({"id": "1"})), "tweets")["withheld_version"] is None


def test_an_author_without_object_is_a_user_known_by_id():
    """The tweet is stored anyway."""
    assert only(flatten(envelope({"id": "1", "author_id": "44"})), "users")["username"] is None


def test_a_tweet_that_is_data_and_include_of_one_page_is_collected():
    """Data outranks includes at the same instant."""
    batch = flatten(
        envelope({"id": "1", "public_metrics": {"like_count": 2}}),
        envelope({"id": "2"}, includes={"tweets": [{"id": "1", "public_metrics": {"like_count": 1}}]}),
    )
    row = batch.rows["tweets"][1,]
    assert (row["like_count"], row["is_collected"]) == (2, True)


def test_every_place_of_an_object_is_noted():
    """Observations lead from any id of X to each message that holds it; an envelope without a tweet is noted too."""
    media = {"media_key": "3_1", "type": "photo"}
    batch = flatten(
        envelope(
            {"id": "1", "author_id": "9"},
            includes={
                "tweets": [{"id": "2"}, {"id": "x"}],
                "media": [media, {"media_key": ""}, {"type": "video"}],
                "places": [{"id": "01a9a39529b27f36"}],
                "polls": [{"id": "77"}],
            },
        ),
        envelope(None, kind="includes", includes={"users": [{"id": "3"}]}),
    )
    first, second = Coordinate("topic", 0, 0), Coordinate("topic", 0, 1)
    assert set(batch.observations.places()) == {
        ("envelope", 0, first),
        ("tweet", 1, first),
        ("user", 9, first),
        ("included_tweet", 2, first),
        ("media", object_id("3_1"), first),
        ("place", object_id("01a9a39529b27f36"), first),
        ("poll", 77, first),
        ("envelope", 0, second),
        ("user", 3, second),
    }


def test_the_careful_path_notes_the_same_places():
    """Envelopes that must be cleaned first are observed like all others."""
    includes = {"media": [{"media_key": "3_1"}, "x"], "places": {"id": "a"}, "polls": [{"id": 7}]}
    batch = flatten(envelope({"id": "1", "text": "a\x00"}, includes=includes))
    found = {(kind, number) for kind, number, _ in batch.observations.places()}
    assert found == {("envelope", 0), ("tweet", 1), ("media", object_id("3_1")), ("poll", 7)}


def test_ids_in_bytes_that_cannot_be_read_are_noted_too():
    """A dead letter holds objects as well: whatever looks like an id of X in it leads to it."""
    at = Coordinate("topic", 3, 70)
    seen = Observations()
    seen.note_unread(b'{"tweet": {"id": "12", "author_id":13, "media_keys": ["3_1"], "text": "\xff', at)
    assert set(seen.places()) == {("unread", 12, at), ("unread", 13, at), ("unread", object_id("3_1"), at)}
