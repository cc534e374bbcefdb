"""Housekeeping on real stores: what is old and done is removed, what is still acted on stays."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from twitter_pipeline.housekeeping import log_files, records
from twitter_pipeline.housekeeping.airflow_history import EVENTS, RECORDS, AirflowDatabase, PruneFailed
from twitter_pipeline.stack import airflow

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=91), NOW - timedelta(days=89)


def page(
    connection: psycopg.Connection, name: str, state: str, state_at: datetime, source: str = "search"
) -> None:
    connection.execute(
        "insert into pipeline.pages (request_id, source, endpoint, params, tweet_ids, topic, topic_id, offsets,"
        " observed_at, state, state_at) values (%s, %s, '/x', '{}', '{1}', 'raw-tweets', 't', '{}', %s, %s, %s)",
        (name, source, state_at, state, state_at),
    )


def names(connection: psycopg.Connection, query: str) -> set[str]:
    return {name for (name,) in connection.execute(query.encode())}


def test_pages_that_are_done_are_removed_and_all_others_stay(
    connection: psycopg.Connection, mongo: Any
) -> None:
    """Settled, fetched again or gone, and old; never a page that waits, and never one of an import."""
    for state in ("produced", "settled", "lost", "refetched", "gone"):
        page(connection, f"old {state}", state, OLD)
        page(connection, f"young {state}", state, YOUNG)
    page(connection, "old import", "settled", OLD, source="import")
    assert records.prune(connection, mongo.database, 90, NOW)["pages"] == 3
    kept = names(connection, "select request_id from pipeline.pages")
    assert kept == {
        "old produced",
        "old lost",
        "old import",
        *(f"young {state}" for state in ("produced", "settled", "lost", "refetched", "gone")),
    }


def test_money_of_unknown_outcome_is_never_forgotten(connection: psycopg.Connection, mongo: Any) -> None:
    """An unanswered reservation stays at any age; one that was settled late stays until its settlement is old."""
    connection.cursor().executemany(
        "insert into pipeline.spend (reservation, endpoint, reserved_usd, reserved_at, settled_at)"
        " values (gen_random_uuid(), %s, 1, %s, %s)",
        [("old", OLD, OLD), ("unknown", OLD, None), ("late", OLD, YOUNG), ("young", YOUNG, YOUNG)],
    )
    assert records.prune(connection, mongo.database, 90, NOW)["spend"] == 1
    assert names(connection, "select endpoint from pipeline.spend") == {"unknown", "late", "young"}


def test_the_newest_results_of_each_contract_stay(connection: psycopg.Connection, mongo: Any) -> None:
    """Even of a contract that was not verified for a long time: status keeps showing its last result."""
    connection.cursor().executemany(
        "insert into pipeline.quality_results (run_id, contract, check_name, outcome, checked_at)"
        " values (%s, %s, 'c', 'passed', %s)",
        [
            ("old", "twitter.tweets", OLD),
            ("new", "twitter.tweets", YOUNG),
            ("older", "twitter.users", OLD - timedelta(days=1)),
            ("last", "twitter.users", OLD),
            ("last too", "twitter.users", OLD),
        ],
    )
    assert records.prune(connection, mongo.database, 90, NOW)["quality_results"] == 2
    assert names(connection, "select run_id from pipeline.quality_results") == {"new", "last", "last too"}


def test_requests_to_x_are_removed_by_age(connection: psycopg.Connection, mongo: Any) -> None:
    """In MongoDB, and no other collection is touched."""
    mongo.database.api_requests.insert_many(
        [{"_id": "a", "observed_at": OLD}, {"_id": "b", "observed_at": YOUNG}]
    )
    mongo.database.dead_letters.insert_one({"_id": "c", "observed_at": OLD, "failed_at": OLD})
    assert records.prune(connection, mongo.database, 90, NOW)["api_requests"] == 1
    assert [each["_id"] for each in mongo.database.api_requests.find()] == ["b"]
    assert mongo.database.dead_letters.count_documents({}) == 1


def test_many_rows_are_removed_in_batches_and_a_second_run_finds_none(
    connection: psycopg.Connection, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction is long, and running it twice changes nothing."""
    monkeypatch.setattr(records, "BATCH_ROWS", 10)
    for number in range(25):
        page(connection, str(number), "settled", OLD)
    assert records.prune(connection, mongo.database, 90, NOW)["pages"] == 25
    assert set(records.prune(connection, mongo.database, 90, NOW).values()) == {0}


def test_log_files_are_removed_by_age_with_the_folders_they_leave_empty(tmp_path: Path) -> None:
    """A file that was recently written to stays with its folders, and so does everything that is not a log."""
    old = time.time() - 15 * log_files.DAY_SECONDS
    run = tmp_path / "airflow" / "dag_id=x" / "run_id=old" / "task_id=drain"
    run.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in (run / "attempt=1.log", run / "attempt=2.log.1", outside / "precious.log"):
        path.write_text("four")
        os.utime(path, (old, old))
    fresh = tmp_path / "airflow" / "dag_id=x" / "run_id=new" / "attempt=1.log"
    fresh.parent.mkdir()
    fresh.write_text("four")
    just_made = tmp_path / "airflow" / "dag_id=x" / "run_id=newer"
    just_made.mkdir()
    other = tmp_path / "airflow" / "airflow.cfg"
    other.write_text("")
    (tmp_path / "airflow" / "latest").symlink_to(outside)
    for path in (other, run, run.parent):
        os.utime(path, (old, old))
    assert log_files.prune(tmp_path / "airflow", 14) == (2, 8)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "outside/precious.log",
        "airflow/airflow.cfg",
        "airflow/dag_id=x/run_id=new/attempt=1.log",
    }
    assert not run.parent.exists()
    assert just_made.exists(), "somebody is about to write there"


def test_the_log_of_a_service_stays_at_any_age(tmp_path: Path) -> None:
    """It may be quiet for weeks and still be written to; its rotated part is removed."""
    old = time.time() - 15 * log_files.DAY_SECONDS
    for name in ("metrics.log", "metrics.log.1"):
        (tmp_path / name).write_text("four")
        os.utime(tmp_path / name, (old, old))
    assert log_files.prune_both(str(tmp_path / "airflow"), tmp_path, 14) == {"files": 1, "bytes": 4}
    assert (tmp_path / "metrics.log").exists()


def test_a_missing_folder_is_not_an_error(tmp_path: Path) -> None:
    """Logs may be kept elsewhere."""
    assert log_files.prune(tmp_path / "nowhere", 14) == (0, 0)


@pytest.fixture(scope="module")
def airflow_database(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> AirflowDatabase:
    """Airflow's own tables, migrated by its own command."""
    home = tmp_path_factory.mktemp("airflow")
    with psycopg.connect(postgres_server.superuser_dsn(), autocommit=True) as superuser:
        superuser.execute(sql.SQL("create database airflow_history"))
    address = postgres_server.superuser_dsn("airflow_history").replace(
        "postgresql://", "postgresql+psycopg2://", 1
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    airflow.run_once(
        ["db", "migrate"], environment | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}, home / "log"
    )
    # as in a task, where Airflow replaces the address by one that leads nowhere
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "airflow-db-not-allowed:///"
    return AirflowDatabase(address, environment)


def test_airflows_history_is_removed_by_age(airflow_database: AirflowDatabase) -> None:
    """Old runs and events are removed; the newest scheduled run of a Dag and every doorbell stay."""
    dsn = airflow_database.address.replace("postgresql+psycopg2://", "postgresql://", 1)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into dag_bundle (name, active) values ('dags-folder', true)")
        connection.execute(
            "insert into dag (dag_id, is_paused, is_stale, bundle_name, max_active_tasks,"
            " max_consecutive_failed_dag_runs, has_task_concurrency_limits, has_import_errors, timetable_type,"
            " partition_mapper_info)"
            " values ('tweet_landing', false, false, 'dags-folder', 16, 0, false, false, '', '{}')"
        )
        connection.cursor().executemany(
            "insert into dag_run (dag_id, run_id, run_type, state, start_date, run_after, log_template_id, clear_number)"
            " values ('tweet_landing', %(id)s, %(type)s, 'success', %(at)s, %(at)s, null, 0)",
            [
                {"id": "old", "type": "asset_triggered", "at": OLD},
                {"id": "young", "type": "asset_triggered", "at": YOUNG},
            ],
        )
        connection.execute(
            'insert into asset (id, name, uri, "group", extra, created_at, updated_at)'
            " values (1, 'a', 'a', 'asset', '{}', now(), now())"
        )
        connection.cursor().executemany(
            "insert into asset_event (asset_id, extra, source_map_index, timestamp) values (1, '{}', -1, %s)",
            [(OLD,), (OLD,), (YOUNG,)],
        )
        connection.execute(
            "insert into trigger (classpath, kwargs, created_date) values ('a.doorbell', '{}', %s)", (OLD,)
        )
        before = NOW - timedelta(days=90)
        assert airflow_database.prune(EVENTS, before) == 2
        assert airflow_database.prune(RECORDS, before) >= 1
        left = "select run_id from dag_run"
        assert [run for (run,) in connection.execute(left)] == ["young"]
        assert connection.execute("select count(*) from asset_event").fetchone() == (1,)
        assert connection.execute("select count(*) from trigger").fetchone() == (1,)


def test_airflows_error_is_shown_without_the_password() -> None:
    """A database that does not answer is an error with the end of the command's output and no secret in it."""
    away = AirflowDatabase("postgresql+psycopg2://airflow:canary@127.0.0.1:1/airflow")
    with pytest.raises(PruneFailed) as failed:
        away.prune(EVENTS, NOW)
    assert "canary" not in str(failed.value) + repr(away)
    assert "127.0.0.1" in str(failed.value)
