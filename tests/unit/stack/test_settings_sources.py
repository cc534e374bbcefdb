"""Where settings come from, and how an invalid one is reported."""

import json
import traceback
from decimal import Decimal
from pathlib import Path

import pytest

from twitter_pipeline import settings
from twitter_pipeline.settings import SettingsError
from twitter_pipeline.stack import settings as launchers
from twitter_pipeline.stack.settings import LauncherSettings


def _load(root: Path, environment: dict[str, str] | None = None, launched: bool = True) -> LauncherSettings:
    return launchers.load(environment or {}, launched=launched, root=root)


def test_the_environment_goes_before_the_users_file_before_the_launchers(tmp_path: Path) -> None:
    """A value is taken from the environment, then from .env, then from what the launcher wrote."""
    (tmp_path / ".env").write_text("X_BUDGET_USD=2\nPIPELINE_MONGO_DATABASE=mine\n")
    run = tmp_path / ".pipeline" / "run"
    run.mkdir(parents=True)
    launched = {
        "X_BUDGET_USD": "3",
        "PIPELINE_MONGO_DATABASE": "x",
        "PIPELINE_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }
    settings.write_environment_file(run / "environment", launched)
    found = _load(tmp_path, {"X_BUDGET_USD": "1.50"})
    assert (found.x_budget_usd, found.mongo_database) == (Decimal("1.50"), "mine")
    assert found.kafka_bootstrap == "127.0.0.1:1"
    assert _load(tmp_path, launched=False).kafka_bootstrap is None


def test_an_empty_value_is_none_and_hides_what_lies_behind(tmp_path: Path) -> None:
    """Compose passes X_BUDGET_USD= for unset variables; ports are set one by one, each by its nearest source."""
    (tmp_path / ".env").write_text(
        "X_BUDGET_USD=2\nPIPELINE_MONGO_DATABASE=mine\nPIPELINE_PORT_MONGO=30000\nPIPELINE_PORT_API=30001\n"
    )
    found = _load(tmp_path, {"X_BUDGET_USD": " ", "PIPELINE_PORT_API": "", "PIPELINE_PORT_SNS": "30002"})
    assert (found.x_budget_usd, found.mongo_database) == (None, "mine")
    assert found.ports == {"mongo": 30000, "sns": 30002}
    assert found.user_environment["X_BUDGET_USD"] == "2"


def test_the_domain_has_the_same_settings_without_the_launchers(tmp_path: Path) -> None:
    """An invalid launcher setting stops no task; invalid domain settings stop both and are all named."""
    assert settings.load({"PIPELINE_STALLED_SECONDS": "0"}, root=tmp_path).drains == 1
    for load in (settings.load, launchers.load):
        with pytest.raises(SettingsError, match="X_BUDGET_USD must be an amount") as refused:
            load({"PIPELINE_DRAINS": "0", "X_BUDGET_USD": "-1"}, root=tmp_path)
        assert "PIPELINE_DRAINS must be a whole number from 1 to 1000, not '0'" in str(refused.value)
    assert settings.Settings.defaults().items() < LauncherSettings.defaults().items()


def test_settings_are_only_read(tmp_path: Path) -> None:
    """Settings are read-only."""
    with pytest.raises(ValueError, match="frozen"):
        _load(tmp_path).drains = 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIPELINE_BROKER", "rabbitmq"),
        ("PIPELINE_PORT_BASE", "80"),
        ("PIPELINE_PORT_POSTGRES", "99999"),
        ("PIPELINE_TOPIC_PARTITIONS", "0"),
        ("X_API_URL", "ftp://somewhere"),
        ("X_API_URL", "http://user:password@somewhere"),
        ("PIPELINE_STATSD", "somewhere"),
        ("PIPELINE_FLOOD_RATIO", "1.1"),
        ("PIPELINE_KEEP_RECORDS_DAYS", "61"),
        ("PIPELINE_DRAINS", "many"),
        ("X_API_ALLOW_LOCAL", "maybe"),
        ("X_BUDGET_USD", "-1"),
        ("X_BUDGET_USD", "NaN"),
        ("X_BEARER_TOKEN", "two words"),
        ("PIPELINE_KAFKA_OPTIONS", "security.protocol=SSL"),
        ("PIPELINE_KAFKA_OPTIONS", '["SSL"]'),
        ("PIPELINE_KAFKA_OPTIONS", '{"ssl": {"ca": "x"}}'),
        ("PIPELINE_KAFKA_OPTIONS", '{"ssl.ca.location": null}'),
        ("PIPELINE_KAFKA_OPTIONS", '{"bootstrap.servers": "elsewhere:9092"}'),
        ("PIPELINE_STALLED_SECONDS", "0"),
        ("PIPELINE_TASK_HEARTBEAT_SECONDS", "1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    tmp_path: Path, variable: str, value: str
) -> None:
    """Every setting is checked when it is read, and the error names it."""
    with pytest.raises(SettingsError, match=variable):
        _load(tmp_path, {variable: value})


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    """Settings can be logged: token and passwords do not appear."""
    (tmp_path / ".env").write_text("AIRFLOW_CONN_X=canary-in-env-file\n")
    secrets = {
        "X_BEARER_TOKEN": "canary-token",
        "PIPELINE_POSTGRES_DSN": "postgresql://u:canary@h/d",
        "PIPELINE_POSTGRES_READER_DSN": "postgresql://u:canary@h/d",
        "PIPELINE_POSTGRES_MIGRATOR_DSN": "postgresql://u:canary@h/d",
        "PIPELINE_MONGO_URI": "mongodb://u:canary@h",
        "PIPELINE_KAFKA_BOOTSTRAP": "broker:9092",
        "PIPELINE_KAFKA_OPTIONS": '{"sasl.password": "canary"}',
    }
    found = _load(tmp_path, secrets)
    assert "canary" not in repr(found)
    assert "canary" not in repr(found.stores())


def test_a_kafka_client_is_made_with_where_and_how(tmp_path: Path) -> None:
    """The mapping of a client holds the address and every option; without options a broker is open."""
    options = {"security.protocol": "SASL_SSL", "sasl.password": "x", "socket.keepalive.enable": True}
    given = {"PIPELINE_KAFKA_BOOTSTRAP": "broker:9092", "PIPELINE_KAFKA_OPTIONS": json.dumps(options)}
    assert _load(tmp_path, given).kafka() == {"bootstrap.servers": "broker:9092"} | options
    del given["PIPELINE_KAFKA_OPTIONS"]
    assert _load(tmp_path, given).kafka() == {"bootstrap.servers": "broker:9092"}
    with pytest.raises(SettingsError, match="PIPELINE_KAFKA_BOOTSTRAP"):
        _load(tmp_path).kafka()


@pytest.mark.parametrize("options", ['{"sasl.password": "canary"', '{"sasl.password": ["canary"]}'])
def test_refused_options_are_not_repeated(tmp_path: Path, options: str) -> None:
    """The error about malformed options of Kafka does not print what may be a password."""
    with pytest.raises(SettingsError) as refused:
        _load(tmp_path, {"PIPELINE_KAFKA_OPTIONS": options})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("X_BEARER_TOKEN", "canary canary"),
        ("X_BEARER_TOKEN", "canary\x1b"),
        ("PIPELINE_API_TOKEN", "canäry canary"),
        ("X_API_URL", "https://user:canary@somewhere"),
    ],
)
def test_a_secret_that_is_refused_is_not_repeated(tmp_path: Path, variable: str, value: str) -> None:
    """Neither the error nor its traceback prints a malformed token, or a password in an address."""
    with pytest.raises(SettingsError, match=variable) as refused:
        _load(tmp_path, {variable: value})
    assert "canary" not in "".join(traceback.format_exception(refused.value))


def test_the_users_file_is_read_and_never_executed(tmp_path: Path) -> None:
    """Quotes, comments and `export` are understood; nothing is expanded."""
    path = tmp_path / ".env"
    path.write_text('# note\n\nexport A=\'one # two\'\nB="three \\" four"\nC=$(touch here)${A} # why\nD=\n')
    expected = {"A": "one # two", "B": 'three " four', "C": "$(touch here)${A}", "D": ""}
    assert settings.read_environment_file(path) == expected


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (r"""A='{"sasl.password": "a\\b"}' # it's""", r"""{"sasl.password": "a\\b"}"""),
        (r'A="C:\\"', "C:\\"),
        (r'A="one\ntwo" # three', "one\ntwo"),
        ("A = b#c", "b#c"),
        ("\ufeffA=b\r", "b"),
    ],
)
def test_what_quotes_mean(tmp_path: Path, line: str, value: str) -> None:
    """Single quotes are literal, as for docker compose, which reads the same file; double quotes know escapes."""
    path = tmp_path / ".env"
    path.write_text(f"{line}\nB=1", newline="")
    assert settings.read_environment_file(path) == {"A": value, "B": "1"}


@pytest.mark.parametrize("line", ["canary", "A='canary", 'A="canary', "1A=canary", "A='x' canary", "=canary"])
def test_a_broken_line_is_named_by_its_number_only(tmp_path: Path, line: str) -> None:
    """A malformed line is refused without showing its content, which may be a secret."""
    path = tmp_path / ".env"
    path.write_text(
        f"OK=1\n{line}\nNEXT='1'\nLAST=\"1\"\n"
    )  # a forgotten quote does not go on into the next line
    with pytest.raises(SettingsError, match="line 2") as refused:
        settings.read_environment_file(path)
    assert "canary" not in str(refused.value)


def test_what_the_launcher_writes_is_read_back_and_private(tmp_path: Path) -> None:
    """Values with quotes, spaces and JSON survive; only the owner can read the file."""
    path = tmp_path / "environment"
    values = {
        "A": '{"password": "p#\'\\\\"}',
        "B": "x y",
        "C": "émoji 🎉",
        "D": "one\r\ntwo\\",
        "E": "\x0b\u2028\\n",
    }
    settings.write_environment_file(path, values)
    assert settings.read_environment_file(path) == values
    assert path.stat().st_mode & 0o777 == 0o600


def test_ports_are_counted_from_the_base_and_moved_one_by_one(tmp_path: Path) -> None:
    """No two parts share a port by default, and each can be moved alone."""
    found = _load(tmp_path, {"PIPELINE_PORT_BASE": "20000", "PIPELINE_PORT_MONGO": "30000"})
    ports = {name: found.port(name) for name in settings.PORTED}
    assert len(set(ports.values())) == len(ports)
    assert (ports["airflow"], ports["mongo"]) == (20000, 30000)


def test_a_setting_that_a_command_needs_is_asked_for_by_name(tmp_path: Path) -> None:
    """A missing setting is named, with the file to which `make up` would have written it."""
    with pytest.raises(SettingsError, match="PIPELINE_KAFKA_BOOTSTRAP"):
        _load(tmp_path).need("kafka_bootstrap")
