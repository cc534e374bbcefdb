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
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.transform.observing import observe_older
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
