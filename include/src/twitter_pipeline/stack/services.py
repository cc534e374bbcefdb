"""The one list of what the embedded stack runs, in dependency order.

The launcher starts from it, `status` reports from it, and a test compares the compose file with it. A `Service` is a
long-running process; a `Step` is work that must be done once between services.
"""

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import psycopg

from twitter_pipeline.deployment import alert_topics, external_servers, roles, topics, x_endpoint
from twitter_pipeline.deployment.x_endpoint import XEndpoint
from twitter_pipeline.settings import KafkaOption
from twitter_pipeline.stack import airflow, broker_choice, kafka_access, monitoring, moto_sns
from twitter_pipeline.stack.broker_choice import BrokerChoice
from twitter_pipeline.stack.code_fingerprint import code_fingerprint
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.secantusdb import SecantusDB
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK, Server
from twitter_pipeline.stack.settings import LauncherSettings
from twitter_pipeline.stack.x_simulator import XApiSimulator

METADATA_DATABASE = "airflow"
TWEETS_DATABASE = "tweets"
SERVERS_OF_OTHERS = frozenset({"postgres", "broker", "mongo", "sns", *monitoring.PROGRAMS})
ALERT_TOPIC_ARN = f"arn:aws:sns:{alert_topics.REGION}:123456789012:{alert_topics.ALERT_TOPIC}"
HEARTBEAT_TOPIC_ARN = f"arn:aws:sns:{alert_topics.REGION}:123456789012:{alert_topics.HEARTBEAT_TOPIC}"


@dataclass(frozen=True)
class Service:
    """A process of the stack: the server, its dependencies, and what people want to know about it."""

    server: Server
    title: str
    needs: tuple[str, ...] = ()
    url: str | None = None
    login: str | None = None
    log: Path = field(default=Path())
    stop_seconds: int = 60
    stop_signal: str = "TERM"
    stops_alone: bool = (
        False  # only the process itself gets the signal; it ends its children in its own order
    )
    code: str = ""  # a fingerprint of our code that its process keeps running; "" for third-party servers

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def port(self) -> int | None:
        return self.server.port or None


@dataclass(frozen=True)
class Step:
    """Work between services, done when `run` returns; it returns at once if an earlier launch already did it."""

    name: str
    title: str
    needs: tuple[str, ...]
    run: Callable[[], None]


@dataclass(frozen=True)
class Stack:
    """Everything in one launch: services and steps, the X API and broker in use, and how clients connect."""

    settings: LauncherSettings
    services: tuple[Service, ...]
    steps: tuple[Step, ...]
    x: XEndpoint
    broker: BrokerChoice
    environment: Mapping[str, str] = field(repr=False)
    not_on_this_machine: Mapping[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> dict[str, Service | Step]:
        """Services and steps by name."""
        nodes: dict[str, Service | Step] = {service.name: service for service in self.services}
        return nodes | {step.name: step for step in self.steps}

    def ports(self) -> dict[str, int]:
        """Each port that the stack listens on, keyed by the name of its setting."""
        ports = {service.name: service.port for service in self.services if service.port}
        if self.broker.kind == "apache-kafka":
            ports["broker_controller"] = self.settings.port("broker_controller")
        return ports


def assemble(settings: LauncherSettings) -> Stack:
    """Decide what runs here and how; starts nothing. Raises StackError if a decision cannot be made."""
    x = x_endpoint.choose(settings)
    secrets = Credentials(settings.home / "secrets")
    broker = broker_choice.choose(settings, secrets)
    postgres = PostgreSQL(settings.home / "postgres" / "data", settings.port("postgres"), secrets["postgres"])
    mongo = SecantusDB(settings.home / "mongo", settings.port("mongo"), "pipeline", secrets["mongo"])
    sns = moto_sns.MotoSns(settings.port("sns"))
    simulator = XApiSimulator(
        settings.port("simulator"),
        _epoch(settings.home / "simulator" / "epoch") if x.is_simulator else datetime.now(UTC),
        settings.home / "simulator" / "journal",
        settings.simulator_seed,
        settings.simulator_rate,
    )
    dsns = {role: postgres.dsn(TWEETS_DATABASE, role, secrets[role]) for role in roles.PIPELINE_ROLES}
    metadata_dsn = postgres.dsn(METADATA_DATABASE, "airflow", secrets["airflow_database"])
    airflow_url = f"http://{LOOPBACK}:{settings.port('airflow')}"
    environment = {
        "PIPELINE_HOME": str(settings.home),
        "PIPELINE_POSTGRES_DSN": dsns["pipeline_loader"],
        "PIPELINE_POSTGRES_MIGRATOR_DSN": dsns["pipeline_migrator"],
        "PIPELINE_POSTGRES_READER_DSN": dsns["pipeline_reader"],
        "PIPELINE_MONGO_URI": mongo.uri,
        "PIPELINE_MONGO_DATABASE": settings.mongo_database,
        "PIPELINE_KAFKA_BOOTSTRAP": broker.server.bootstrap,
        "PIPELINE_KAFKA_OPTIONS": json.dumps(broker.server.options),
        "PIPELINE_TOPIC_PARTITIONS": str(settings.topic_partitions),
        "PIPELINE_ALERT_TOPIC_ARN": ALERT_TOPIC_ARN,
        "PIPELINE_HEARTBEAT_TOPIC_ARN": HEARTBEAT_TOPIC_ARN,
        "PIPELINE_SNS_URL": sns.url,
        "PIPELINE_AIRFLOW_URL": airflow_url,
        "PIPELINE_API_TOKEN": settings.api_token or secrets["api_token"],
        "X_API_URL": x.url,
        "X_API_ALLOW_LOCAL": "true" if x.allow_local else "false",
        "X_BEARER_TOKEN": x.token,
    }
    # what was decided, so that `status` asks what is running and not what other settings would start
    environment |= {
        "PIPELINE_BROKER": broker.kind,
        "PIPELINE_RULES": str(x.rules),
        "PIPELINE_PORT_BASE": str(settings.port_base),
        **{f"PIPELINE_PORT_{name.upper()}": str(port) for name, port in settings.ports.items()},
    }
    has_statsd = monitoring.program("statsd_exporter") is not None
    if has_statsd:
        environment["PIPELINE_STATSD"] = f"{LOOPBACK}:{settings.port('statsd')}"
        if monitoring.program("alertmanager") is not None:
            environment["PIPELINE_ALERTMANAGER_URL"] = f"http://{LOOPBACK}:{settings.port('alertmanager')}"
    if settings.x_budget_usd is not None:
        environment["X_BUDGET_USD"] = str(settings.x_budget_usd)
    connections = {
        "twitter_default": x.connection(),
        "pipeline_postgres": _postgres_connection(
            settings, TWEETS_DATABASE, "pipeline_loader", secrets["pipeline_loader"]
        ),
        "airflow_metadata": _postgres_connection(
            settings, METADATA_DATABASE, "airflow", secrets["airflow_database"]
        ),
        "pipeline_mongo": json.dumps(
            {
                "conn_type": "mongo",
                "host": LOOPBACK,
                "port": mongo.port,
                "login": mongo.user,
                "password": mongo.password,
                "schema": "admin",
                "extra": {"authSource": "admin", "directConnection": True},
            }
        ),
        "pipeline_kafka": json.dumps(
            {
                "conn_type": "kafka",
                "extra": {"bootstrap.servers": broker.server.bootstrap} | broker.server.options,
            },
        ),
        "aws_default": json.dumps(
            {
                "conn_type": "aws",
                "login": moto_sns.CREDENTIALS["AWS_ACCESS_KEY_ID"],
                "password": moto_sns.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
                "extra": {"endpoint_url": sns.url, "region_name": alert_topics.REGION},
            }
        ),
    }
    statsd_port = settings.port("statsd") if has_statsd else None
    variables = environment | airflow.environment(settings, secrets, metadata_dsn, connections, statsd_port)
    database = ("airflow database",)

    def process(name: str, job: str, words: tuple[str, ...]) -> airflow.AirflowProcess:
        fresh, starts = settings.process_heartbeat_seconds, starts_file(settings, name)
        return airflow.AirflowProcess(name, job, words, metadata_dsn, variables, fresh, starts)

    logs = settings.logs
    services = [
        Service(
            postgres,
            "PostgreSQL 18: databases tweets and airflow",
            url=f"postgresql://{LOOPBACK}:{postgres.port}/{TWEETS_DATABASE}",
            login=f"role pipeline_reader, password in {secrets.path('pipeline_reader')}",
            stop_signal="INT",
            stops_alone=True,
        ),
        Service(
            broker.server,
            f"Kafka protocol: {broker.kind} ({broker.why})",
            url=broker.server.bootstrap,
            login=f"SCRAM user {kafka_access.USER}, password in {secrets.path('kafka')}"
            if broker.server.options
            else None,
        ),
        Service(
            mongo,
            "MongoDB protocol: SecantusDB",
            url=f"mongodb://{LOOPBACK}:{mongo.port}",
            login=f"user {mongo.user}, password in {secrets.path('mongo')}",
        ),
        Service(sns, "SNS: moto (in memory)", url=sns.url),
        *([Service(simulator, "X API simulator", url=simulator.url)] if x.is_simulator else []),
        Service(
            TopicKeeperProcess(
                environment | {external_servers.METADATA_DSN: metadata_dsn} | moto_sns.CREDENTIALS,
                {"bootstrap.servers": broker.server.bootstrap} | broker.server.options,
            ),
            "maintains topics, log sizes and the executor",
            ("broker", "sns"),
        ),
        Service(
            airflow.ApiServer(settings.port("airflow"), variables),
            "Airflow: web pages and API",
            database,
            url=airflow_url,
            login=f"user {airflow.ADMIN}, password in {secrets.path('airflow_admin')}",
        ),
        Service(
            process("scheduler", "SchedulerJob", ("scheduler", "--skip-serve-logs")),
            "Airflow: scheduler and tasks",
            ("airflow", "tweets schema", "topics", "mongo", *(["simulator"] if x.is_simulator else [])),
            stop_seconds=90,  # a lingering drain ends within a minute; SIGTERM lets the running tasks finish
            stops_alone=True,
        ),
        Service(
            process("dag-processor", "DagProcessorJob", ("dag-processor",)),
            "Airflow: parses the Dags",
            database,
        ),
        Service(
            process("triggerer", "TriggererJob", ("triggerer", "--skip-serve-logs")),
            "Airflow: doorbells and waits",
            (*database, "topics"),
        ),
    ]
    services += _monitoring(settings, environment)
    code = code_fingerprint(settings.clone)
    complete = tuple(
        replace(
            service,
            log=logs / f"{service.name}.log",
            code="" if service.name in SERVERS_OF_OTHERS else code,
        )
        for service in services
    )
    steps = (
        Step("databases", "roles and databases", ("postgres",), lambda: _create_databases(postgres, secrets)),
        Step(
            "tweets schema",
            "tweet tables and rules",
            ("databases",),
            lambda: _bring_schema(dsns["pipeline_migrator"], dsns["pipeline_loader"], x),
        ),
        Step(
            "airflow database",
            "Airflow's own tables",
            ("databases",),
            lambda: airflow.migrate_database(settings, metadata_dsn, variables),
        ),
        Step(
            "airflow admin",
            "Airflow's admin user",
            ("airflow database",),
            lambda: airflow.create_admin(settings, secrets, metadata_dsn, variables),
        ),
    )
    return Stack(settings, complete, steps, x, broker, environment, monitoring.missing())


def _monitoring(settings: LauncherSettings, environment: Mapping[str, str]) -> list[Service]:
    """The monitoring programs on this machine, and the publisher of the pipeline's own metrics."""
    titles = {
        "statsd_exporter": "passes StatsD metrics to Prometheus",
        "prometheus": "Prometheus: metrics and alerts",
        "alertmanager": "Alertmanager: alerts to SNS",
        "node_exporter": "metrics of this machine",
    }
    ports = {name: settings.port(name) for name in (*titles, "airflow", "sns")}
    source = settings.clone / "deploy" / "monitoring"
    found = monitoring.monitors(source, settings.home, ports, settings.port("statsd"))
    services = [Service(monitor, titles[monitor.name], url=monitor.url) for monitor in found]
    if "PIPELINE_STATSD" in environment:
        publisher = MetricsPublisherProcess(settings, environment)
        services.append(
            Service(publisher, "publishes counts, lag, age, money", ("statsd_exporter", "tweets schema"))
        )
    return services


def _postgres_connection(settings: LauncherSettings, database: str, role: str, password: str) -> str:
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": LOOPBACK,
            "port": settings.port("postgres"),
            "schema": database,
            "login": role,
            "password": password,
        }
    )


@dataclass(frozen=True)
class TopicKeeperProcess:
    """The module `keeper` as a server: ready when the topics are there."""

    client_environment: Mapping[str, str] = field(repr=False)
    kafka: Mapping[str, KafkaOption] = field(repr=False)
    name: str = "topics"
    port: int = 0

    def prepare(self) -> None:
        """Do nothing: the keeper prepares itself."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "twitter_pipeline.stack.keeper"]

    def environment(self) -> dict[str, str]:
        return dict(self.client_environment)

    def ready(self) -> bool:
        return topics.topics_exist(self.kafka)


@dataclass(frozen=True)
class MetricsPublisherProcess:
    """The command `twitter-pipeline metrics publish` as a server: ready once its first metrics have arrived."""

    settings: LauncherSettings
    client_environment: Mapping[str, str] = field(repr=False)
    name: str = "metrics"
    port: int = 0

    def prepare(self) -> None:
        """Do nothing: the publisher prepares itself."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "twitter_pipeline.cli", "metrics", "publish"]

    def environment(self) -> dict[str, str]:
        return dict(self.client_environment)

    def ready(self) -> bool:
        url = f"http://{LOOPBACK}:{self.settings.port('statsd_exporter')}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
                return b"twitter_pipeline_health_looked_timestamp_seconds" in answer.read()
        except OSError:
            return False


def starts_file(settings: LauncherSettings, name: str) -> Path:
    """The file that records when a service was started, one line for each start since the launcher started it."""
    return settings.run / f"{name}.starts"


def _epoch(path: Path) -> datetime:
    """When the simulator's world began: an hour before the first launch, fixed from then on."""
    if not path.exists():
        private_folder(path.parent)
        path.write_text((datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)).isoformat())
    return datetime.fromisoformat(path.read_text())


def _create_databases(postgres: PostgreSQL, secrets: Credentials) -> None:
    with psycopg.connect(postgres.superuser_dsn(), autocommit=True) as superuser:
        for role in roles.PIPELINE_ROLES:
            roles.create_role(superuser, role, secrets[role])
        roles.create_role(superuser, "airflow", secrets["airflow_database"])
        roles.create_tweets_database(superuser, TWEETS_DATABASE)
        roles.create_database(superuser, METADATA_DATABASE, "airflow")


def _bring_schema(migrator_dsn: str, loader_dsn: str, x: XEndpoint) -> None:
    for line in external_servers.bring_schema(migrator_dsn, loader_dsn, x):
        if line.startswith((external_servers.WARNING, "rules: ")):
            click.echo(f"  {line}", err=True)
