"""From any id of X to every message that holds it: in raw, in dead letters, and in what an older version loaded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from bson import Binary

from support.databases import TweetsDatabase
from support.envelopes import envelope
from support.older_database import older_database, upgrade
from support.way import Way
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.transform.observing import NotInRaw, observe_older
from twitter_pipeline.warehouse.observations import Observations, loaded_offsets, object_id, prepare

OBSERVED = 'select kind::text, topic_id, partition, "offset" from pipeline.observed where object_id = %s order by 1, 3, 4'
BY_OBJECT = "0013_observations_by_object"
INCLUDES = {
    "users": [{"id": "9", "username": "ann"}],
    "tweets": [{"id": "2", "text": "before", "author_id": "8"}],
    "media": [{"media_key": "3_11", "type": "photo"}],
    "places": [{"id": "01a9a39529b27f36"}],
    "polls": [{"id": "77"}],
}


def test_every_object_of_an_envelope_leads_to_its_message(way: Way) -> None:
    """Tweets, accounts, media, places and polls, each by X's id."""
    places = way.produce(
        envelope({"id": "1", "author_id": "9", "text": "a"}, includes=INCLUDES),
        envelope({"id": "3", "author_id": "9", "text": "b"}),
    )
    way.drain()
    ((topic_id,),) = way.rows("select distinct topic_id from pipeline.cursors")
    first, second = ((topic_id, *place) for place in places)
    for kind, x_id in (
        ("tweet", "1"),
        ("included_tweet", "2"),
        ("user", "8"),
        ("media", "3_11"),
        ("place", "01a9a39529b27f36"),
        ("poll", "77"),
    ):
        assert way.rows(OBSERVED, object_id(x_id)) == [(kind, *first)]
        assert way.rows("select pipeline.object_id(%s)", x_id) == [(object_id(x_id),)]
    assert way.rows(OBSERVED, 9) == [("user", *first), ("user", *second)]


def test_a_replay_writes_nothing(way: Way) -> None:
    """Known observations are not written again: the rows stay the same."""
    way.produce(*(envelope({"id": str(i), "author_id": "9"}, includes=INCLUDES) for i in range(100, 300)))
    way.drain()
    rows = "select ctid, xmin, * from pipeline.observations order by kind, object_id, partition, bucket"
    before = way.rows(rows)
    (bits,) = way.rows(
        "select sum(bit_count(offsets::bit(64))) from pipeline.observations where object_id = 9"
    )
    assert bits == (200,)
    way.rows("update pipeline.cursors set next_offset = start_offset where stage = 'transform' returning 1")
    way.transform()
    assert way.rows(rows) == before


def test_dead_letters_are_observed_too(way: Way) -> None:
    """Messages that could not be landed or loaded hold objects as well."""
    places = way.produce(
        envelope({"id": "77", "author_id": "5", "text": "a text that was cut"})[:-20],
        envelope({"id": "88", "author_id": "6"}, requested="everything"),
    )
    way.drain()
    ((topic_id,),) = way.rows("select distinct topic_id from pipeline.cursors")
    for number, place in zip((77, 88), places, strict=True):
        assert way.rows(OBSERVED, number) == [("unread", topic_id, *place)]
    for number, place in zip((5, 6), places, strict=True):
        assert way.rows(OBSERVED, number) == [("unread", topic_id, *place)]
    assert way.rows("select count(*) from pipeline.observed where kind = 'envelope'") == [(0,)]


@pytest.mark.parametrize("offset", [0, 63, 64, 2**62 + 63])
def test_every_offset_of_a_row_can_be_proved(postgres: Any, offset: int) -> None:
    """Including the first and the last bit of a row."""
    seen = Observations()
    seen.note("envelope", 0, Coordinate("t", 3, offset))
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        prepare(connection)
        with connection.transaction():
            seen.merge_into(connection)
        asked = [offset, offset + 1, max(offset - 1, 0)]
        assert loaded_offsets(connection, "t", 3, asked) == {offset}
        assert loaded_offsets(connection, "t", 2, asked) == set()
        found = connection.execute('select "offset" from pipeline.observed').fetchall()
    assert found == [(offset,)]


@pytest.fixture
def older(postgres_server: PostgreSQL) -> Iterator[TweetsDatabase]:
    """A database of the version before observations were by object."""
    with older_database(postgres_server, BY_OBJECT) as database:
        yield database


def test_what_an_older_version_loaded_is_kept_and_observed_again(mongo: Any, older: TweetsDatabase) -> None:
    """Its tweets lead on as before, each loaded offset is still proved, and its accounts and media come after."""
    upgrade(
        older,
        """
        insert into pipeline.cursors (stage, topic, topic_id, partition, next_offset)
        select stage, 'raw-tweets', 't', 0, 70 from (values ('landing'), ('transform')) stages (stage);
        insert into pipeline.observations
        select 't', 0, n, 1000 + n, true from generate_series(0, 69) n where n <> 5;
        insert into pipeline.observations values ('t', 0, 0, 2, false), ('gone', 1, 3, null, false);
        """,
    )
    raw = mongo.database
    raw.raw_tweets.insert_many(
        {
            "_id": Coordinate("t", 0, n).key,
            "envelope": Binary(envelope({"id": str(1000 + n), "author_id": "9"}, includes=INCLUDES)),
            "landed_at": datetime.now(UTC),
        }
        for n in range(70)
        if n != 6
    )
    raw.dead_letters.insert_one({"_id": Coordinate("t", 0, 6).key, "payload": Binary(b'{"id": "4242", ')})
    with psycopg.connect(older.dsn, autocommit=True) as connection:
        assert connection.execute(OBSERVED, (1000,)).fetchall() == [("tweet", "t", 0, 0)]
        assert connection.execute(OBSERVED, (2,)).fetchall() == [("included_tweet", "t", 0, 0)]
        assert loaded_offsets(connection, "gone", 1, [2, 3]) == {3}
        assert connection.execute(OBSERVED, (9,)).fetchall() == []
        proved = loaded_offsets(connection, "t", 0, list(range(80)))
        assert proved == set(range(70)) - {5}
        for _ in range(2):
            assert observe_older(raw, connection) == 0
        assert len(connection.execute(OBSERVED, (9,)).fetchall()) == 69
        assert len(connection.execute(OBSERVED, (object_id("3_11"),)).fetchall()) == 69
        assert connection.execute(OBSERVED, (4242,)).fetchall() == [("unread", "t", 0, 6)]
        assert loaded_offsets(connection, "t", 0, list(range(80))) == proved, "nothing new is proved"


LAGGING = """
insert into pipeline.cursors (stage, topic, topic_id, partition, next_offset)
values ('landing', 'raw-tweets', 't', 0, 5), ('transform', 'raw-tweets', 't', 0, 3);
insert into pipeline.observations select 't', 0, n, 1000 + n, true from generate_series(0, 1) n;
insert into twitter.tweets (id, is_collected) values (1000, true), (1001, true);
insert into pipeline.dead_letters (topic_id, partition, "offset", stage, reason, detail, payload)
values ('t', 0, 2, 'transform', 'refused', 'too much', '{}');
"""
NOT_THERE = """
select object_id from pipeline.observations where kind in ('tweet', 'included_tweet')
    and not exists (select from twitter.tweets where id = object_id)
"""


def landed(mongo: Any, *offsets: int) -> None:
    mongo.database.raw_tweets.insert_many(
        {
            "_id": Coordinate("t", 0, n).key,
            "envelope": Binary(envelope({"id": str(1000 + n), "author_id": "9"})),
            "landed_at": datetime.now(UTC),
        }
        for n in offsets
    )


def test_an_upgrade_with_a_lag_and_with_letters_observes_all_of_it(mongo: Any, older: TweetsDatabase) -> None:
    """Letters beyond transform's cursor and letters without a coordinate too; what is not loaded is no loaded tweet."""
    upgrade(older, LAGGING)
    landed(mongo, 0, 1, 2, 4)
    mongo.database.dead_letters.insert_many(
        [
            {"_id": Coordinate("t", 0, 3).key, "payload": Binary(b'{"id": "33"}')},
            {"_id": "extract/request-1/44", "payload": Binary(b'{"id": "44"}')},
            {"_id": "import/a.jsonl/000000001/ab", "payload": Binary(b'{"id": "55"}')},
            {"_id": f"{Coordinate('t', 0, 1).key}/conflict", "payload": Binary(b'{"id": "66"}')},
        ]
    )
    with psycopg.connect(older.dsn, autocommit=True) as connection:
        for _ in range(2):
            assert observe_older(mongo.database, connection) == 0
        places = {
            1002: Coordinate("t", 0, 2),
            33: Coordinate("t", 0, 3),
            44: Coordinate("extract/request-1/44", 0, 0),
            55: Coordinate("import/a.jsonl/000000001/ab", 0, 0),
            66: Coordinate(f"{Coordinate('t', 0, 1).key}/conflict", 0, 0),
        }
        for number, at in places.items():
            assert connection.execute(OBSERVED, (number,)).fetchall() == [("unread", *at)]
        assert connection.execute(OBSERVED, (1004,)).fetchall() == [], "transform will observe it"
        assert connection.execute(NOT_THERE).fetchall() == []


def test_an_absent_document_is_no_word_about_what_was_in_it(mongo: Any, older: TweetsDatabase) -> None:
    """An empty or damaged raw store passes nothing; once it is whole, everything is observed."""
    upgrade(older, LAGGING)
    with psycopg.connect(older.dsn, autocommit=True) as connection:
        with pytest.raises(RawStoreLost):
            observe_older(mongo.database, connection)
        landed(mongo, 0, 2, 3, 4)
        with pytest.raises(NotInRaw, match="1 offsets from 1 on"):
            observe_older(mongo.database, connection)
        assert connection.execute(OBSERVED, (9,)).fetchall() == []
        landed(mongo, 1)
        assert observe_older(mongo.database, connection) == 0
        assert connection.execute(OBSERVED, (9,)).fetchall() == [
            ("unread", "t", 0, 2),
            ("user", "t", 0, 0),
            ("user", "t", 0, 1),
        ]


def test_odd_ids_of_included_objects_cost_nothing(way: Way) -> None:
    """No media, place or poll holds up its message, whatever stands in the place of its id."""
    odd: list[dict[str, Any]] = [
        {"places": [{"id": 2**63}]},
        {"polls": [{"id": -5}, {"id": 1.5}, {"id": None}, "x", None]},
        {"media": [{"media_key": ["3_1"]}, {"media_key": {"a": 1}}, {"media_key": "3_\ud800"}]},
        {"media": {"media_key": "3_1"}, "places": "nowhere", "polls": 7},
    ]
    way.produce(*(envelope({"id": str(100 + n)}, includes=each) for n, each in enumerate(odd)))
    way.drain()
    assert way.tweet_ids() == [100, 101, 102, 103]
    assert way.rows("select count(*) from pipeline.dead_letters") == [(0,)]
    for x_id in (str(2**63), "-5"):
        assert len(way.rows(OBSERVED, object_id(x_id))) == 1
        assert way.rows("select pipeline.object_id(%s)", x_id) == [(object_id(x_id),)]


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        (b'{"media_keys": ["3_1", "3_2"], "poll_ids":[7]}', {"3_1", "3_2", "7"}),
        (b'{"document": "{\\"author_id\\": \\"77\\"}"}', {"77"}),
        ('{"id": "12"}'.encode("utf-16"), {"12"}),
        (b'{"id":' + b" " * 1_000_000 + b"{", set()),
        (b'"id": ' * 200_000, {"id"}),
        (b'{"id": ["5", ' + b"[" * 1_000_000, {"5"}),
    ],
    ids=["lists", "JSON in a string", "UTF-16", "a million spaces", "a name again and again", "cut lists"],
)
def test_ids_are_found_in_bytes_of_any_sort(payload: bytes, ids: set[str]) -> None:
    """In time that grows with the length of the bytes and no faster."""
    seen, at = Observations(), Coordinate("t", 0, 0)
    seen.note_unread(payload, at)
    assert {number for _, number, _ in seen.places()} == {object_id(x_id) for x_id in ids}
