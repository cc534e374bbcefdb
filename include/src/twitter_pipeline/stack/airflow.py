"""Airflow as four processes of the stack, with all of its settings in this one place.

Airflow runs as commands and is queried over HTTP and through its database; it is never imported here. If a value
differs from Airflow's default, its line says why; the measurements behind it are in docs/decisions.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK, StackError, tail
from twitter_pipeline.stack.settings import LauncherSettings

ADMIN = "admin"
# their messages about every run, task and request would be hundreds of lines a minute; warnings are still logged
QUIET_LOGGERS = (
    "airflow.api_fastapi.execution_api",
    "airflow.dag_processing",
    "airflow.executors.local_executor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.models.dag",
    "airflow.sdk.api.client",
    "airflow.serialization.definitions",
    "http.access",
    "supervisor",
    "task",
)


def command(*words: str) -> list[str]:
    """An Airflow command from this installation."""
    return [sys.executable, "-m", "airflow", *words]


def parallelism() -> int:
    """How many tasks run at once: more than there are cores, since drains mostly wait; each costs memory."""
    return 2 * (os.cpu_count() or 1) + 4


def environment(
    settings: LauncherSettings,
    secrets: Credentials,
    metadata_dsn: str,
    connections: Mapping[str, str],
    statsd_port: int | None,
) -> dict[str, str]:
    """The environment of every Airflow process, including secrets; `connections` are JSON by connection id.

    Airflow's own metrics go to `statsd_port` on this machine; if it is None, they are off.
    """
    port = settings.port("airflow")
    home = settings.home / "airflow"
    options: dict[str, dict[str, object]] = {
        "core": {
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "executor": "LocalExecutor",
            "parallelism": parallelism(),  # the default of 32 forks 32 workers
            "dags_folder": settings.clone / "dags",
            "plugins_folder": settings.clone / "plugins",
            "load_examples": False,
            "dags_are_paused_at_creation": False,  # a paused Dag has no watcher and misses its doorbell
            "fernet_key": secrets["airflow_fernet_key"],
            "execution_api_server_url": f"http://{LOOPBACK}:{port}/execution/",
            "test_connection": "Enabled",  # the button in the connection form; our test only reads
            "hostname_callable": "socket.gethostname",  # the default asks DNS
            "dagbag_import_timeout": 120,  # 30 s is not enough for the imports on a busy machine
        },
        "database": {
            "sql_alchemy_conn": metadata_dsn.replace("postgresql://", "postgresql+psycopg2://", 1),
            "load_default_connections": False,
        },
        "api": {
            "host": LOOPBACK,
            "port": port,
            "base_url": f"http://{LOOPBACK}:{port}",
            "secret_key": secrets["airflow_secret_key"],
            "expose_config": False,
        },
        "api_auth": {
            "jwt_secret": secrets["airflow_jwt_secret"]
        },  # the same for all processes, or tasks are refused
        "scheduler": {
            "scheduler_idle_sleep_time": 0.1,  # the default idle wait of 1 s is most of a short run's latency
            # 300 s by default: how long a killed task goes unnoticed; far less declares live tasks dead under load
            "task_instance_heartbeat_timeout": settings.task_heartbeat_seconds,
            "task_instance_heartbeat_timeout_detection_interval": 2,
            "orphaned_tasks_check_interval": 15,  # LocalExecutor cannot adopt tasks: find a dead scheduler's tasks soon
            "scheduler_health_check_threshold": settings.process_heartbeat_seconds,
        },
        "workers": {
            "min_heartbeat_interval": 2,
            "execution_api_retries": 8,  # survive a restart of the api-server
            # 5 s by default: at load 40 an answer takes longer, and each retry makes the server slower
            "execution_api_timeout": 60,
        },
        "triggerer": {
            "job_heartbeat_sec": 1,
            "triggerer_health_check_threshold": 15,  # a killed triggerer's doorbells move to another within seconds
        },
        "dag_processor": {
            "refresh_interval": 30,  # revives a watcher's Dag
            "min_file_process_interval": 30,
            "dag_file_processor_timeout": 180,  # above dagbag_import_timeout
        },
        "logging": {
            "base_log_folder": settings.logs / "airflow",
            # loggers below `task` carry what tasks print
            "namespace_levels": " ".join(f"{name}=WARNING" for name in QUIET_LOGGERS) + " task.stdout=INFO",
        },
        "usage_data_collection": {"enabled": False},
        "metrics": {
            "statsd_on": statsd_port is not None,
            "statsd_host": LOOPBACK,
            "statsd_port": statsd_port or 8125,
            "statsd_influxdb_enabled": True,  # Dag and task as labels, as in the pipeline's own metrics
        },
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, values in options.items()
        for option, value in values.items()
    }
    own = {key: value for key, value in settings.user_environment.items() if key.startswith("AIRFLOW_")}
    return {
        **own,
        **variables,
        **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()},
        "AIRFLOW_HOME": str(home),
        "SPT_NOENV": "1",  # keeps, in the processes' environment, the marks by which the stack finds them
    }


@dataclass(frozen=True)
class AirflowProcess:
    """One of Airflow's long-running processes; ready when its heartbeat in the database is recent.

    A heartbeat from before its last start does not count: the file `starts` records when the process was started.
    """

    name: str
    job: str
    words: tuple[str, ...]
    metadata_dsn: str = field(repr=False)
    settings_environment: Mapping[str, str] = field(repr=False)
    fresh_seconds: int
    starts: Path
    port: int = 0

    def prepare(self) -> None:
        private_folder(Path(self.settings_environment["AIRFLOW_HOME"]))

    def command(self) -> list[str]:
        return command(*self.words)

    def environment(self) -> dict[str, str]:
        return dict(self.settings_environment)

    def ready(self) -> bool:
        query = """
            SELECT count(*) FROM job WHERE job_type = %s AND state = 'running'
            AND latest_heartbeat > now() - make_interval(secs => %s) AND start_date >= %s::timestamptz"""
        try:
            with psycopg.connect(self.metadata_dsn, connect_timeout=ASK_SECONDS) as connection:
                asked = [self.job, self.fresh_seconds, self._started_at()]
                found = connection.execute(query, asked).fetchone()
        except psycopg.Error:
            return False
        return found is not None and found[0] > 0

    def _started_at(self) -> str:
        try:
            return self.starts.read_text().split()[-1]
        except (OSError, IndexError):
            return "infinity"  # never started


@dataclass(frozen=True)
class ApiServer:
    """Airflow's web and API server; ready when it reports that it can reach its database."""

    port: int
    settings_environment: Mapping[str, str] = field(repr=False)
    name: str = "airflow"

    def prepare(self) -> None:
        private_folder(Path(self.settings_environment["AIRFLOW_HOME"]))

    def command(self) -> list[str]:
        return command("api-server")

    def environment(self) -> dict[str, str]:
        return dict(self.settings_environment)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        try:
            health = _ask(f"{self.url}/api/v2/monitor/health")
        except (OSError, ValueError):
            return False
        return bool(health.get("metadatabase", {}).get("status") == "healthy")


def _ask(
    url: str, *, method: str = "GET", token: str | None = None, body: Mapping[str, object] | None = None
) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the stack's own server
    with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
        return json.loads(answer.read())


def run_once(words: list[str], variables: Mapping[str, str], log: Path, answers: str = "") -> None:
    """Run an Airflow command to completion. Raises StackError with the end of its output if it fails.

    `answers` is its standard input: it has no terminal, so it reads passwords from there too.
    """
    with log.open("ab") as output:
        result = subprocess.run(
            command(*words),
            env=os.environ | variables,
            check=False,
            input=answers.encode(),
            start_new_session=True,
            umask=0o077,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if result.returncode != 0:
        raise StackError(f"`airflow {words[0]} {words[1]}` failed; the end of {log}:\n{tail(log)}")


def migrate_database(settings: LauncherSettings, metadata_dsn: str, variables: Mapping[str, str]) -> None:
    """Migrate Airflow's database to the installed versions; returns at once if that was done before.

    A comment on the database itself records the migration, so that the record stays with the database.
    """
    done = ", ".join(
        f"{name} {version(name)}" for name in ("apache-airflow-core", "apache-airflow-providers-fab")
    )
    with psycopg.connect(metadata_dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        if found == (f"migrated to {done}",):
            return
        private_folder(Path(variables["AIRFLOW_HOME"]))
        run_once(["db", "migrate"], variables, settings.logs / "airflow-setup.log")
        database = sql.Identifier(connection.info.dbname)
        note = sql.Literal(f"migrated to {done}")
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, note))


def create_admin(
    settings: LauncherSettings, secrets: Credentials, metadata_dsn: str, variables: Mapping[str, str]
) -> None:
    """Create the admin user if there is no user yet; later changes made in the web pages are left alone."""
    with psycopg.connect(metadata_dsn) as connection:
        if connection.execute("SELECT FROM ab_user LIMIT 1").fetchone() is not None:
            return
    words = ["users", "create", "--username", ADMIN, "--firstname", "Pipeline", "--lastname", "Admin"]
    words += ["--role", "Admin", "--email", "admin@localhost"]
    password = secrets["airflow_admin"]
    run_once(words, variables, settings.logs / "airflow-setup.log", f"{password}\n{password}\n")


def unpause_dags(
    url: str, password: str, expected: set[str], seconds: float, say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Wait until the expected Dags are parsed, and unpause them; returns a list of problems.

    Reports every few seconds what it is waiting for; `seconds` bounds the wait for Dags that never appear.
    """
    began = said = time.monotonic()
    while True:
        try:
            token = _ask(f"{url}/auth/token", method="POST", body={"username": ADMIN, "password": password})[
                "access_token"
            ]
            dags = {dag["dag_id"]: dag for dag in _ask(f"{url}/api/v2/dags?limit=100", token=token)["dags"]}
            errors = _ask(f"{url}/api/v2/importErrors", token=token)["import_errors"]
            if expected <= dags.keys() or errors:
                _unpause(url, token, [dags[name] for name in expected & dags.keys()])
                break
        except urllib.error.HTTPError as error:
            if error.code in {
                401,
                403,
            }:  # the admin's password was changed in the web pages, so we cannot look
                return []
            dags, errors = {}, []
        except OSError:
            dags, errors = {}, []
        now = time.monotonic()
        if now - began > seconds:
            break
        if now - said > 5:
            said = now
            say(f"{', '.join(sorted(expected - dags.keys()))} ({now - began:.0f} s)")
        time.sleep(0.5)
    wrong = [
        f"{error['filename']} cannot be imported: {error['stack_trace'].splitlines()[-1]}" for error in errors
    ]
    return wrong + [f"Dag {dag_id} did not appear" for dag_id in sorted(expected - dags.keys())]


def _unpause(url: str, token: str, dags: list[dict[str, Any]]) -> None:
    for dag in dags:
        if dag["is_paused"]:
            address = f"{url}/api/v2/dags/{urllib.parse.quote(dag['dag_id'])}"
            _ask(address, method="PATCH", token=token, body={"is_paused": False})
