"""What archives say about a tweet, through import, land and transform: newest wins, bad values affect only themselves."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tweet_envelope.sink import EnvelopeSink
from twitter_pipeline.archives.importing import Importer, Refusal
from twitter_pipeline.landing.drain import land
from twitter_pipeline.serving.columns import EXPORTED, cells
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.statements import filled
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform

CASES = Path(__file__).parents[2] / "cases" / "data"
BRIEF = Linger(stay_seconds=15, quiet_seconds=0.3)
Query = Callable[[str], list[tuple[Any, ...]]]
Importing = Callable[..., Query]


@pytest.fixture
def imported(kafka: Any, mongo: Any, postgres: Any) -> Iterator[Importing]:
    """Imports files (name, bytes) in that order, each drained to the tables before the next; returns a query."""
    kafka_config = {"bootstrap.servers": kafka.bootstrap}
    topic = kafka.create_topic(partitions=3)
    refusals: list[Refusal] = []
    with psycopg.connect(postgres.dsn, autocommit=True) as warehouse:
        sink = EnvelopeSink(kafka_config, topic)

        def query(statement: str) -> list[tuple[Any, ...]]:
            return warehouse.execute(statement.encode()).fetchall()

        def run(*files: tuple[str, bytes]) -> Query:
            for name, body in files:
                importer = Importer(sink, mongo.database, warehouse, rule="r", tell=refusals.append)
                importer.import_file(name, io.BytesIO(body))
                land(kafka_config, mongo.database, warehouse, topic=topic, linger=BRIEF)
                transform(mongo.database, warehouse, topic=topic, linger=BRIEF)
            assert refusals == []
            assert query("select reason, detail from pipeline.dead_letters") == []
            assert mongo.database.dead_letters.count_documents({}) == 0
            return query

        yield run
        sink.close()


def case(*names: str) -> list[tuple[str, bytes]]:
    return [(name, (CASES / f"{name}.jsonl").read_bytes()) for name in names]


NEWER = [
    case("f01_1_older", "f01_2_newer"),
    case("f01b_1_older", "f01b_2_newer"),
    case("f01d_1_older", "f01d_2_newer"),
]


@pytest.mark.parametrize("newer_first", [False, True])
def test_the_newest_text_media_and_entities_win_in_either_order(
    imported: Importing, newer_first: bool
) -> None:
    """A notice of withholding, a set of media and a set of hashtags give way to what was observed later."""
    files = [file for pair in NEWER for file in (reversed(pair) if newer_first else pair)]
    query = imported(*files)
    assert query("select text from twitter.tweets where id = 1531791363404726272") == [
        ("RT @wren: the true words of this post #bridge",)
    ]
    assert query("select media_keys from twitter.tweets where id = 1531790604235702272") == [
        (["3_1", "3_2"],)
    ]
    assert query(
        "select tag, start_index, end_index, substring(text, start_index + 1, end_index - start_index)"
        " from twitter.tweet_hashtags join twitter.tweets on id = tweet_id"
    ) == [("stay", 2, 7, "#stay")]


def test_cases_of_rude_values_are_rows(imported: Importing) -> None:
    """What R, PHP and spreadsheets write for nothing, a null among keys, a float for an id, no author."""
    query = imported(
        *case(
            "f02_jsonlite_empty_objects",
            "f02b_php_empty_arrays",
            "f02d_null_media_key",
            "f02f_float_conversation_id",
            "f02h_empty_author_id",
        )
    )
    columns = "media_keys, conversation_id, author_id, entities, place_id"
    assert query(f"select text, {columns} from twitter.tweets order by text") == [
        ("empty author", None, 1531790151250870272, None, None, None),
        ("float conv", None, None, 900000000000000871, None, None),
        ("jsonlite null", None, 1531791275324342272, 900000000000000874, None, None),
        ("media null", ["3_1"], 1531791157883830272, 900000000000000846, None, None),
        ("php empties", None, 1531790142862262272, 900000000000000604, None, None),
    ]
    assert query("select count(*) from twitter.tweet_hashtags") == [(0,)]
    drift = "select object, field, seen_count from pipeline.schema_drift"
    assert query(drift) == [("tweet", "(unreadable conversation_id)", 1)]


def test_cases_of_links_are_rows(imported: Importing) -> None:
    """Two photos without a link, and four behind one, are two and four rows; a list of links shows one of them."""
    query = imported(*case("f08_empty_tco", "f09_four_photos"))
    found = query("select url, display_url, media_key from twitter.tweet_urls order by tweet_id, ordinal")
    assert found == [
        *(("https://t.co/ph", "pic.twitter.com/ph", f"3_{n}") for n in (14, 13, 12, 11)),
        *((None, "pic.twitter.com/qq", f"3_{n}") for n in (24, 23)),
    ]
    rows = Conditions().over_all(filled("export", columns=cells(EXPORTED)))
    exported = query(f"select urls from ({rows}) exported order by id")
    assert exported == [(["https://twitter.com/x/status/1/photo/1"],), ([],)]


RUDE: list[dict[str, Any]] = [
    {"text": 5},
    {"text": ["a", "b"]},
    {"author_id": {"id": "7"}},
    {"author_id": 9.1e17, "conversation_id": "1.58066143613276E+18"},
    {"created_at": 1654042474, "lang": {}},
    {"created_at": "10000-01-01T00:00:00Z"},
    {"created_at": "0001-01-01T00:00:00Z"},
    {"created_at": "infinity"},
    {
        "public_metrics": {
            "like_count": -1,
            "reply_count": 2**63,
            "retweet_count": "many",
            "quote_count": None,
        }
    },
    {"public_metrics": [[1]], "possibly_sensitive": "perhaps"},
    {"attachments": {"media_keys": "3_1", "poll_ids": [None, 5, "6"]}},
    {"geo": {"place_id": ["p"]}, "withheld": {"country_codes": [["DE"]], "copyright": "no"}},
    {
        "entities": {
            "hashtags": [{"tag": "a"}, 5, {"tag": ["b"]}],
            "mentions": {"username": "u"},
            "urls": [[]],
        }
    },
    {"entities": [{"hashtags": []}], "note_tweet": [], "referenced_tweets": [{"id": 5.5, "type": "quoted"}]},
    {"referenced_tweets": "5", "edit_history_tweet_ids": ["x"], "in_reply_to_user_id": False},
]


def test_further_rude_values_cost_only_themselves(imported: Importing) -> None:
    """Each of them among good lines is a row with its id, and the lines around it are whole."""
    first = 1531791275324342272
    lines: list[dict[str, Any]] = []
    for number, changes in enumerate(RUDE):
        good = {"text": "good", "author_id": "7", "created_at": "2022-06-01T00:14:34.000Z"}
        lines += [
            {"id": str(first + 2 * number), **good, **changes},
            {"id": str(first + 2 * number + 1), **good},
        ]
    query = imported(("rude.jsonl", "\n".join(map(json.dumps, lines)).encode()))
    assert query("select count(*) from twitter.tweets") == [(2 * len(RUDE),)]
    is_whole = "text = 'good' and author_id = 7 and not is_created_at_derived"
    assert query(f"select count(*) from twitter.tweets where mod(id, 2) = 1 and {is_whole}") == [(len(RUDE),)]
    possible = "created_at between '2006-01-01Z' and now()"
    assert query(f"select count(*) from twitter.tweets where ({possible}) is not true") == [(0,)]
    counted = query("select count(*) from pipeline.schema_drift where field like '(unreadable %'")
    assert counted[0][0] > len(RUDE)
