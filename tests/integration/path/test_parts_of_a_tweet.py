"""Each part of a tweet is as the newest observation that stated it says, in any order of arrival."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest

from support.envelopes import envelope
from tweet_envelope.coordinates import Coordinate
from twitter_pipeline.streaming import cursors
from twitter_pipeline.transform.engines.rows import Batch
from twitter_pipeline.transform.load import Loader
from twitter_pipeline.warehouse import model

TWEETS = (1800000000000000000, 1800000000000000001)
TAGS = ("oak", "elm", "ash")
PARTS = {
    "text": ("text", "note_text", "lang"),
    "source": ("source",),
    "media_keys": ("media_keys",),
    "poll_ids": ("poll_ids",),
    "place_id": ("place_id",),
    "withheld": ("withheld_country_codes",),
}


class Seen(NamedTuple):
    """One generated observation: what it states for each part, None for a part that it states is empty."""

    tweet_id: int
    rank: tuple[datetime, bool]
    stated: dict[str, Any]
    payload: bytes


def observation(chance: random.Random) -> list[Seen]:
    """A page with a tweet as data and one as include; some of their parts present, some requested, some neither."""
    fields = ("note_tweet", "lang", "source", "attachments", "geo", "entities", "withheld")
    asked = None if chance.random() < 0.4 else chance.sample(fields, chance.randrange(len(fields) + 1))
    at = (
        None
        if chance.random() < 0.15
        else datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(6))
    )
    rank = at or datetime(1970, 1, 1, tzinfo=UTC)

    def there(field: str) -> bool:
        return chance.random() < 0.6 and (asked is None or field in asked)

    def tweet(tweet_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        made: dict[str, Any] = {"id": str(tweet_id)}
        stated: dict[str, Any] = {}

        def part(name: str, field: str, value: Any) -> Any:
            """State a part with a value, as empty, or not at all."""
            if there(field):
                stated[name] = value
                return value
            if asked is not None and field in asked:
                stated[name] = None
            return None

        if chance.random() < 0.9:
            tags = chance.sample(TAGS, chance.randrange(1, 4))
            made["text"] = " ".join(f"#{tag}" for tag in tags)
            note = f"long {chance.randrange(9)}" if there("note_tweet") else None
            lang = chance.choice(["en", "und"]) if there("lang") else None
            stated["text"] = (made["text"], note, lang)
            made |= {"note_tweet": {"text": note}} if note else {}
            made |= {"lang": lang} if lang else {}
        if (source := part("source", "source", chance.choice(["Web", "App"]))) is not None:
            made["source"] = source
        attachments = {
            name: value
            for name, value in (
                (
                    "media_keys",
                    part("media_keys", "attachments", [f"3_{n}" for n in range(1, chance.randrange(2, 4))]),
                ),
                ("poll_ids", part("poll_ids", "attachments", [str(chance.randrange(9))])),
            )
            if value is not None
        }
        made |= {"attachments": attachments} if attachments else {}
        if (place := part("place_id", "geo", chance.choice(["here", "there"]))) is not None:
            made["geo"] = {"place_id": place}
        if (codes := part("withheld", "withheld", chance.sample(["DE", "TR"], 1))) is not None:
            made["withheld"] = {"copyright": False, "country_codes": codes}
        text = made.get("text", "")
        tags = chance.sample(TAGS, chance.randrange(1, 4))
        if part("entities", "entities", (text, tags)) is not None:
            places = {tag: text.find(f"#{tag}") for tag in tags}
            made["entities"] = {
                "hashtags": [
                    {"tag": tag} | ({"start": at, "end": at + len(tag) + 1} if at >= 0 else {})
                    for tag, at in places.items()
                ],
                "urls": [{"url": "https://t.co/p", "media_key": f"3_{tag}"} for tag in tags],
            }
        return made, stated

    first, second = chance.sample(TWEETS, 2)
    (data, of_data), (included, of_included) = tweet(first), tweet(second)
    requested = None if asked is None else {"tweet_fields": asked, "user_fields": []}
    payload = envelope(
        data,
        observed_at=at and at.isoformat(),
        requested=requested,
        includes={"tweets": [included]},
    )
    return [Seen(first, (rank, True), of_data, payload), Seen(second, (rank, False), of_included, payload)]


def newest(seen: list[Seen], tweet_id: int, part: str) -> list[Any]:
    """What a part may be: the values of the newest observations that stated it (several for a tie)."""
    stating = [s for s in seen if s.tweet_id == tweet_id and part in s.stated]
    best = max((s.rank for s in stating), default=None)
    return [s.stated[part] for s in stating if s.rank == best] or [None]


def merged(payloads: list[bytes]) -> dict[int, dict[str, Any]]:
    """The rows that one batch makes of them, merged in Python."""
    batch = Batch()
    for offset, payload in enumerate(payloads):
        batch.add_envelope(payload, Coordinate("t", 0, offset))
    return {row["id"]: row for row in batch.rows["tweets"].values()}


def loaded(
    connection: psycopg.Connection, payloads: list[bytes], sizes: Callable[[], int], topic_id: str
) -> None:
    """Load in batches of random sizes, merged in PostgreSQL."""
    connection.execute("delete from twitter.tweets")
    cursors.declare(connection, "transform", "t", topic_id, {0: 0})
    cursor, loader, done = cursors.take(connection, "transform", topic_id, 0), Loader(connection), 0
    while done < len(payloads):
        batch, size = Batch(), sizes()
        for offset, payload in enumerate(payloads[done : done + size], done):
            batch.add_envelope(payload, Coordinate(topic_id, 0, offset))
        done += size
        cursor = loader.load(batch, cursor, done)


def rows(connection: psycopg.Connection, table: str, columns: str, tweet_id: int) -> list[tuple[Any, ...]]:
    query = f"select {columns} from twitter.{table} where tweet_id = %s order by 1, 2"
    return connection.execute(query.encode(), (tweet_id,)).fetchall()


@pytest.mark.parametrize("seed", range(12))
def test_each_part_is_as_the_newest_observation_that_stated_it_says(postgres: Any, seed: int) -> None:
    """Three or more observations, shuffled, repeated, split into any batches, with ties and unknown times."""
    chance = random.Random(seed)
    pages = [observation(chance) for _ in range(chance.randrange(3, 12))]
    seen = [each for page in pages for each in page]
    payloads = [page[0].payload for page in pages]
    outcomes = []
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for turn in range(4):
            arrived = payloads + chance.sample(payloads, chance.randrange(3))
            chance.shuffle(arrived)
            loaded(connection, arrived, lambda: chance.randrange(1, 5), f"turn {turn}")
            columns = ", ".join(model.TWEETS.columns)
            found = connection.execute(
                f"select {columns} from twitter.tweets order by id".encode()
            ).fetchall()
            outcomes.append([dict(zip(model.TWEETS.columns, row, strict=True)) for row in found])
            in_python = merged(arrived)
            assert outcomes[-1] == [in_python[row["id"]] for row in outcomes[-1]]
            for row in outcomes[-1]:
                for part, columns_of_part in PARTS.items():
                    value = tuple(row[c] for c in columns_of_part)
                    said = newest(seen, row["id"], part)
                    assert (
                        None if value == (None,) * len(value) else value if len(value) > 1 else value[0]
                    ) in said
                told = newest(seen, row["id"], "entities")
                tags = sorted(
                    tag for tag, _ in rows(connection, "tweet_hashtags", "tag, start_index", row["id"])
                )
                urls = [key for _, key in rows(connection, "tweet_urls", "ordinal, media_key", row["id"])]
                assert (tags, urls) in [
                    (sorted(tags), [f"3_{tag}" for tag in tags]) for _, tags in (t or ("", []) for t in told)
                ]
                for tag, start, end in rows(
                    connection, "tweet_hashtags", "tag, start_index, end_index", row["id"]
                ):
                    if start is None:
                        continue
                    assert row["text"][start:end] == f"#{tag}"
                    assert row["text"] in [text for text, _ in (t for t in told if t)]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_positions_come_back_with_their_text(postgres: Any) -> None:
    """A set outlives the text that it belongs to; its positions are shown only with that text, and not lost."""
    first = {"id": "7", "text": "x #stay", "entities": {"hashtags": [{"tag": "stay", "start": 2, "end": 7}]}}
    shown = (
        "select text, start_index, end_index from twitter.tweet_hashtags join twitter.tweets on id = tweet_id"
    )
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        seen = [
            (json.loads(json.dumps(first)), ("x #stay", 2, 7)),
            ({"id": "7", "text": "unavailable"}, ("unavailable", None, None)),
            ({"id": "7", "text": "x #stay"}, ("x #stay", 2, 7)),
        ]
        payloads = [
            envelope(tweet, observed_at=f"2026-01-0{day}T00:00:00Z") for day, (tweet, _) in enumerate(seen, 1)
        ]
        for number, (_, expected) in enumerate(seen, 1):
            loaded(connection, payloads[:number], lambda: 1, f"up to {number}")
            assert connection.execute(shown.encode()).fetchall() == [expected]
