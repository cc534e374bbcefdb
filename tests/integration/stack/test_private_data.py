"""No other user can read the data, whatever the umask and earlier files; and each stamp stays with its data."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pymongo import MongoClient

from twitter_pipeline.deployment import roles
from twitter_pipeline.stack import airflow, preflight, settings
from twitter_pipeline.stack.airflow import AirflowProcess
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import RunningServer, free_port


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask under which everything is created readable for everyone."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077]


def test_a_home_from_before_is_closed(tmp_path: Path, careless: None) -> None:
    """Folders that an earlier version or a umask left open are made private before anything starts."""
    home = tmp_path / "home"
    for name in ("secrets", "logs/airflow", "postgres", "kafka", "mongo", "run", "exports", "monitoring"):
        (home / name).mkdir(parents=True)
    preflight.check_home(home, needed_megabytes=0)
    assert open_to_others(home) == []


def test_a_folder_with_other_things_in_it_stays_as_it_is(tmp_path: Path, careless: None) -> None:
    """PIPELINE_HOME may be a folder that others use; only the stack's own files are made private."""
    home = tmp_path / "scratch"
    home.mkdir(mode=0o777)
    (home / "thesis").mkdir(mode=0o755)
    for _ in range(2):
        preflight.check_home(home, needed_megabytes=0)
    assert home.stat().st_mode & 0o777 == 0o777
    assert (home / "thesis").stat().st_mode & 0o777 == 0o755
    assert open_to_others(home / "run") + open_to_others(home / "logs") == []


def test_mongodb_files_are_its_owners_alone(tmp_path: Path, careless: None) -> None:
    """This includes files that were world-readable before, and those created along with its user."""
    old = tmp_path / "data" / "wiredtiger"
    old.mkdir(parents=True, mode=0o755)
    (tmp_path / "data" / "create-user.log").touch(mode=0o644)
    server = SecantusDB(tmp_path / "data", free_port(), "pipeline", "secret")
    with RunningServer(server, tmp_path / "log") as running:
        assert open_to_others(server.data) == []
        running.kill()


def test_a_wiped_mongodb_gets_its_user_again(tmp_path: Path) -> None:
    """The stamp goes with the data, so that a missing user is noticed."""
    server = SecantusDB(tmp_path / "data", free_port(), "pipeline", "secret")
    with RunningServer(server, tmp_path / "log") as running:
        running.kill()
    for file in (server.data / "wiredtiger").iterdir():
        file.unlink()
    with RunningServer(server, tmp_path / "log") as running:
        with MongoClient[dict[str, Any]](server.uri) as client:
            assert client["tweets"]["raw_tweets"].find_one() is None
        running.kill()


def test_postgresql_data_from_before_is_closed(tmp_path: Path) -> None:
    """An open data folder, which PostgreSQL would refuse, is made private and used."""
    server = PostgreSQL(tmp_path / "postgres" / "data", free_port(), "secret", durable=False)
    server.prepare()
    server.data.chmod(0o755)
    server.data.parent.chmod(0o755)
    with RunningServer(server, tmp_path / "log") as running:
        assert server.data.stat().st_mode & 0o777 == server.data.parent.stat().st_mode & 0o777 == 0o700
        running.kill()


class Metadata:
    """A database as Airflow's own, and the commands that were run for it."""

    def __init__(self, server: PostgreSQL, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.name = server, f"airflow_{os.urandom(4).hex()}"
        self.settings = settings.load({"PIPELINE_HOME": str(folder)}, launched=False, root=folder)
        self.settings.logs.mkdir(parents=True)
        self.secrets = Credentials(folder / "secrets")
        self.commands: list[str] = []
        monkeypatch.setattr(airflow, "run_once", lambda words, *_: self.commands.append(" ".join(words[:2])))
        self.create()

    @property
    def dsn(self) -> str:
        return self.server.superuser_dsn(self.name)

    def create(self) -> None:
        with psycopg.connect(self.server.superuser_dsn(), autocommit=True) as superuser:
            roles.create_database(superuser, self.name, "postgres")
        self.execute("create table ab_user (username text); create table job "
                     "(job_type text, state text, latest_heartbeat timestamptz, start_date timestamptz)")  # fmt: skip

    def drop(self) -> None:
        with psycopg.connect(self.server.superuser_dsn(), autocommit=True) as superuser:
            superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def up(self) -> list[str]:
        """What a start runs."""
        self.commands.clear()
        variables = {"AIRFLOW_HOME": str(self.settings.home / "airflow")}
        airflow.migrate_database(self.settings, self.dsn, variables)
        airflow.create_admin(self.settings, self.secrets, self.dsn, variables)
        return list(self.commands)


@pytest.fixture
def metadata(
    postgres_server: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Metadata]:
    made = Metadata(postgres_server, tmp_path, monkeypatch)
    yield made
    made.drop()


def test_a_wiped_database_of_airflow_is_migrated_again(metadata: Metadata) -> None:
    """The database itself records the migration: a second start does nothing, a new database gets everything."""
    assert metadata.up() == ["db migrate", "users create"]
    metadata.execute("insert into ab_user values ('admin')")
    assert metadata.up() == []
    metadata.drop()
    metadata.create()
    assert metadata.up() == ["db migrate", "users create"]


def test_another_version_of_airflow_migrates(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database knows which versions it was migrated to."""
    metadata.up()
    metadata.execute("insert into ab_user values ('admin')")
    monkeypatch.setattr(airflow, "version", lambda _: "99.0")
    assert metadata.up() == ["db migrate"]


def test_people_who_changed_the_users_keep_their_changes(metadata: Metadata) -> None:
    """An admin who was renamed or replaced in the pages is not created again."""
    metadata.execute("insert into ab_user values ('somebody-else')")
    assert metadata.up() == ["db migrate"]


def test_a_heartbeat_of_an_earlier_life_is_none(metadata: Metadata, tmp_path: Path) -> None:
    """Right after kill -9 of everything the dead scheduler's heartbeat is fresh; only the new one's counts."""
    starts = tmp_path / "scheduler.starts"
    process = AirflowProcess("scheduler", "SchedulerJob", (), metadata.dsn, {}, 45, starts)
    metadata.execute("insert into job values ('SchedulerJob', 'running', now(), now() - interval '1 minute')")
    assert not process.ready()
    starts.write_text("2026-01-01T00:00:00+00:00\n")
    assert process.ready()
    metadata.execute("select 1")
    with psycopg.connect(metadata.dsn) as connection:
        now = connection.execute("select now()").fetchone()
    assert now is not None
    starts.write_text(f"2026-01-01T00:00:00+00:00\n{now[0].isoformat()}\n")
    assert not process.ready()
    metadata.execute("insert into job values ('SchedulerJob', 'running', now(), now())")
    assert process.ready()
