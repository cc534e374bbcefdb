"""Settings from the environment and two files, checked once and read-only from then on.

A value comes from the process environment, else from the checkout's `.env` (the user's own), else from
`$PIPELINE_HOME/run/environment` (where the running stack's servers are; written by the launcher, which itself does not
read it). Settings that only the launcher reads are in `stack/settings.py`. Secrets never show in a repr or an error.
"""

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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
    """A setting is missing or invalid; the message names the variable."""


def clone() -> Path:
    """The root folder of the checkout that this package is installed from, else the current folder."""
    ancestors = Path(__file__).resolve().parents
    return ancestors[3] if len(ancestors) > 3 and (ancestors[3] / "dags").is_dir() else Path.cwd()


def read_environment_file(path: Path) -> dict[str, str]:
    """The assignments in an environment file; {} if there is no file.

    Lines are NAME=VALUE, comments or empty; a value may be quoted; nothing is expanded or executed. Errors name the
    line number, never the content.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(
        lines, 1
    ):  # one at a time: a forgotten quote must not swallow the next line
        for binding in parse_stream(io.StringIO(line)):
            if binding.error:
                raise SettingsError(f"{path}, line {number}: expected NAME=VALUE, with any quote closed")
            if binding.key is None:
                continue
            if binding.value is None or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", binding.key):
                raise SettingsError(f"{path}, line {number}: expected NAME=VALUE")
            # single quotes are literal, as in docker compose, which reads the same file
            literal = re.match(r"\s*'((?:\\.|[^'\\])*)'", line.partition("=")[2])
            values[binding.key] = literal[1] if literal else binding.value
    return values


def write_environment_file(path: Path, values: Mapping[str, str]) -> None:
    """Write an environment file that only its owner can read, atomically."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    lines = [f"{name}={_quoted(value)}\n" for name, value in sorted(values.items())]
    fresh.write_text("".join(lines), "utf-8")
    fresh.replace(path)


def _quoted(value: str) -> str:
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(character, escape)
    return f'"{value}"'


def _must(
    expectation: str, holds: Callable[[Any], bool] = lambda _: True, *, shows_value: bool = True
) -> WrapValidator:
    """Check a value and say what is expected in our own words, since pydantic's would print even a secret's value."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            checked = handler(value)
        except ValidationError:
            checked = None
        if checked is None or not holds(checked):
            raise _refusal(f"{expectation}, not {value!r}" if shows_value else expectation)
        return checked

    return WrapValidator(check)


def _refusal(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{sentence}", {"sentence": sentence})


def whole(low: int, high: int) -> WrapValidator:
    """A validator for an integer setting."""
    return _must(f"must be a whole number from {low} to {high}", lambda number: low <= number <= high)


def _kafka_options(value: str) -> Mapping[str, KafkaOption]:
    """librdkafka options from JSON; errors never show a value, since it may be a password."""
    try:
        options = json.loads(value)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise _refusal('must be a JSON object, such as {"security.protocol": "SASL_SSL"}')
    if "bootstrap.servers" in options:
        raise _refusal("must not contain bootstrap.servers: set PIPELINE_KAFKA_BOOTSTRAP instead")
    for option, given in options.items():
        if not isinstance(given, str | int | float):
            raise _refusal(f"must set {option} to a string, a number, true or false")
    return options


def _ports(given: Mapping[str, str]) -> Mapping[str, str]:
    return {name: port for name, port in given.items() if port}


Broker = Annotated[
    Literal["auto", "apache-kafka", "tansu"], _must("must be one of auto, apache-kafka, tansu")
]
Flag = Annotated[bool, _must("must be true or false")]
Dollars = Annotated[
    Decimal, _must("must be an amount in US dollars, such as 5 or 0.50", lambda amount: amount >= 0)
]
Share = Annotated[Decimal, _must("must be above 0 and at most 1", lambda share: 0 < share <= 1)]
Url = Annotated[
    str,
    Field(pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$"),
    AfterValidator(lambda url: url.rstrip("/")),
    _must("must be an http or https address without a user name and password", shows_value=False),
]
HostAndPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+:[0-9]{1,5}$"), _must("must be HOST:PORT")]
Token = Annotated[
    str,
    Field(pattern=r"^[!-~]+$"),
    _must("contains characters that a token cannot have (a line break or a space?)", shows_value=False),
]
AnyPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
KafkaOptions = Annotated[Mapping[str, KafkaOption], BeforeValidator(_kafka_options)]
Ports = Annotated[Mapping[str, Annotated[int, whole(1024, 65535)]], BeforeValidator(_ports)]


def setting(variable: str, default: Any = None, *, is_secret: bool = False) -> Any:
    """A field of Settings that is read from this variable; None if it is not set and has no default."""
    return Field(default, validation_alias=variable, repr=not is_secret)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The addresses of all stores, none missing."""

    postgres_reader_dsn: str = field(repr=False)
    mongo_uri: str = field(repr=False)
    mongo_database: str
    kafka_bootstrap: str
    kafka_options: Mapping[str, KafkaOption] = field(default_factory=dict, repr=False)

    def kafka(self) -> dict[str, KafkaOption]:
        """The configuration for a Kafka client: address and access options, which may include a password."""
        return {"bootstrap.servers": self.kafka_bootstrap} | dict(self.kafka_options)


class _Variables(PydanticBaseSettingsSource):
    """The values in one mapping of variables, without surrounding spaces."""

    def __init__(self, of: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(of)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one setting, and the name of its variable."""
        if field_name == "ports":
            found = {name: self._value(f"PIPELINE_PORT_{name.upper()}") for name in PORTED}
            return {name: value for name, value in found.items() if value is not None}, "ports", False
        variable = str(field.validation_alias)
        return self._value(variable), variable, False

    def _value(self, variable: str) -> str | None:
        value = self._variables.get(variable)
        return None if value is None else value.strip()

    def __call__(self) -> dict[str, Any]:
        """The values of all settings in this mapping, by variable."""
        found = (self.get_field_value(item, name) for name, item in self.settings_cls.model_fields.items())
        return {variable: value for value, variable, _ in found if value is not None}


class Settings(BaseSettings):
    """All settings of the domain; None means not set. Ports: `port("postgres")`. Created by `load`."""

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, extra="forbid", hide_input_in_errors=True
    )

    clone: Path
    home: Path
    broker: Broker = setting("PIPELINE_BROKER", "auto")
    port_base: Annotated[int, whole(1024, 65000)] = setting("PIPELINE_PORT_BASE", 18080)
    topic_partitions: Annotated[int, whole(1, 1000)] = setting("PIPELINE_TOPIC_PARTITIONS", 4)
    x_api_url: Url | None = setting("X_API_URL")
    x_api_allow_local: Flag = setting("X_API_ALLOW_LOCAL", False)
    x_bearer_token: Token | None = setting("X_BEARER_TOKEN", is_secret=True)
    x_budget_usd: Dollars | None = setting("X_BUDGET_USD")
    extraction_seconds: Annotated[int, whole(5, 86400)] = setting("PIPELINE_EXTRACTION_SECONDS", 15)
    max_pages: Annotated[int, whole(1, 100_000)] = setting("PIPELINE_MAX_PAGES", 500)
    drains: Annotated[int, whole(1, 1000)] = setting("PIPELINE_DRAINS", 1)
    flood_ratio: Share = setting("PIPELINE_FLOOD_RATIO", Decimal("0.5"))
    rules: AnyPath | None = setting("PIPELINE_RULES")
    contracts: AnyPath | None = setting("PIPELINE_CONTRACTS")
    quality_minutes: Annotated[int, whole(1, 10_080)] = setting("PIPELINE_QUALITY_MINUTES", 30)
    keep_events_days: Annotated[int, whole(1, 3650)] = setting("PIPELINE_KEEP_EVENTS_DAYS", 3)
    keep_runs_days: Annotated[int, whole(1, 3650)] = setting("PIPELINE_KEEP_RUNS_DAYS", 14)
    keep_logs_days: Annotated[int, whole(1, 3650)] = setting("PIPELINE_KEEP_LOGS_DAYS", 14)
    # at least two months: the monthly budget and settling by X's figures look back that far
    keep_records_days: Annotated[int, whole(62, 3650)] = setting("PIPELINE_KEEP_RECORDS_DAYS", 90)
    postgres_dsn: str | None = setting("PIPELINE_POSTGRES_DSN", is_secret=True)
    postgres_migrator_dsn: str | None = setting("PIPELINE_POSTGRES_MIGRATOR_DSN", is_secret=True)
    postgres_reader_dsn: str | None = setting("PIPELINE_POSTGRES_READER_DSN", is_secret=True)
    mongo_uri: str | None = setting("PIPELINE_MONGO_URI", is_secret=True)
    mongo_database: str = setting("PIPELINE_MONGO_DATABASE", "tweets")
    kafka_bootstrap: str | None = setting("PIPELINE_KAFKA_BOOTSTRAP")
    kafka_options: KafkaOptions | None = setting("PIPELINE_KAFKA_OPTIONS", is_secret=True)
    alert_topic_arn: str | None = setting("PIPELINE_ALERT_TOPIC_ARN")
    heartbeat_topic_arn: str | None = setting("PIPELINE_HEARTBEAT_TOPIC_ARN")
    alertmanager_url: Url | None = setting("PIPELINE_ALERTMANAGER_URL")
    sns_url: Url | None = setting("PIPELINE_SNS_URL")
    airflow_url: Url | None = setting("PIPELINE_AIRFLOW_URL")
    statsd: HostAndPort | None = setting("PIPELINE_STATSD")
    api_token: Token | None = setting("PIPELINE_API_TOKEN", is_secret=True)
    ports: Ports = {}
    user_environment: Mapping[str, str] = Field({}, repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load`'s own arguments, then the variables it found; the first source with a value wins."""
        said = init_settings()
        return (init_settings, *(_Variables(settings_cls, found) for found in said.pop("found", ())))

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Treat an empty value as not set; it still hides the value in a later source."""
        return {name: value for name, value in given.items() if value != ""}

    @classmethod
    def defaults(cls) -> dict[str, str]:
        """Each variable that is read, and its default as text ("" if it has none)."""
        return {
            str(item.validation_alias): "" if item.default is None else str(item.default)
            for item in cls.model_fields.values()
            if item.validation_alias
        }

    @classmethod
    def load(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        launched: bool = True,
        root: Path | None = None,
    ) -> Self:
        """Read and check the settings; `launched=False` ignores what an earlier launch wrote.

        Raises SettingsError, naming each invalid variable.
        """
        given = dict(os.environ if environment is None else environment)
        root = root or clone()
        user = read_environment_file(root / ".env")
        home = Path((user | given).get("PIPELINE_HOME") or root / ".pipeline").expanduser().absolute()
        found = [given, user]
        if launched:
            found.append(read_environment_file(home / "run" / "environment"))
        own: dict[str, Any] = {"clone": root, "home": home, "user_environment": user, "found": found}
        try:
            return cls(**own)
        except ValidationError as error:
            raise SettingsError("; ".join(_sentences(error))) from None

    def need(self, name: str) -> str:
        """The value of a setting that this command requires. Raises SettingsError if it is not set."""
        value = getattr(self, name)
        if value is None:
            variable = type(self).model_fields[name].validation_alias
            raise SettingsError(f"{variable} is not set; `make up` writes it to {self.run / 'environment'}")
        return str(value)

    def stores(self) -> Stores:
        """The addresses of the stores, for read-only use. Raises SettingsError if one is missing."""
        return Stores(
            postgres_reader_dsn=self.need("postgres_reader_dsn"),
            mongo_uri=self.need("mongo_uri"),
            mongo_database=self.mongo_database,
            kafka_bootstrap=self.need("kafka_bootstrap"),
            kafka_options=self.kafka_options or {},
        )

    def kafka(self) -> dict[str, KafkaOption]:
        """The configuration for Kafka clients: PIPELINE_KAFKA_BOOTSTRAP and PIPELINE_KAFKA_OPTIONS.

        It may contain a password. Raises SettingsError if PIPELINE_KAFKA_BOOTSTRAP is not set.
        """
        return {"bootstrap.servers": self.need("kafka_bootstrap")} | dict(self.kafka_options or {})

    @property
    def run(self) -> Path:
        """The folder for files of the running stack: configuration, socket, lock, reports."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """The folder for the log files of the stack's services and of Airflow."""
        return self.home / "logs"

    def port(self, name: str) -> int:
        """The port of a part: PIPELINE_PORT_<NAME> if set, else an offset from PIPELINE_PORT_BASE."""
        return self.ports.get(name, self.port_base + PORTED.index(name))

    @property
    def contracts_folder(self) -> Path:
        """The folder with the tables' contracts: PIPELINE_CONTRACTS, else soda/ in the checkout."""
        return self.contracts or self.clone / "soda"

    @property
    def exports_folder(self) -> Path:
        """Where the Dag tweet_export writes by default."""
        return self.home / "exports"

    def rules_file(self) -> Path | None:
        """The user's own rules: PIPELINE_RULES, else rules.yaml in the checkout if there is one."""
        own = self.clone / "rules.yaml"
        return self.rules or (own if own.is_file() else None)


def _sentences(error: ValidationError) -> Iterator[str]:
    """One sentence per invalid variable; never pydantic's own text, which may show a value."""
    for one in error.errors(include_input=False, include_url=False):
        variable, *part = (str(word) for word in one["loc"])
        if variable == "ports":
            variable = f"PIPELINE_PORT_{part[0].upper()}"
        yield f"{variable} {one['msg'] if one['type'] == 'setting' else 'cannot be used'}"


def load(
    environment: Mapping[str, str] | None = None, *, launched: bool = True, root: Path | None = None
) -> Settings:
    """The domain's settings: see `Settings.load`."""
    return Settings.load(environment, launched=launched, root=root)
