"""Contracts: one for every table, all of them hold for what the pipeline makes, and a forged row is found."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from twitter_pipeline.quality.contracts import ContractUnusable, names, record, seconds_since_a_check, verify
from twitter_pipeline.streaming import cursors

from ..api.conftest import load, observation, tweet_id

SODA = Path(__file__).parents[3] / "soda"


def failed(dsn: str, name: str) -> set[str]:
    return {check.check_name for check in verify(SODA, name, dsn) if not check.is_good}


def test_every_table_has_a_contract_and_every_contract_a_table(postgres: Any) -> None:
    """Named like the table, over both schemas."""
    with psycopg.connect(postgres.reader_dsn) as connection:
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema in ('twitter', 'pipeline')"
        ).fetchall()
    assert sorted(name for (name,) in tables) == names(SODA)


@pytest.fixture(scope="module")
def filled(module_postgres: Any) -> Any:
    """A warehouse with tweets in it, loaded as the processing drain does."""
    with psycopg.connect(module_postgres.dsn, autocommit=True) as connection:
        cursors.declare(connection, "landing", "raw-tweets", "t", {0: 0})
        connection.execute("update pipeline.cursors set next_offset = 40")
    load(
        module_postgres.dsn,
        *(
            observation(number, referenced_tweets=[{"type": "quoted", "id": str(tweet_id(0))}])
            for number in range(1, 40)
        ),
    )
    return module_postgres


@pytest.mark.parametrize("name", names(SODA))
def test_what_the_pipeline_makes_fulfils_its_contract(filled: Any, name: str) -> None:
    """Columns and types are those of the migrations, and every check passes on loaded tweets."""
    checks = verify(SODA, name, filled.reader_dsn)
    assert [str(check) for check in checks if not check.is_good] == []
    (rows,) = [
        check.measured
        for check in checks
        if check.check_name == "row_count" or "ow count" in check.check_name
    ]
    with psycopg.connect(filled.superuser_dsn) as connection:
        schema = checks[0].contract
        assert connection.execute(f"select count(*) from {schema}".encode()).fetchone() == (rows,)


@pytest.mark.parametrize(
    ("name", "forged", "check"),
    [
        ("tweets", "update twitter.tweets set like_count = -5 where id = %s", "invalid"),
        (
            "tweets",
            "update twitter.tweets set created_at = now() + interval '3 days' where id = %s",
            "no tweet is from the future",
        ),
        ("tweets", "update twitter.tweets set author_id = 77 where id = %s", "every author is a user"),
        (
            "tweet_hashtags",
            "update twitter.tweet_hashtags set tag = 'unknown' where tweet_id = %s",
            "every tag is a hashtag",
        ),
        ("tweet_hashtags", "delete from twitter.tweets where id = %s", "every tweet_id is a tweet"),
        (
            "tweet_references",
            "update twitter.tweet_references set type = 'liked' where tweet_id = %s",
            "invalid",
        ),
        (
            "cursors",
            "update pipeline.cursors set next_offset = next_offset + %s where stage = 'transform'",
            "transform is not ahead of landing",
        ),
        (
            "observations",
            "delete from twitter.tweets where id = %s",
            "every tweet that was seen is there or was removed",
        ),
        (
            "hashtags",
            "alter table twitter.hashtags alter column first_used_at type date using (%s, null)::record is null",
            "schema",
        ),
    ],
)
def test_a_forged_row_is_found(postgres: Any, name: str, forged: str, check: str) -> None:
    """The check that fails is the one that speaks of it."""
    load(postgres.dsn, observation(1, referenced_tweets=[{"type": "quoted", "id": str(tweet_id(0))}]))
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        if check == "schema":
            superuser.execute("alter table twitter.hashtags drop column first_used_at")
        else:
            superuser.execute(
                forged.encode(), (tweet_id(1) if "where id" in forged or "tweet_id =" in forged else 5,)
            )
    found = failed(postgres.reader_dsn, name)
    assert any(check in each.lower() for each in found), found


def test_results_are_kept_with_their_history(postgres: Any) -> None:
    """Each run adds its own; the newest tells when quality was looked at last."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        assert seconds_since_a_check(connection) == float("inf")
        for run in ("first", "second"):
            record(connection, run, verify(SODA, "tombstones", postgres.reader_dsn))
        assert seconds_since_a_check(connection) < 60
        kept = connection.execute(
            "select run_id, count(*) from pipeline.quality_results where contract = 'pipeline.tombstones' group by 1"
        ).fetchall()
    assert dict(kept)["first"] == dict(kept)["second"] > 2


def test_what_cannot_be_asked_raises_and_shows_no_password(postgres: Any, tmp_path: Path) -> None:
    """A database that is away, a contract that is not there, one that is no contract."""
    with pytest.raises(ContractUnusable) as away:
        verify(SODA, "tweets", "postgresql://pipeline_reader:canary-word@127.0.0.1:1/tweets")
    assert "canary-word" not in str(away.value)
    with pytest.raises(ContractUnusable, match="no contract 'likes'"):
        verify(SODA, "likes", postgres.reader_dsn)
    (tmp_path / "tweets.yml").write_text("dataset: elsewhere\n")
    with pytest.raises(ContractUnusable, match="dataset must be"):
        verify(tmp_path, "tweets", postgres.reader_dsn)
