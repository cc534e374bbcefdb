"""Typed words find the texts that people read, over HTTP and by command, at a cost independent of the amount stored."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from support.api import served
from support.envelopes import envelope
from support.loading import load, tweet_id
from twitter_pipeline.api.tweets import LIST
from twitter_pipeline.exports.command import search as search_command
from twitter_pipeline.exports.command import search_index
from twitter_pipeline.serving import search
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.statements import statement
from twitter_pipeline.text import searchable, trigrams
from twitter_pipeline.warehouse.search_index import UNKNOWN_VERSION

READ = {
    1: "R&amp;D at AT&amp;T is 3 &lt; 4 &amp;amp; so",
    2: "plain R&D, and 5 &gt; 4",
    3: "cafe\u0301 au lait, Stra\u00dfe, \u0130stanbul",
    4: "\u73c8\u7432\u304c\u597d\u304d \U0001f989 #\u73c8\u7432",
    5: "#Filterkaffee 100%_sure",
    6: "\uff32\uff24 in full-width letters",
    7: "an old &lt;b&gt;tag&lt;/b&gt;   with\nline breaks",
}
TYPED = [
    ("R&D", [1, 2]),
    ("r&amp;d", [1, 2]),
    ("AT&T", [1]),
    ("3 <", [1]),
    ("3 &lt;", [1]),
    ("&amp;", [2, 1]),
    ("> 5", [2]),
    ("caf\u00e9", [3]),
    ("CAFE\u0301", [3]),
    ("STRASSE", [3]),
    ("stra\u00dfe", [3]),
    ("\u73c8", [4]),
    ("\u7432\u304c", [4]),
    ("\U0001f989", [4]),
    ("kaffee", [5]),
    ("0%_s", [5]),
    ("0__s", []),
    ("RD", []),
    ("\uff52\uff44", [6]),
    ("<b>", [7]),
    ("breaks line", [7]),
    ("'; drop table", []),
    ("\\", []),
]


def command(database: Any, *arguments: str) -> list[int]:
    """The numbers of the tweets that the command `search` shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_POSTGRES_READER_DSN", database.reader_dsn)
        result = CliRunner().invoke(search_command, ["--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return [int(tweet["id"]) - tweet_id(0) for tweet in json.loads(result.stdout)["tweets"]]


@pytest.fixture(scope="module", params=["loaded by this version", "of an older version"])
def read(request: pytest.FixtureRequest, module_postgres: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """Tweets with awkward texts, with their search rows or before those are filled."""
    load(
        module_postgres.dsn,
        *(envelope({"id": str(tweet_id(n)), "text": text, "author_id": "1"}) for n, text in READ.items()),
    )
    if request.param == "of an older version":
        with psycopg.connect(module_postgres.superuser_dsn, autocommit=True) as owner:
            owner.execute("truncate twitter.tweet_texts")
            owner.execute("update pipeline.backfills set below_id = 9223372036854775807")
    with served(tmp_path_factory.mktemp("api"), module_postgres.reader_dsn, module_postgres.dsn) as api:
        yield api, module_postgres


@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_what_is_typed_finds_what_is_read(read: Any, typed: str, expected: list[int]) -> None:
    """Entities, composed and decomposed letters, any case, any script, parts of words; over HTTP and by command."""
    api, database = read
    newest_first = sorted(expected, reverse=True)
    assert api.ids(words=typed) == newest_first
    assert command(database, *typed.split()) == newest_first


TAGS = {
    1: ["R&amp;D"],
    2: ["\uff03Caf\u00e9 "],
    3: ["#Stra\u00dfe"],
    4: ["cafe\u0301"],
}


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("is_filled", [False, True])
def test_hashtags_are_found_as_they_are_typed(
    postgres: Any, tmp_path: Path, is_old: bool, is_filled: bool
) -> None:
    """Hashtags are found in whatever spelling an older version stored; no key is rewritten."""
    for number, tags in TAGS.items():
        entities = {"hashtags": [{"tag": tag} for tag in tags]}
        load(postgres.dsn, envelope({"id": str(tweet_id(number)), "text": "x", "entities": entities}))
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as owner:
        if is_old:  # as the version before wrote it
            owner.execute("update twitter.hashtags set tag = 'r&amp;d' where tag = 'r&d'")
            owner.execute("update twitter.tweet_hashtags set tag = 'r&amp;d' where tag = 'r&d'")
            if is_filled:
                owner.execute("insert into twitter.hashtags values ('caf\u00e9 ', 'x', null)")
                owner.execute(
                    "update twitter.tweet_hashtags set tag = 'caf\u00e9 ' where tweet_id = %s", (tweet_id(2),)
                )
    if is_filled:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIPELINE_POSTGRES_DSN", postgres.dsn)
            done = CliRunner().invoke(search_index, ["fill"], catch_exceptions=False)
        assert f" {2 if is_old else 0} hashtags" in done.stdout
    with served(tmp_path, postgres.reader_dsn) as api:
        for typed, expected in (
            ("R&D", [1]),
            ("#r&amp;d", [1]),
            ("\uff03CAF\u00c9", [4, 2]),
            (" # cafe\u0301 ", [4, 2]),
            ("strasse", [3]),
            ("STRA\u00dfE", [3]),
            ("stra", []),
        ):
            assert api.ids(hashtag=typed) == expected, typed
            assert command(postgres, "--hashtag", typed) == expected, typed
            assert api.data("/api/v1/counts", hashtag=typed)["meta"]["total"] == 0
    with psycopg.connect(postgres.dsn) as connection:
        (keys,) = connection.execute("select array_agg(tag) from twitter.tweet_hashtags").fetchone() or ([],)
    assert ("r&amp;d" in keys) is is_old


def test_the_newest_observation_of_a_text_is_what_is_found(postgres: Any, tmp_path: Path) -> None:
    """In either order of arrival, and again."""
    older = envelope(
        {"id": str(tweet_id(1)), "text": "temporarily unavailable"}, observed_at="2026-01-01T00:00:00Z"
    )
    newer = envelope({"id": str(tweet_id(1)), "text": "the true words"}, observed_at="2026-01-02T00:00:00Z")
    with served(tmp_path, postgres.reader_dsn) as api:
        for order in ([newer, older], [older], [newer]):
            load(postgres.dsn, *order)
            assert api.ids(words="true") == [1]
            assert api.ids(words="unavailable") == []


def test_long_text_is_searched_instead_of_its_beginning(postgres: Any, tmp_path: Path) -> None:
    """Words beyond the first 280 characters are found, even in texts longer than X allows."""
    long = "word " * 20_000 + "beyond"
    load(
        postgres.dsn,
        envelope({"id": str(tweet_id(1)), "text": "short", "note_tweet": {"text": "a" * 300 + " crema"}}),
        envelope({"id": str(tweet_id(2)), "text": "".join(chr(0x4E00 + n) for n in range(20_000))}),
        envelope({"id": str(tweet_id(3)), "text": long}),
    )
    with served(tmp_path, postgres.reader_dsn) as api:
        assert api.ids(words="crema") == [1]
        assert api.ids(words="\u9f00\u9f01\u9f02") == []
        assert api.ids(words="\u6000\u6001\u6002") == [2]
        assert api.ids(words="word") == [3]


def test_zero_is_an_id(postgres: Any, tmp_path: Path) -> None:
    """Emulators of X count from 0: id 0 of a tweet and a user can be read, listed and used as a cursor."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("insert into twitter.users (id, username) values (0, 'Zero'), (1, 'one')")
        connection.execute(
            "insert into twitter.tweets (id, author_id, text, is_collected) values (0, 0, 'a', true), (1, 1, 'b', true)"
        )
    with served(tmp_path, postgres.reader_dsn) as api:
        assert api.data("/api/v1/tweets/0")["author"] == {"id": "0", "username": "Zero", "name": None}
        assert api.data("/api/v1/users/0")["collected_tweet_count"] == 1
        for path in ("tweets", "users"):
            first = api.data(f"/api/v1/{path}", limit=1)
            rest = api.data(f"/api/v1/{path}", limit=1, cursor=first["meta"]["next_cursor"])
            assert [found["id"] for found in first["data"] + rest["data"]] == ["1", "0"]
            assert rest["meta"]["next_cursor"] is None
        assert [tweet["id"] for tweet in api.data("/api/v1/tweets", author="zero")["data"]] == ["0"]


MANY = 50_000
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "st")]


def stored(numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Texts of twenty words of a vocabulary of some thousands, a few of them with something rare."""
    chance = random.Random(7)
    vocabulary = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(4_000)]
    rare = {
        100: "zyzzyva",
        200: "\U0001f989",
        300: "\u73c8\u7432",
        400: "3 &lt; 4",
        500: "q\u00f8",
        600: "lanterans",
    }
    for number in numbers:
        words = [*chance.choices(vocabulary, k=19), "everywhere", rare.get(number, "")]
        yield tweet_id(number), " ".join(words)


@pytest.fixture(scope="module", params=["before statistics", "with statistics"])
def many(request: pytest.FixtureRequest, module_postgres: Any) -> Any:
    """Fifty thousand tweets, half of them with one hashtag and each with a rule."""
    with psycopg.connect(module_postgres.superuser_dsn, autocommit=True) as owner:
        owner.execute("alter table twitter.tweets set (autovacuum_enabled = off)")
        owner.execute("update pipeline.backfills set below_id = null")
        owner.execute(
            "truncate twitter.tweets, twitter.tweet_texts, twitter.tweet_hashtags, twitter.tweet_rules"
        )
        rows = list(stored(range(MANY)))
        with owner.cursor() as cursor:
            with cursor.copy("copy twitter.tweets (id, author_id, text, is_collected) from stdin") as copy:
                for number, text in rows:
                    copy.write_row((number, number % 500, text, True))
            with cursor.copy("copy twitter.tweet_texts from stdin") as copy:
                for number, text in rows:
                    form = searchable(text)
                    copy.write_row((number, form, trigrams(form), UNKNOWN_VERSION))
        owner.execute(
            "insert into twitter.tweet_hashtags select id, case id % 2 when 0 then 'common' else 'tag' || id end"
            " from twitter.tweets"
        )
        owner.execute("insert into twitter.tweet_rules select id, 'everything' from twitter.tweets")
        if request.param == "with statistics":
            owner.execute("vacuum analyze")
    return module_postgres


READS = """
select relname, seq_scan, coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where schemaname = 'twitter'
"""


@pytest.mark.parametrize(
    ("words", "conditions", "count"),
    [
        ("zyzzyva", {}, 1),
        ("absentword", {}, 0),
        ("lanteran", {}, 1),  # its trigrams are common, it is not
        ("\U0001f989", {}, 1),
        ("\u73c8", {}, 1),
        ("\u73c8\u7432", {}, 1),
        ("3 <", {}, 1),
        ("<", {}, 1),
        ("q\u00f8", {}, 1),
        ("\u00f8", {}, 1),
        ("~", {}, 0),
        ("everywhere", {}, 50),
        ("a", {}, 50),
        ("everywhere absentword", {}, 0),
        ("zyzzyva", {"tags": ["common"]}, 1),
        ("zyzzyva", {"tags": ["absent"]}, 0),
        ("zyzzyva", {"rule": "everything"}, 1),
        ("everywhere", {"author_ids": [999_999]}, 0),
        ("", {}, 50),
        ("", {"author_ids": [7]}, 50),
        ("", {"tags": ["absent"]}, 0),
        ("", {"tags": [f"tag{tweet_id(7)}"]}, 1),
        ("", {"tags": ["common"]}, 50),
        ("", {"tags": ["common", "spelled otherwise"]}, 50),
        ("", {"rule": "everything"}, 50),
        ("", {"rule": "absent"}, 0),
        ("", {"author_ids": []}, 0),
        ("", {"author_ids": [999_999]}, 0),
    ],
)
def test_no_search_scans_or_walks_all_ids(
    many: Any, words: str, conditions: dict[str, Any], count: int
) -> None:
    """For rare, absent, short or common words, a few thousand of fifty thousand rows are read, with or without statistics."""
    asked = Conditions(**conditions)
    with psycopg.connect(many.superuser_dsn) as reader:
        if words:
            found = search.find(reader, search.Words.of(words.split()), asked, 50).ids
        else:
            found = [row[0] for row in search.listed(reader, statement("found"), asked, {"limit": 50})]
            ((_, shown, *_),) = search.listed(reader, LIST, asked, {"limit": 50})
            assert shown == count
        reads = reader.execute(READS).fetchall()
    assert len(found) == count
    assert found == sorted(found, reverse=True)
    filled = ("tweets", "tweet_texts", "tweet_hashtags", "tweet_rules")  # empty tables may be scanned
    scanned = [(table, scans) for table, scans, _ in reads if scans and table in filled]
    assert scanned == []
    # a list of 50 walks at most the newest 2,000, and some candidates whose trigrams are those of the words
    assert {table: rows for table, _, rows in reads if rows > 4_500 and table != "tweet_hashtags"} == {}


def test_pages_of_a_search_follow_each_other(many: Any) -> None:
    """Through the newest and into the index, each tweet once, newest first."""
    seen: list[int] = []
    with psycopg.connect(many.reader_dsn) as reader:
        expected = [i for i, text in stored(range(MANY)) if "q\u00f8" in text or "bana" in text]
        for word in (["bana"], ["q\u00f8"]):
            words, below = search.Words.of(word), None
            while True:
                page = search.find(reader, words, Conditions(below=below), 40)
                seen += page.ids
                if (below := page.next_below) is None:
                    break
    assert sorted(seen) == expected
    assert len(seen) > 100
