"""Contracts: every table has one, all of them hold for what the pipeline loads, and a forged row is found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from support.envelopes import envelope
from support.loading import load, observation, tweet_id
from twitter_pipeline.health.report import NEWEST_OF_EACH_CONTRACT
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.quality.contracts import (
    DUE_AFTER_NEW_TWEETS,
    Checked,
    ContractUnusable,
    by_schema,
    due,
    names,
    record,
    verify,
)
from twitter_pipeline.quality.verification import ContractFailed, verify_and_record
from twitter_pipeline.streaming import cursors

SODA = Path(__file__).parents[3] / "soda"


def failed(dsn: str, name: str) -> set[str]:
    return {check.check_name for check in verify(SODA, name, dsn) if not check.is_good}


def test_every_table_has_a_contract_and_every_contract_a_table(postgres: Any) -> None:
    """Named like the table, in both schemas."""
    with psycopg.connect(postgres.reader_dsn) as connection:
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema in ('twitter', 'pipeline') and table_type = 'BASE TABLE'"
        ).fetchall()
    assert sorted(name for (name,) in tables) == names(SODA)


@pytest.fixture(scope="module")
def filled(module_postgres: Any) -> Any:
    """A warehouse with tweets, loaded as the transform drain does."""
    with psycopg.connect(module_postgres.dsn, autocommit=True) as connection:
        cursors.declare(connection, "land", "raw-tweets", "t", {0: 0})
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
def test_loaded_tables_fulfil_their_contracts(filled: Any, name: str) -> None:
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


ONE = 2000000000000000001  # tweet_id(1), as SQL has it
FORGED = {
    "tweets": {
        "invalid": f"update twitter.tweets set like_count = -5 where id = {ONE}",
        "no tweet is older than the service": f"update twitter.tweets set created_at = '2005-12-31Z' where id = {ONE}",
        "the tables of entities hold what the set says": f"delete from twitter.tweet_hashtags where tweet_id = {ONE}",
        "no tweet is from the future": f"update twitter.tweets set created_at = now() + interval '3 days' where id = {ONE}",
        "every author is a user": f"update twitter.tweets set author_id = 77 where id = {ONE}",
        "a time that was derived is that of the id": f"update twitter.tweets set is_created_at_derived = true where id = {ONE}",
    },
    "users": {"invalid": "update twitter.users set followers_count = -1 where id = 1"},
    "tweet_texts": {
        "every tweet_id is a tweet": f"delete from twitter.tweets where id = {ONE}",
        "every text can be searched or is still to be filled": f"delete from twitter.tweet_texts where tweet_id = {ONE}",
        "texts are in the form that searches compare": "update twitter.tweet_texts set trigrams = ''",
    },
    "tweet_rules": {
        "every tweet of a rule is a collected tweet": "insert into twitter.tweet_rules values (77, 'x')"
    },
    "hashtags": {
        "tags are in normal form": "insert into twitter.hashtags values ('#x', '#x')",
        "schema": "alter table twitter.hashtags drop column first_used_at",
    },
    "tweet_hashtags": {
        "every tag is a hashtag": "update twitter.tweet_hashtags set tag = 'unknown'",
        "every tweet_id is a tweet": "update twitter.tweet_hashtags set tweet_id = 77",
        "positions run forward": "update twitter.tweet_hashtags set start_index = 5, end_index = 2",
        "a hashtag stands where the text has one": "update twitter.tweet_hashtags set start_index = 0, end_index = 2",
    },
    "tweet_mentions": {
        "every tweet_id is a tweet": "insert into twitter.tweet_mentions values (77, 'bob', 1, 0, 4)",
        "positions run forward": f"insert into twitter.tweet_mentions values ({ONE}, 'bob', 1, -1, 4)",
        "usernames are in lower case": f"insert into twitter.tweet_mentions values ({ONE}, 'Bob', 1, 0, 4)",
    },
    "tweet_urls": {
        "every tweet_id is a tweet": "insert into twitter.tweet_urls (tweet_id, url) values (77, 'https://example.org')",
        "positions run forward": f"insert into twitter.tweet_urls (tweet_id, url, start_index) values ({ONE}, 'x', 1)",
        "a link leads somewhere": f"insert into twitter.tweet_urls (tweet_id, title) values ({ONE}, 'nowhere')",
    },
    "tweet_references": {
        "invalid": "update twitter.tweet_references set type = ''",
        "every tweet_id is a tweet": "insert into twitter.tweet_references values (77, 'quoted', 1)",
        "no tweet refers to itself": f"insert into twitter.tweet_references values ({ONE}, 'quoted', {ONE})",
    },
    "tweet_metrics": {
        "every tweet_id is a tweet": "update twitter.tweet_metrics set tweet_id = 77",
        "the newest snapshot is what the tweet shows": f"update twitter.tweets set like_count = 999 where id = {ONE}",
    },
    "cursors": {"transform is not ahead of landing": "update pipeline.cursors set next_offset = 5"},
    "observations": {
        "every tweet that was seen is there or was removed": f"delete from twitter.tweets where id = {ONE}",
        "every topic has a name": "delete from pipeline.topics",
        "every row stands for an offset": "update pipeline.observations set offsets = 0",
    },
    "spend": {
        "no request cost more than was reserved for it": "insert into pipeline.spend (reservation, endpoint, reserved_usd, actual_usd)"
        " values (gen_random_uuid(), '/', 1, 2)"
    },
    "rules": {
        "a lease has a holder": "insert into pipeline.rules (name, kind, spec, leased_by) values ('r', 'search', '{\"query\": \"q\"}', 'me')"
    },
    "checkpoints": {
        "an unfinished poll knows both of its ends": "insert into pipeline.rules (name, kind, spec) values ('r', 'search', '{\"query\": \"q\"}');"
        " insert into pipeline.checkpoints (rule, poll_until_id) values ('r', 5)"
    },
    "accounts": {
        "an account without an id says why": "insert into pipeline.accounts values ('bob', null, now(), null)",
        "a state has a beginning and a reason": "insert into pipeline.accounts (username, user_id, resolved_at, state)"
        " values ('bob', 7, now(), 'gone')",
    },
    "pages": {
        "a page has tweets and their places in the log": "insert into pipeline.pages (request_id, source, endpoint, params,"
        " tweet_ids, topic, topic_id, offsets, observed_at) values ('r', 'search', '/', '{}', '{}', 't', 't', '{}', now())"
    },
    "gaps": {
        "a window ends after it begins": "insert into pipeline.gaps (kind, since_id, until_id, reason)"
        " values ('window', 9, 5, 'forged')",
        "a gap of offsets has an extent": "insert into pipeline.gaps (kind, from_offset, to_offset, reason)"
        " values ('offsets', 5, 5, 'forged')",
    },
    "accounted": {
        "every offset that transform passed is accounted for": "insert into pipeline.accounted"
        " (topic_id, partition, accounted_to, unaccounted_count, unaccounted) values ('t', 0, 0, 1, '{7}')",
        "nothing is accounted for that transform has not passed": "insert into pipeline.accounted"
        " (topic_id, partition, accounted_to) select topic_id, partition, 99 from pipeline.cursors where stage = 'transform'",
    },
}


def test_every_check_with_its_own_query_is_tried() -> None:
    """A check that never failed in a test proves nothing."""
    written = {
        (name, check["failed_rows"]["name"])
        for name in names(SODA)
        for check in yaml.safe_load((SODA / f"{name}.yml").read_text())["checks"]
        if "failed_rows" in check
    }
    assert len(written) > 20
    assert written <= {(name, check) for name, checks in FORGED.items() for check in checks}


@pytest.mark.parametrize(
    ("name", "check"), [(name, check) for name, checks in FORGED.items() for check in checks]
)
def test_a_forged_row_is_found(postgres: Any, name: str, check: str) -> None:
    """The check that fails is the one about it."""
    load(postgres.dsn, observation(1, referenced_tweets=[{"type": "quoted", "id": str(tweet_id(0))}]))
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("update pipeline.cursors set next_offset = 0")  # landing has none here
        assert not any(check in each.lower() for each in failed(postgres.reader_dsn, name))
        superuser.execute(FORGED[name][check].encode())
    found = failed(postgres.reader_dsn, name)
    assert any(check in each.lower() for each in found), found


LEGITIMATE = {
    "tweets": envelope({"id": "9100000000000000000", "text": "an emulator's id, far in the future"}),
    "hashtags": envelope({"id": "5", "entities": {"hashtags": [{"tag": "#Sign"}, {"tag": "#"}]}}),
    "tweet_references": envelope({"id": "6", "referenced_tweets": [{"type": "reposted", "id": "7"}]}),
    "users": envelope({"id": "8", "author_id": "9"}, observed_at=None),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_unusual_data_from_others_breaks_no_contract(postgres: Any, name: str) -> None:
    """Small and strange ids, no author, no times, new types: they load, and no contract fails."""
    load(postgres.dsn, LEGITIMATE[name])
    assert failed(postgres.reader_dsn, name) == set()


def test_results_are_kept_with_their_history(postgres: Any) -> None:
    """Each run adds its results; a contract is due again after some minutes."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        assert due(connection, SODA, 30) == names(SODA)
        for run in ("first", "second"):
            record(connection, run, verify(SODA, "tombstones", postgres.reader_dsn))
        assert due(connection, SODA, 30) == [name for name in names(SODA) if name != "tombstones"]
        kept = "select run_id, count(*) from pipeline.quality_results where contract = 'pipeline.tombstones' group by 1"
        counted = dict(connection.execute(kept).fetchall())
        assert counted["first"] == counted["second"] > 2
        connection.execute("update pipeline.quality_results set checked_at = now() - interval '31 minutes'")
        assert due(connection, SODA, 30) == names(SODA)


def test_contracts_ring_only_after_new_tweets_and_not_too_often(postgres: Any) -> None:
    """Nothing loaded, nothing loaded since, or verified just now: no run is started to find that out."""
    parameters = {"contracts": ["tombstones", "tweets"], "minutes": 30}

    def ringing(connection: psycopg.Connection) -> list[str]:
        return [name for name, _ in connection.execute(DUE_AFTER_NEW_TWEETS, parameters).fetchall()]

    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        assert ringing(connection) == [], "nothing was ever loaded"
        connection.execute(
            "insert into pipeline.cursors (stage, topic, topic_id, partition) values ('transform', 'raw-tweets', 't', 0)"
        )
        assert ringing(connection) == ["tombstones", "tweets"]
        record(connection, "run", [Checked("twitter.tweets", "a check", None, "passed", 1.0, None)])
        assert ringing(connection) == ["tombstones"]
        connection.execute("update pipeline.quality_results set checked_at = now() - interval '31 minutes'")
        assert ringing(connection) == ["tombstones", "tweets"]
        connection.execute("update pipeline.cursors set updated_at = now() - interval '1 hour'")
        assert ringing(connection) == ["tombstones"], "nothing was loaded since"


def test_the_newest_verification_of_a_contract_counts_even_within_one_run(postgres: Any) -> None:
    """A task that was cleared and passed leaves no failure behind; one that could not verify is not a success."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        bad = Checked("twitter.tweets", "a check", None, "failed", 1.0, None)
        for outcome, expected in (("failed", 1), ("passed", 0), ("not_evaluated", 1)):
            record(connection, "one run", [replace(bad, outcome=outcome), replace(bad, outcome="passed")])
            found = connection.execute(NEWEST_OF_EACH_CONTRACT).fetchall()
            assert [(contract, failures) for contract, failures, _ in found] == [("twitter.tweets", expected)]


def test_a_contract_that_could_not_be_verified_is_recorded_as_such(postgres: Any) -> None:
    """So it is reported, and not verified again with every new tweet."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        with pytest.raises(ContractUnusable):
            verify_and_record(
                connection,
                SODA,
                ["tweets"],
                "postgresql://pipeline_reader:x@127.0.0.1:1/tweets",
                "run",
                Metrics(None),
            )
        kept = connection.execute("select contract, outcome from pipeline.quality_results").fetchall()
    assert kept == [("twitter.tweets", "not_evaluated")]


def test_a_contract_that_cannot_be_verified_raises_without_the_password(
    postgres: Any, tmp_path: Path
) -> None:
    """A database that is down, a contract that does not exist, a file that is not a contract."""
    with pytest.raises(ContractUnusable) as away:
        verify(SODA, "tweets", "postgresql://pipeline_reader:canary-word@127.0.0.1:1/tweets")
    assert "canary-word" not in str(away.value)
    with pytest.raises(ContractUnusable, match="no contract 'likes'"):
        verify(SODA, "likes", postgres.reader_dsn)
    (tmp_path / "tweets.yml").write_text("dataset: elsewhere\n")
    with pytest.raises(ContractUnusable, match="dataset must be"):
        verify(tmp_path, "tweets", postgres.reader_dsn)


def test_one_failed_contract_hides_no_other(postgres: Any) -> None:
    """All of a group are verified and recorded, and all failures are named together."""
    load(postgres.dsn, observation(1))
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("update twitter.tweets set like_count = -5, author_id = 77")
        superuser.execute("insert into twitter.hashtags values ('#x', '#x')")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        group = ["hashtags", "tweets", "users"]
        with pytest.raises(ContractFailed) as failed_together:
            verify_and_record(connection, SODA, group, postgres.reader_dsn, "run", Metrics(None))
        kept = connection.execute(
            "select distinct contract from pipeline.quality_results order by 1"
        ).fetchall()
    assert [contract for (contract,) in kept] == [f"twitter.{name}" for name in group]
    for word in (
        "twitter.hashtags: tags are in normal form",
        "twitter.tweets.like_count",
        "every author is a user",
    ):
        assert word in str(failed_together.value)


def test_contracts_are_grouped_by_schema() -> None:
    """Two groups for all of them; an unknown name is refused with a list of the known ones."""
    groups = by_schema(SODA, names(SODA))
    assert sorted(name for group in groups for name in group) == names(SODA)
    assert len(groups) == 2
    with pytest.raises(ContractUnusable, match="no contract 'likes'"):
        by_schema(SODA, ["likes"])
