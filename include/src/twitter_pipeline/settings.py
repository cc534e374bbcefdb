"""Settings, from the environment and two files beside it, checked once and then only read.

A value is looked for in the process environment, then in `.env` of the clone (the user's own), then in
`$PIPELINE_HOME/run/environment` (written by the launcher: where the running stack's servers are). The launcher
itself does not read the last one. Secrets are never in a repr.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

BROKERS = ("auto", "apache-kafka", "tansu")
TOPIC = "raw-tweets"
DEAD_LETTER_TOPIC = "raw-tweets.dlq"
PORTED = (
    "airflow",
    "simulator",
    "sns",
    "postgres",
    "broker",
    "broker_controller",
    "mongo",
    "api",
    "statsd",
    "statsd_exporter",
    "prometheus",
    "alertmanager",
    "node_exporter",
)


KafkaOption = str | int | float | bool


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable."""


def clone() -> Path:
    """The folder of the clone that this package is installed from, else the current folder."""
    ancestors = Path(__file__).resolve().parents
    return ancestors[3] if len(ancestors) > 3 and (ancestors[3] / "dags").is_dir() else Path.cwd()


def read_environment_file(path: Path) -> dict[str, str]:
    """The assignments of an environment file; {} when there is none.

    Lines are NAME=VALUE, comments or empty; a value may be in quotes; nothing is expanded or executed.
    Errors name the line and never its content.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None
    values = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            raise SettingsError(f"{path}, line {number}: expected NAME=VALUE")
        values[name.strip()] = _unquote(value.strip(), path, number)
    return values


def _unquote(value: str, path: Path, number: int) -> str:
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            raise SettingsError(f"{path}, line {number}: the closing double quote is missing") from None
    if value[:1] == "'":
        if len(value) < 2 or value[-1] != "'":
            raise SettingsError(f"{path}, line {number}: the closing quote is missing")
        return value[1:-1]
    return value.partition(" #")[0].strip()


def write_environment_file(path: Path, values: Mapping[str, str]) -> None:
    """Write an environment file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(
        "".join(f"{name}={json.dumps(value)}\n" for name, value in sorted(values.items())), "utf-8"
    )
    fresh.replace(path)


def _text(name: str, value: str) -> str:
    return value


def _flag(name: str, value: str) -> bool:
    if value.lower() in {"true", "1", "yes"}:
        return True
    if value.lower() in {"false", "0", "no", ""}:
        return False
    raise SettingsError(f"{name} must be true or false")


def _whole(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, value: str) -> int:
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        return int(value)

    return parse


def _dollars(name: str, value: str) -> Decimal:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise SettingsError(f"{name} must be an amount in US dollars, such as 5 or 0.50, not {value!r}")
    return amount


def _share(name: str, value: str) -> Decimal:
    try:
        share = Decimal(value)
    except InvalidOperation:
        share = Decimal("NaN")
    if not share.is_finite() or not 0 < share <= 1:
        raise SettingsError(f"{name} must be above 0 and at most 1, not {value!r}")
    return share


def _broker(name: str, value: str) -> str:
    if value not in BROKERS:
        raise SettingsError(f"{name} must be one of {', '.join(BROKERS)}, not {value!r}")
    return value


def _url(name: str, value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", value):
        raise SettingsError(f"{name} must be an http or https address without user and password in it")
    return value.rstrip("/")


def _host_and_port(name: str, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+:[0-9]{1,5}", value):
        raise SettingsError(f"{name} must be HOST:PORT, not {value!r}")
    return value


def _options(name: str, value: str) -> Mapping[str, KafkaOption]:
    """Options of librdkafka; errors never show a value, which may be a password."""
    try:
        options = json.loads(value)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise SettingsError(f'{name} must be a JSON object, such as {{"security.protocol": "SASL_SSL"}}')
    if "bootstrap.servers" in options:
        raise SettingsError(
            f"{name} must not hold bootstrap.servers: PIPELINE_KAFKA_BOOTSTRAP says where Kafka is"
        )
    for option, given in options.items():
        if not isinstance(given, str | int | float):
            raise SettingsError(f"{name}: the value of {option} must be a text, a number, true or false")
    return options


def _path(name: str, value: str) -> Path:
    return Path(value).expanduser().absolute()


def _token(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SettingsError(f"{name} holds characters that no token has (a line break or a space?)")
    return value


def _setting(
    variable: str, parse: Callable[[str, str], Any], default: Any = None, secret: bool = False
) -> Any:
    return field(default=default, repr=not secret, metadata={"variable": variable, "parse": parse})


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The addresses of all stores, complete."""

    postgres_reader_dsn: str = field(repr=False)
    mongo_uri: str = field(repr=False)
    mongo_database: str
    kafka_bootstrap: str
    kafka_options: Mapping[str, KafkaOption] = field(default_factory=dict, repr=False)

    def kafka(self) -> dict[str, KafkaOption]:
        """What a Kafka client is made with: where Kafka is, and the way in (it may hold a password)."""
        return {"bootstrap.servers": self.kafka_bootstrap} | dict(self.kafka_options)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; what is None was not given. Ports: `port("postgres")`."""

    clone: Path
    home: Path
    broker: str = _setting("PIPELINE_BROKER", _broker, "auto")
    port_base: int = _setting("PIPELINE_PORT_BASE", _whole(1024, 65000), 18080)
    topic_partitions: int = _setting("PIPELINE_TOPIC_PARTITIONS", _whole(1, 1000), 4)
    x_api_url: str | None = _setting("X_API_URL", _url)
    x_api_allow_local: bool = _setting("X_API_ALLOW_LOCAL", _flag, False)
    x_bearer_token: str | None = _setting("X_BEARER_TOKEN", _token, secret=True)
    x_budget_usd: Decimal | None = _setting("X_BUDGET_USD", _dollars)  # noqa: RUF009 - is a field
    extraction_seconds: int = _setting("PIPELINE_EXTRACTION_SECONDS", _whole(5, 86400), 15)
    max_pages: int = _setting("PIPELINE_MAX_PAGES", _whole(1, 100_000), 500)
    drains: int = _setting("PIPELINE_DRAINS", _whole(1, 1000), 1)
    flood_ratio: Decimal = _setting("PIPELINE_FLOOD_RATIO", _share, Decimal("0.5"))  # noqa: RUF009 - is a field
    rules: Path | None = _setting("PIPELINE_RULES", _path)  # noqa: RUF009 - is a field
    contracts: Path | None = _setting("PIPELINE_CONTRACTS", _path)  # noqa: RUF009 - is a field
    quality_minutes: int = _setting("PIPELINE_QUALITY_MINUTES", _whole(1, 10_080), 30)
    keep_events_days: int = _setting("PIPELINE_KEEP_EVENTS_DAYS", _whole(1, 3650), 3)
    keep_runs_days: int = _setting("PIPELINE_KEEP_RUNS_DAYS", _whole(1, 3650), 14)
    keep_logs_days: int = _setting("PIPELINE_KEEP_LOGS_DAYS", _whole(1, 3650), 14)
    # two months and more: the month's budget, and settling by X's figures, look back that far
    keep_records_days: int = _setting("PIPELINE_KEEP_RECORDS_DAYS", _whole(62, 3650), 90)
    simulator_seed: int = _setting("PIPELINE_SIMULATOR_SEED", _whole(0, 2**31), 7)
    simulator_rate: str = _setting("PIPELINE_SIMULATOR_RATE", _text, "2.0")
    stalled_seconds: int = _setting("PIPELINE_STALLED_SECONDS", _whole(10, 86400), 600)
    task_heartbeat_seconds: int = _setting("PIPELINE_TASK_HEARTBEAT_SECONDS", _whole(10, 3600), 60)
    process_heartbeat_seconds: int = _setting("PIPELINE_PROCESS_HEARTBEAT_SECONDS", _whole(10, 3600), 45)
    executor_watch_seconds: int = _setting("PIPELINE_EXECUTOR_WATCH_SECONDS", _whole(10, 3600), 90)
    postgres_dsn: str | None = _setting("PIPELINE_POSTGRES_DSN", _text, secret=True)
    postgres_migrator_dsn: str | None = _setting("PIPELINE_POSTGRES_MIGRATOR_DSN", _text, secret=True)
    postgres_reader_dsn: str | None = _setting("PIPELINE_POSTGRES_READER_DSN", _text, secret=True)
    mongo_uri: str | None = _setting("PIPELINE_MONGO_URI", _text, secret=True)
    mongo_database: str = _setting("PIPELINE_MONGO_DATABASE", _text, "tweets")
    kafka_bootstrap: str | None = _setting("PIPELINE_KAFKA_BOOTSTRAP", _text)
    kafka_options: Mapping[str, KafkaOption] | None = _setting(
        "PIPELINE_KAFKA_OPTIONS", _options, secret=True
    )
    alert_topic_arn: str | None = _setting("PIPELINE_ALERT_TOPIC_ARN", _text)
    heartbeat_topic_arn: str | None = _setting("PIPELINE_HEARTBEAT_TOPIC_ARN", _text)
    alertmanager_url: str | None = _setting("PIPELINE_ALERTMANAGER_URL", _url)
    sns_url: str | None = _setting("PIPELINE_SNS_URL", _url)
    airflow_url: str | None = _setting("PIPELINE_AIRFLOW_URL", _url)
    statsd: str | None = _setting("PIPELINE_STATSD", _host_and_port)
    api_token: str | None = _setting("PIPELINE_API_TOKEN", _token, secret=True)
    ports: Mapping[str, int] = field(default_factory=dict)
    user_environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def need(self, name: str) -> str:
        """The value of a setting that this command cannot do without; raises when it is not given."""
        value = getattr(self, name)
        if value is None:
            variable = next(item.metadata["variable"] for item in fields(self) if item.name == name)
            raise SettingsError(f"{variable} is not set; `make up` writes it to {self.run / 'environment'}")
        return str(value)

    def stores(self) -> "Stores":
        """Where the stores are, for those who only read. Raises SettingsError when one is not given."""
        return Stores(
            postgres_reader_dsn=self.need("postgres_reader_dsn"),
            mongo_uri=self.need("mongo_uri"),
            mongo_database=self.mongo_database,
            kafka_bootstrap=self.need("kafka_bootstrap"),
            kafka_options=self.kafka_options or {},
        )

    def kafka(self) -> dict[str, KafkaOption]:
        """What each Kafka client is made with: PIPELINE_KAFKA_BOOTSTRAP and PIPELINE_KAFKA_OPTIONS.

        It may hold a password. Raises SettingsError when it is not said where Kafka is.
        """
        return {"bootstrap.servers": self.need("kafka_bootstrap")} | dict(self.kafka_options or {})

    @property
    def run(self) -> Path:
        """What belongs to the running stack: configuration, socket, lock, reports."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def port(self, name: str) -> int:
        """The port of a part: its own setting PIPELINE_PORT_<NAME>, else counted from PIPELINE_PORT_BASE."""
        return self.ports.get(name, self.port_base + PORTED.index(name))

    @property
    def contracts_folder(self) -> Path:
        """The contracts of the tables: PIPELINE_CONTRACTS, else soda/ in the clone."""
        return self.contracts or self.clone / "soda"

    @property
    def exports_folder(self) -> Path:
        """Where the Dag tweet_export writes when it is told no other place."""
        return self.home / "exports"

    def rules_file(self) -> Path | None:
        """The user's own rules: PIPELINE_RULES, else rules.yaml in the clone when there is one."""
        own = self.clone / "rules.yaml"
        return self.rules or (own if own.is_file() else None)


def load(
    environment: Mapping[str, str] | None = None, *, launched: bool = True, root: Path | None = None
) -> Settings:
    """Read and check the settings; `launched=False` leaves out what an earlier launch wrote.

    Raises SettingsError naming the variable that is wrong.
    """
    given = dict(os.environ if environment is None else environment)
    root = root or clone()
    user = read_environment_file(root / ".env")
    values = user | given
    home = _path("PIPELINE_HOME", values.get("PIPELINE_HOME") or str(root / ".pipeline"))
    if launched:
        values = read_environment_file(home / "run" / "environment") | values
    parsed: dict[str, Any] = {}
    for item in fields(Settings):
        variable = item.metadata.get("variable")
        if variable and values.get(variable, "").strip():
            parsed[item.name] = item.metadata["parse"](variable, values[variable].strip())
    port = _whole(1024, 65535)
    ports = {
        name: port(variable, values[variable])
        for name in PORTED
        if values.get(variable := f"PIPELINE_PORT_{name.upper()}")
    }
    return Settings(clone=root, home=home, ports=ports, user_environment=user, **parsed)
