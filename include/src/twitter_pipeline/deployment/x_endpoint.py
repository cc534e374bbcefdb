"""Which X API to use, and whether spending is allowed: a token alone never starts spending."""

import json
import os
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from twitter_pipeline.collection.budget import is_local
from twitter_pipeline.deployment.errors import DeploymentError
from twitter_pipeline.settings import Settings

REAL_X = "https://api.x.com"
SIMULATOR_TOKEN = "simulator"  # noqa: S105 - the simulator accepts any token


@dataclass(frozen=True)
class XEndpoint:
    """The X API in use: its base URL, the token for it, the rules file, and one sentence on why it was chosen."""

    url: str
    token: str = field(repr=False)
    is_simulator: bool
    allow_local: bool
    rules: Path
    why: str

    def connection(self) -> str:
        """The Airflow connection twitter_default as JSON, including the token."""
        extra = {"allow_local": self.allow_local}
        return json.dumps({"conn_type": "twitter", "host": self.url, "password": self.token, "extra": extra})


def sample_rules() -> Path:
    """The shipped rules, only for the simulator and other emulators."""
    return Path(str(files(__package__) / "sample_rules.yaml"))


def choose(settings: Settings, *, rules_may_be_missing: bool = False) -> XEndpoint:
    """Choose the simulator, an emulator or the real X. Raises DeploymentError if the chosen one lacks something.

    A rules file that disappeared since an earlier launch does not count as missing, nor does any file with
    `rules_may_be_missing`: its rules are in the tables, and seeding reports what happens to them.
    """
    rules_may_be_missing |= (settings.run / "environment").is_file()
    simulator = f"http://127.0.0.1:{settings.port('simulator')}"
    url, token = settings.x_api_url, settings.x_bearer_token
    connection = _own_connection(settings)
    url = url or connection.get("host") or None
    token = token or connection.get("password") or None
    rules = settings.rules_file()
    if settings.rules and not settings.rules.is_file() and not rules_may_be_missing:
        raise DeploymentError(f"PIPELINE_RULES is {settings.rules}, which is not a file")
    if url == simulator or (url is None and token is None):
        why = "neither X_BEARER_TOKEN nor X_API_URL is set, so the simulator stands in for X"
        return XEndpoint(simulator, SIMULATOR_TOKEN, True, True, rules or sample_rules(), why)
    if url is not None and (url.startswith("http:") or is_local(url)):
        if not settings.x_api_allow_local:
            raise DeploymentError(
                f"X_API_URL is {url}, plain http or a private address; set X_API_ALLOW_LOCAL=true to allow that"
            )
        if is_local(url):
            why = "X_API_URL names an emulator of X on this machine or network"
            return XEndpoint(url, token or SIMULATOR_TOKEN, False, True, rules or sample_rules(), why)
    if rules is None and (settings.run / "environment").is_file():
        rules = settings.clone / "rules.yaml"
    missing = []
    if token is None:
        missing.append("X_BEARER_TOKEN, the bearer token for X")
    if rules is None or _is_sample(rules):
        missing.append(
            f"your own rules, in {settings.clone / 'rules.yaml'} or the file named by PIPELINE_RULES"
        )
    if not settings.x_budget_usd:
        missing.append("X_BUDGET_USD, the most that may be spent, in US dollars")
    if missing or rules is None or token is None:
        raise DeploymentError(
            f"collecting from {url or REAL_X} may cost money; it does not start without " + "; ".join(missing)
        )
    allow = settings.x_api_allow_local
    return XEndpoint(
        url or REAL_X, token, False, allow, rules, "X_BEARER_TOKEN, rules and X_BUDGET_USD are set"
    )


def _is_sample(rules: Path) -> bool:
    """Whether the file is a copy of the shipped rules. An unreadable file is not; seeding reports what happens to it."""
    try:
        return rules.read_bytes() == sample_rules().read_bytes()
    except OSError:
        return False


def _own_connection(settings: Settings) -> dict[str, str]:
    """Host and password of the connection that the user set in AIRFLOW_CONN_TWITTER_DEFAULT, as JSON."""
    variable = "AIRFLOW_CONN_TWITTER_DEFAULT"
    given = os.environ.get(variable) or settings.user_environment.get(variable)
    if not given:
        return {}
    try:
        connection = json.loads(given)
    except ValueError:
        connection = None
    if not isinstance(connection, dict):
        raise DeploymentError(f"{variable} must be a JSON object with host and password")
    return {
        key: value for key in ("host", "password") if isinstance(value := connection.get(key), str) and value
    }
