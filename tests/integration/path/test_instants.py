"""Impossible times outrank nothing and create no endless series."""

from datetime import UTC, datetime

from support.envelopes import envelope
from support.way import Way

LOOK = "select text, like_count from twitter.tweets"
IMPOSSIBLE = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "infinity")


def test_an_observation_of_the_year_9999_is_replaced_by_the_next_true_one(way: Way):
    """It counts as observed when it landed, so what lands later with a later time wins, in every part."""
    forged = {"id": "7", "text": "forged", "public_metrics": {"like_count": 1}}
    way.produce(envelope(forged, observed_at="9999-12-31T23:59:59Z"))
    way.drain()
    assert way.rows(LOOK) == [("forged", 1)]
    true = {"id": "7", "text": "true", "public_metrics": {"like_count": 2}}
    way.produce(envelope(true, observed_at=datetime.now(UTC).isoformat()))
    way.drain()
    assert way.rows(LOOK) == [("true", 2)]
    landed = sorted(d["landed_at"].replace(tzinfo=UTC) for d in way.raw.raw_tweets.find())
    ((earliest,), _) = way.rows("select observed_at from twitter.tweet_metrics order by 1")
    assert earliest == landed[0]


def test_a_replay_gives_the_same_times(way: Way):
    """The limit is the landing time of the raw document, not the clock of the process that reads it again."""
    way.produce(
        *(
            envelope({"id": str(n), "text": "t", "created_at": at}, observed_at=at)
            for n, at in enumerate(IMPOSSIBLE)
        )
    )
    way.drain()
    look = "select id, created_at, text_version from twitter.tweets order by id"
    before = way.rows(look)
    assert len(before) == len(IMPOSSIBLE)
    way.warehouse.execute("delete from twitter.tweets")
    way.warehouse.execute("update pipeline.cursors set next_offset = start_offset where stage = 'transform'")
    way.transform()
    assert way.rows(look) == before


def test_no_stored_instant_lies_before_x_or_after_tomorrow(way: Way):
    """Whatever time a tweet or a user states, from the year 1 to infinity."""
    way.produce(
        *(
            envelope(
                {"id": str(number), "created_at": at, "author_id": "1", "public_metrics": {"like_count": 1}},
                observed_at=at,
                includes={"users": [{"id": str(number), "created_at": at}]},
            )
            for number, at in enumerate(IMPOSSIBLE)
        )
    )
    way.drain()
    stored = """
        select created_at from twitter.tweets union all select created_at from twitter.users
        union all select nullif(observed_at, 'epoch') from twitter.tweet_metrics
    """
    assert way.rows(f"select count(*) from ({stored}) of (instant) where instant not between '2006-01-01Z' and now() + interval '1 day'") == [(0,)]  # fmt: skip
    drift = "select field from pipeline.schema_drift where field like '%created_at%' or field like '%observed_at%' order by 1"
    assert way.warehouse.execute(drift.encode()).fetchall() == [("(unreadable created_at)",)] * 2 + [
        ("(unreadable observed_at)",)
    ]
