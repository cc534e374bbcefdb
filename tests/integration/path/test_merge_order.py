"""Any order, any batches, any number of times: the resulting tables are the same."""

import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.load import Loader
from twitter_pipeline.warehouse import model

TWEET_FIELDS = ("possibly_sensitive", "reply_settings", "withheld", "public_metrics", "lang", "created_at")
USER_FIELDS = ("description", "location", "url", "verified", "protected", "pinned_tweet_id", "public_metrics")


def observations(seed: int) -> list[bytes]:
    """Contradicting, partial and repeated observations of a few tweets and users."""
    chance = random.Random(seed)

    def some(fields, values):
        return {f: values[f]() for f in fields if chance.random() < 0.7}

    def tweet():
        fields = chance.sample(TWEET_FIELDS, 3)
        made = some(
            fields,
            {
                "possibly_sensitive": lambda: chance.random() < 0.5,
                "reply_settings": lambda: chance.choice(["everyone", "following"]),
                "withheld": lambda: {"copyright": False, "country_codes": chance.sample(["DE", "TR"], 1)},
                "public_metrics": lambda: {
                    "like_count": chance.randrange(9),
                    "retweet_count": chance.randrange(9),
                },
                "lang": lambda: chance.choice(["en", "de"]),
                "created_at": lambda: "2026-01-01T00:00:00Z",
            },
        )
        return fields, {
            "id": str(1800000000000000000 + chance.randrange(3)),
            "text": chance.choice(["a", "b"]),
            "author_id": str(chance.randrange(1, 3)),
            "edit_history_tweet_ids": ["1800000000000000000", "1800000000000000009"][: chance.randrange(3)],
            "entities": {"hashtags": [{"tag": chance.choice(["Aa", "aA"]), "start": 0, "end": 1}]},
            **made,
        }

    def user(fields):
        values = {f: (lambda f=f: f"{f} {chance.randrange(3)}") for f in ("description", "location", "url")}
        values |= {"verified": lambda: chance.random() < 0.5, "protected": lambda: chance.random() < 0.5}
        values |= {
            "pinned_tweet_id": lambda: str(chance.randrange(1, 5)),
            "public_metrics": lambda: {"followers_count": chance.randrange(9)},
        }
        return {
            "id": str(chance.randrange(1, 3)),
            "username": chance.choice(["x", "y"]),
            **some(fields, values),
        }

    made = []
    for _ in range(25):
        tweet_fields, data = tweet()
        user_fields = chance.sample(USER_FIELDS, 4)
        included = {"tweets": [tweet()[1]], "users": [user(user_fields)]}
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(4))
        known = {"tweet_fields": tweet_fields, "user_fields": user_fields} if chance.random() < 0.8 else None
        made.append(envelope(data, observed_at=at.isoformat(), requested=known, includes=included))
    return made


def load_all(dsn: str, payloads: list[bytes], chance: random.Random, topic_id: str) -> dict[str, list[tuple]]:
    """Load in batches of random sizes; returns the contents of all tables, without loading times."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in (
            *(table.name for table in model.IN_LOADING_ORDER),
            *(table.name for table in model.DERIVED),
        ):
            connection.execute(f"truncate twitter.{name}".encode())
        cursors.declare(connection, "transform", "t", topic_id, {0: 0})
        cursor, loader, done = cursors.take(connection, "transform", topic_id, 0), Loader(connection), 0
        while done < len(payloads):
            batch, size = Batch(), chance.randrange(1, 9)
            for offset, payload in enumerate(payloads[done : done + size], done):
                batch.add_envelope(payload, Coordinate(topic_id, 0, offset))
            done += size
            cursor = loader.load(batch, cursor, done)
        contents = {}
        for table in model.IN_LOADING_ORDER:
            query = (
                f"select {', '.join(table.columns)} from twitter.{table.name} order by {', '.join(table.key)}"
            )
            contents[table.name] = connection.execute(query.encode()).fetchall()
        for name in (table.name for table in model.DERIVED):
            query = f"select * from twitter.{name} order by 1, 2"
            contents[name] = connection.execute(query.encode()).fetchall()
        return contents


@pytest.mark.parametrize("seed", range(5))
def test_the_tables_do_not_depend_on_the_order_of_arrival(postgres, seed):
    """Shuffled, repeated and split into other batches, the same observations give the same rows."""
    payloads, chance = observations(seed), random.Random(seed)
    with psycopg.connect(postgres.migrator_dsn, autocommit=True) as owner:
        owner.execute("grant truncate on all tables in schema twitter to pipeline_loader")
    expected = load_all(postgres.dsn, payloads, chance, "in order")
    assert expected["tweets"]
    for turn in range(4):
        shuffled = payloads + chance.sample(payloads, 5)
        chance.shuffle(shuffled)
        assert load_all(postgres.dsn, shuffled, chance, f"shuffled {turn}") == expected
