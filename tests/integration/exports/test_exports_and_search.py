"""Exports and searches of a real database."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from twitter_pipeline.exports.command import export, search, search_index
from twitter_pipeline.exports.rows import COLUMNS, Rows
from twitter_pipeline.serving.columns import EXPORTED, Kind
from twitter_pipeline.serving.selection import Selection

BASE = 1_600_000_000_000_000_000
VERSION = "00061e1b-8a3c-4801-0100-000000000000"
GUARDED = [column.name for column in EXPORTED if column.kind in {Kind.TEXT, Kind.TEXTS}]
TEXTS_OF_TWEETS = {
    1: "=1+1",
    2: "+1",
    3: "-1",
    4: "@bob hello",
    5: "\tx",
    6: "\rx",
    7: "'quoted'",
    8: 'commas, "quotes"\nand\r\nlines',
    9: "",
    10: None,
    11: "100% of_them \\ naïve 👩\u200d💻",
    12: "\nfirst line empty",
}


def fill(connection: psycopg.Connection) -> None:
    """Twelve collected tweets with awkward texts, one that was only included, one removed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into twitter.users (id, username, name) values (7, 'Ann', '=Ann'), (8, 'bob', 'Bob')"
        )
        cursor.executemany(
            "insert into twitter.tweets (id, author_id, created_at, text, like_count, metrics_version, possibly_sensitive,"
            " is_collected) values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (BASE + n, 7 + n % 2, f"2026-01-{n:02}T12:00:00.25+02:00", text, n, VERSION, n == 1, True)
                for n, text in TEXTS_OF_TWEETS.items()
            ]
            + [
                (BASE + 20, 7, None, "included", None, None, None, False),
                (BASE + 21, 7, None, "removed", None, None, None, True),
            ],
        )
        cursor.execute(
            "insert into pipeline.tombstones (tweet_id, reason) values (%s, 'deleted')", (BASE + 21,)
        )
        cursor.execute(
            "insert into twitter.tweet_hashtags values (%(id)s, 'zebra', 0, 6), (%(id)s, 'ant', 8, 12), (%(id)s, 'long', null, null)",
            {"id": BASE + 4},
        )
        cursor.execute("insert into twitter.tweet_mentions values (%s, 'bob', 8, 0, 4)", (BASE + 4,))
        cursor.execute(
            "insert into twitter.tweet_urls (tweet_id, url, expanded_url) values (%s, 'https://t.co/1', 'https://example.com/')",
            (BASE + 4,),
        )
        cursor.execute("insert into twitter.tweet_references values (%s, 'replied_to', 99)", (BASE + 4,))
        cursor.execute(
            "insert into twitter.tweet_rules values (%(a)s, 'zoo'), (%(a)s, 'birds'), (%(b)s, 'zoo')",
            {"a": BASE + 4, "b": BASE + 5},
        )


@pytest.fixture(scope="module")
def run(module_postgres: Any) -> Any:
    with psycopg.connect(module_postgres.dsn, autocommit=True) as connection:
        fill(connection)
        connection.execute("update pipeline.backfills set below_id = 9223372036854775807")

    def call(command: Any, *arguments: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIPELINE_POSTGRES_READER_DSN", module_postgres.reader_dsn)
            patch.setenv("PIPELINE_POSTGRES_DSN", module_postgres.dsn)
            return CliRunner().invoke(command, list(arguments), catch_exceptions=False)

    return call


@pytest.fixture
def as_people_read(postgres: Any) -> Any:
    """Three texts as X escapes them, and what `export` makes of them."""
    texts = {
        1: "R&amp;D at AT&amp;T is 3 &lt; 4 &amp;amp; so",
        2: "&lt;b&gt; &quot;é&quot; &#39; &AMP; &amp",
        3: "&amp;lt; cafe\u0301",
    }
    with psycopg.connect(postgres.dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into twitter.tweets (id, text, is_collected) values (%s, %s, true)", list(texts.items())
        )

    def call(*arguments: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIPELINE_POSTGRES_READER_DSN", postgres.reader_dsn)
            return CliRunner().invoke(export, list(arguments), catch_exceptions=False)

    return texts, call


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout_bytes.decode(), newline="")))


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout_bytes.decode().split("\n")[:-1]]


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [int(tweet["id"]) - BASE for tweet in found]


def test_columns_are_one_list(module_postgres: Any) -> None:
    """The documented columns are those of the query, in its order."""
    with psycopg.connect(module_postgres.reader_dsn) as connection:
        rows = Rows.of(connection, Selection())
        described = connection.execute(rows.query, rows.values).description or []
    assert tuple(column.name for column in described) == COLUMNS


def test_jsonl(run: Any) -> None:
    """One object per tweet, by ascending id, with ids as strings, lists as lists and texts unchanged."""
    found = objects(run(export, "--format", "jsonl"))
    assert numbers(found) == list(range(1, 13))
    assert {
        number: tweet["text"] for number, tweet in zip(numbers(found), found, strict=True)
    } == TEXTS_OF_TWEETS
    assert found[3] == {
        **dict.fromkeys(COLUMNS),
        "id": str(BASE + 4),
        "created_at": "2026-01-04T10:00:00.250Z",
        "author_id": "7",
        "author_username": "Ann",
        "author_name": "=Ann",
        "text": "@bob hello",
        "replied_to_tweet_id": "99",
        "hashtags": ["zebra", "ant", "long"],
        "mentions": ["bob"],
        "urls": ["https://example.com/"],
        "media_keys": [],
        "possibly_sensitive": False,
        "like_count": 4,
        "metrics_observed_at": found[3]["metrics_observed_at"],
        "rules": ["birds", "zoo"],
        "text_unescaped": "@bob hello",
    }
    assert found[3]["metrics_observed_at"].endswith("Z")


def test_csv_is_rfc_4180(run: Any) -> None:
    """Lines end in CRLF, line breaks inside a text stay as they are, and every row has every column."""
    result = run(export, "--format", "csv")
    body = result.stdout_bytes.decode()
    assert body.startswith("id,created_at,author_id,")
    assert body.endswith("\r\n")
    assert 'commas, ""quotes""\nand\r\nlines' in body
    found = rows(result)
    assert numbers(found) == list(range(1, 13))
    assert all(None not in row and None not in row.values() for row in found)
    assert found[3]["hashtags"] == "zebra ant long"
    assert found[0]["possibly_sensitive"] == "true"


def test_no_cell_is_a_formula(run: Any) -> None:
    """No text cell begins with what a spreadsheet runs, and one leading apostrophe taken away gives the text back."""
    found = rows(run(export, "--format", "csv"))
    for row in found:
        assert not any(row[column].startswith(tuple("=+-@\t\r\n\0")) for column in GUARDED)
    undone = {int(row["id"]) - BASE: row["text"].removeprefix("'") for row in found}
    assert undone == {number: text or "" for number, text in TEXTS_OF_TWEETS.items()}
    assert found[0]["author_name"] == "Bob"
    assert found[1]["author_name"] == "'=Ann"


def test_text_as_people_read_it(as_people_read: Any) -> None:
    """`text` is as X sends it; `text_unescaped` is unescaped once, in NFC."""
    texts, call = as_people_read
    found = objects(call("--format", "jsonl"))
    assert [tweet["text"] for tweet in found] == list(texts.values())
    assert [tweet["text_unescaped"] for tweet in found] == [
        "R&D at AT&T is 3 < 4 &amp; so",
        "<b> &quot;é&quot; &#39; &AMP; &amp",
        "&lt; caf\u00e9",
    ]
    assert [row["text_unescaped"] for row in rows(call("--format", "csv"))] == [
        tweet["text_unescaped"] for tweet in found
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--rule", "zoo"), [4, 5]),
        (("--rule", "none"), []),
        (("--author", "ANN"), [2, 4, 6, 8, 10, 12]),
        (("--author", "@ann", "--rule", "zoo"), [4]),
        (("--since", "2026-01-11"), [11, 12]),
        (("--until", "2026-01-02T10:00:00.25Z"), [1]),
        (("--since", "2026-01-02T12:00:00.25+02:00", "--until", "2026-01-03"), [2]),
    ],
)
def test_filters(run: Any, options: tuple[str, ...], expected: list[int]) -> None:
    """Rule, author in any case, and a time window that includes its beginning and not its end."""
    assert numbers(objects(run(export, "--format", "jsonl", *options))) == expected


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_files(run: Any, tmp_path: Path, file_format: str) -> None:
    """A file gets the same bytes as standard output, each time, and is replaced only by --force."""
    file = tmp_path / "out"
    assert run(export, "--format", file_format, "--output", str(file)).exit_code == 0
    first = file.read_bytes()
    assert first == run(export, "--format", file_format).stdout_bytes
    refused = run(export, "--format", file_format, "--output", str(file))
    assert refused.exit_code == 2
    assert "--force replaces it" in refused.stderr
    assert run(export, "--format", file_format, "--output", str(file), "--force").exit_code == 0
    assert file.read_bytes() == first
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_misuse(run: Any, tmp_path: Path) -> None:
    """Invalid options are refused by name before anything is queried or written."""
    for options in (
        ("--since", "yesterday"),
        ("--since", "2026-01-01T00:00:00"),
        ("--since", "2026-02-01", "--until", "2026-01-01"),
        ("--author", "' or 1=1 --"),
        ("--rule", "No; drop table"),
        ("--output", str(tmp_path / "no" / "out")),
    ):
        assert run(export, "--format", "csv", *options).exit_code == 2, options
    assert run(search, "--limit", "0").exit_code == 2
    assert run(search, "--limit", "1001").exit_code == 2
    assert run(search, "a\x00b").exit_code == 2


def found_by(result: Result) -> list[int]:
    assert result.exit_code == 0, result.stderr
    return numbers(json.loads(result.stdout)["tweets"])


SEARCHES = pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (("HELLO", "bob"), [4]),
        (("hello", "absent"), []),
        (("100%",), [11]),
        (("0%f",), []),
        (("of_them",), [11]),
        (("ofxthem",), []),
        (("\\",), [11]),
        (("' or '1'='1",), []),
        (("NAÏVE",), [11]),
        (("--hashtag", "#ZEBRA"), [4]),
        (("--author", "bob", "--limit", "2"), [11, 9]),
        (("--rule", "zoo"), [5, 4]),
        (("--before", str(BASE + 3)), [2, 1]),
        (("included",), []),
        (("removed",), []),
        (("first line", "EMPTY"), [12]),
        (("\n",), [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (("1", "--author", "\uff20ann "), [2]),
    ],
)


@SEARCHES
def test_search(run: Any, arguments: tuple[str, ...], expected: list[int]) -> None:
    """All words in any case, taken literally, newest first; only collected tweets that were not removed."""
    assert found_by(run(search, "--json", *arguments)) == expected


def test_tweets_of_an_older_version_are_made_searchable_by_index(run: Any) -> None:
    """`search-index fill` reports how many, and later searches give the same results."""
    before = found_by(run(search, "--json", "hello"))
    done = run(search_index, "fill")
    assert (done.exit_code, done.stdout) == (
        0,
        "13 tweets and 0 hashtags added to the index; none are left\n",
    )
    assert found_by(run(search, "--json", "hello")) == before == [4]
    assert run(search_index, "fill").stdout.startswith("0 tweets")


@SEARCHES
def test_search_by_index(run: Any, arguments: tuple[str, ...], expected: list[int]) -> None:
    """What was found before the index was filled, and nothing else."""
    test_search(run, arguments, expected)


def test_search_pages(run: Any) -> None:
    """Page after page by id gives every tweet once."""
    seen, before = [], ()
    while True:
        result = run(search, "--json", "--limit", "5", *before)
        seen += found_by(result)
        if (following := json.loads(result.stdout)["next_before"]) is None:
            break
        before = ("--before", following)
    assert seen == list(range(12, 0, -1))


def test_search_prints_a_table(run: Any) -> None:
    """Without --json there is one line per tweet, and a hint on standard error if there is more."""
    result = run(search, "--limit", "2")
    assert [line.split()[3] for line in result.stdout.splitlines()[1:]] == [str(BASE + 12), str(BASE + 11)]
    assert f"--before {BASE + 11}" in result.stderr
    assert "no tweets found" in run(search, "absent").stderr
