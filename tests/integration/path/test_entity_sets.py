"""The set of entities and its version are written in one statement, whatever else is written or read meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from support.envelopes import envelope
from support.older_database import older_database, upgrade
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.servers import wait_until
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.load import Loader
from twitter_pipeline.warehouse import model

VERSIONS = "0006_content_versions"
SET_AND_TABLES = """
select entities_version, array(select jsonb_array_elements(entities -> 'hashtags') ->> 'tag' order by 1),
    array(select tag from twitter.tweet_hashtags where tweet_id = id order by tag),
    array(select username from twitter.tweet_mentions where tweet_id = id order by username),
    array(select url from twitter.tweet_urls where tweet_id = id order by ordinal)
from twitter.tweets where id = 7
"""


def observed(day: int, *tags: str, **more: Any) -> bytes:
    """Tweet 7 as of a day in January, with a hashtag, a mention and a link for each of `tags`."""
    entities = {
        "hashtags": [{"tag": tag} for tag in tags],
        "mentions": [{"username": tag} for tag in tags],
        "urls": [{"url": f"https://t.co/{tag}"} for tag in tags],
    }
    requested = {"tweet_fields": ["entities"], "user_fields": []}
    return envelope(
        {"id": "7", "text": f"of day {day}", "entities": entities, **more},
        observed_at=f"2026-01-{day:02}T00:00:00Z",
        requested=requested,
    )


class Drain:
    """A loader with its own connection and partition."""

    def __init__(self, dsn: str, partition: int) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        cursors.declare(self.connection, "transform", "t", "t", {partition: 0})
        self._cursor = cursors.take(self.connection, "transform", "t", partition)
        self._loader = Loader(self.connection)

    def load(self, *payloads: bytes) -> None:
        batch = Batch()
        for offset, payload in enumerate(payloads, self._cursor.next_offset):
            batch.add_envelope(payload, Coordinate("t", self._cursor.partition, offset))
        to = self._cursor.next_offset + len(payloads)
        self._cursor = self._loader.load(batch, self._cursor, to)

    def sets(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(SET_AND_TABLES.encode()).fetchall()


@pytest.fixture
def drains(postgres: Any) -> Iterator[tuple[Drain, Drain, Drain]]:
    made = tuple(Drain(postgres.dsn, partition) for partition in range(3))
    yield made  # type: ignore[misc]
    for drain in made:
        drain.connection.close()


def consistent(found: list[tuple[Any, ...]]) -> bool:
    return all(
        stated == tags == names and urls == [f"https://t.co/{tag}" for tag in sorted(tags)]
        for _, stated, tags, names, urls in ((v, s, t, n, sorted(u)) for v, s, t, n, u in found)
    )


@pytest.mark.parametrize(("first_day", "second_day"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("is_known", [True, False])
def test_the_second_of_two_loaders_leaves_the_newest_set_whole(
    drains: tuple[Drain, Drain, Drain], first_day: int, second_day: int, is_known: bool
) -> None:
    """It waits for the first one's row with an earlier snapshot, and still sees what the first has left."""
    first, second, reader = drains
    tags = {1: ("alder", "birch", "cedar"), 2: ("birch", "dogwood")}
    if is_known:
        reader.load(observed(1, "older", "alder").replace(b"2026-01-01", b"2025-12-01"))
    before = reader.sets()
    with ThreadPoolExecutor(1) as pool:
        with first.connection.transaction():  # the load's own transaction is a savepoint in this one
            first.load(observed(first_day, *tags[first_day]))
            waiting = pool.submit(second.load, observed(second_day, *tags[second_day]))
            blocked = "select count(*) from pg_locks where not granted"
            wait_until(
                lambda: reader.connection.execute(blocked).fetchone() == (1,),
                20,
                "the second to wait for the first",
            )
            assert reader.sets() == before
        waiting.result(20)
    ((_, stated, *_),) = found = reader.sets()
    assert stated == sorted(tags[2])
    assert consistent(found)


def test_no_reader_sees_a_set_of_a_version_other_than_the_tweets(
    drains: tuple[Drain, Drain, Drain],
) -> None:
    """While two loaders alternate on one tweet, every read finds a set, version and tables that agree."""
    *loaders, reader = drains
    finished, looks = threading.Event(), []

    def look() -> None:
        while not finished.is_set():
            looks.append(reader.sets())

    def write(drain: Drain, start: int) -> None:
        for day in range(start, 28, 2):
            drain.load(observed(day, f"tag{day % 3}", f"tag{day % 5}x"))

    with ThreadPoolExecutor(3) as pool:
        looking = pool.submit(look)
        for writing in [pool.submit(write, drain, start) for start, drain in enumerate(loaders, 1)]:
            writing.result(60)
        finished.set()
        looking.result(20)
    assert len({found[0][0] for found in looks if found}) > 1, "the reader saw no change: it proves nothing"
    assert all(consistent(found) for found in looks)
    ((_, stated, *_),) = reader.sets()
    assert stated == sorted(("tag0", "tag2x"))  # of day 27


def test_a_newer_set_without_anything_empties_the_tables(drains: tuple[Drain, Drain, Drain]) -> None:
    """Requested and absent means that there are no entities now."""
    drain, *_ = drains
    drain.load(observed(1, "alder"))
    drain.load(observed(2))
    ((version, *lists),) = drain.sets()
    assert lists == [[], [], [], []]
    assert version is not None


def test_an_unchanged_set_is_not_written_again(drains: tuple[Drain, Drain, Drain]) -> None:
    """A poll with the same entities raises the version and touches none of their rows."""
    drain, *_ = drains
    look = "select tag, ctid::text, xmin::text from twitter.tweet_hashtags order by tag"
    drain.load(observed(1, "alder", "birch"))
    before = drain.connection.execute(look.encode()).fetchall()
    ((version, *_),) = drain.sets()
    drain.load(observed(2, "alder", "birch", lang="en"))
    assert drain.connection.execute(look.encode()).fetchall() == before
    assert drain.sets()[0][0] > version


def test_what_is_removed_leaves_no_entities(drains: tuple[Drain, Drain, Drain]) -> None:
    """The tables follow the row, including its removal."""
    drain, *_ = drains
    drain.load(observed(1, "alder"))
    drain.connection.execute("delete from twitter.tweets where id = 7")
    for name in (table.name for table in model.DERIVED):
        assert drain.connection.execute(f"select count(*) from twitter.{name}".encode()).fetchone() == (0,)


OF_BEFORE = """
insert into twitter.tweets (id, text, lang, media_keys, is_collected) values (7, 'x #old', 'en', '{3_1}', true), (8, 'other', 'en', null, true);
insert into twitter.tweet_hashtags values (7, 'old', 2, 6);
insert into twitter.tweet_mentions values (7, 'old', 5, 0, 1);
insert into twitter.tweet_urls (tweet_id, url, start_index, end_index) values (7, 'https://t.co/b', 3, 4), (7, 'https://t.co/a', 1, 2), (8, 'https://t.co/a', null, null);
"""


@pytest.fixture
def of_before(postgres_server: PostgreSQL) -> Iterator[str]:
    """A database with rows that were loaded before content had versions."""
    with older_database(postgres_server, VERSIONS) as database:
        upgrade(database, OF_BEFORE)
        yield database.dsn


def unversioned(drain: Drain) -> int:
    (count,) = drain.connection.execute("select pipeline.unversioned_tweets()").fetchone() or (None,)
    return count


def test_any_observation_wins_over_a_row_from_before_the_versions(of_before: str) -> None:
    """Such rows keep what they have until then, are counted, and their links have an order."""
    drain = Drain(of_before, 0)
    urls = "select tweet_id, url, ordinal from twitter.tweet_urls order by tweet_id, ordinal"
    assert drain.connection.execute(urls.encode()).fetchall() == [
        (7, "https://t.co/a", 0),
        (7, "https://t.co/b", 1),
        (8, "https://t.co/a", 0),
    ]
    assert unversioned(drain) == 2
    unknown_time = envelope(
        {"id": "7", "text": "a new text", "entities": {"hashtags": [{"tag": "new"}]}}, observed_at=None
    )
    drain.load(unknown_time)
    assert unversioned(drain) == 1
    look = "select text, lang, media_keys from twitter.tweets where id = 7"
    assert drain.connection.execute(look.encode()).fetchone() == ("a new text", None, ["3_1"])
    ((_, *lists),) = drain.sets()
    assert lists == [["new"], ["new"], [], []]
    drain.connection.close()


def test_a_set_from_before_loses_its_positions_with_its_text(of_before: str) -> None:
    """They belong to an unrecorded text: another text shows none of them."""
    drain = Drain(of_before, 0)
    look = "select tag, start_index, end_index from twitter.tweet_hashtags"
    drain.load(envelope({"id": "7", "text": "x #old"}))
    assert drain.connection.execute(look.encode()).fetchall() == [("old", 2, 6)]
    drain.load(envelope({"id": "7", "text": "another #old"}, observed_at="2026-02-01T00:00:00Z"))
    assert drain.connection.execute(look.encode()).fetchall() == [("old", None, None)]
    drain.connection.close()
