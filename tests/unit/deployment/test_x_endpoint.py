"""Which X API is used, and that a token alone never starts spending."""

from pathlib import Path

import pytest

from twitter_pipeline import settings
from twitter_pipeline.deployment import x_endpoint
from twitter_pipeline.deployment.errors import DeploymentError

OWN_RULES = "rules:\n  - name: mine\n    query: mine\n"


def _choose(root: Path, **environment: str) -> x_endpoint.XEndpoint:
    return x_endpoint.choose(settings.load(environment, launched=False, root=root))


def test_without_anything_the_simulator_stands_in(tmp_path: Path) -> None:
    """No token and no address: the simulator, with the shipped rules."""
    chosen = _choose(tmp_path)
    assert (chosen.is_simulator, chosen.rules) == (True, x_endpoint.sample_rules())


def test_a_token_alone_starts_nothing_and_says_what_is_missing(tmp_path: Path) -> None:
    """A token without rules and budget is refused, naming both."""
    with pytest.raises(DeploymentError, match=r"your own rules.*X_BUDGET_USD"):
        _choose(tmp_path, X_BEARER_TOKEN="token")


@pytest.mark.parametrize("budget", ["", "0", "0.00"])
def test_a_token_with_rules_and_no_budget_starts_nothing(tmp_path: Path, budget: str) -> None:
    """A budget of zero does not count as a budget."""
    (tmp_path / "rules.yaml").write_text(OWN_RULES)
    with pytest.raises(DeploymentError, match="X_BUDGET_USD"):
        _choose(tmp_path, X_BEARER_TOKEN="token", X_BUDGET_USD=budget)


def test_a_copy_of_the_shipped_rules_is_not_the_users_own(tmp_path: Path) -> None:
    """The sample's rules never run against the real X, not even copied."""
    (tmp_path / "rules.yaml").write_bytes(x_endpoint.sample_rules().read_bytes())
    with pytest.raises(DeploymentError, match="your own rules"):
        _choose(tmp_path, X_BEARER_TOKEN="token", X_BUDGET_USD="5")


def test_token_rules_and_budget_together_mean_the_real_x(tmp_path: Path) -> None:
    """With all three set, the real X is used, and its token is in no repr."""
    (tmp_path / "rules.yaml").write_text(OWN_RULES)
    chosen = _choose(tmp_path, X_BEARER_TOKEN="canary", X_BUDGET_USD="5")
    assert (chosen.url, chosen.is_simulator, chosen.allow_local) == (x_endpoint.REAL_X, False, False)
    assert "canary" not in repr(chosen)


def test_a_connection_of_the_users_own_counts_as_a_token(tmp_path: Path) -> None:
    """AIRFLOW_CONN_TWITTER_DEFAULT in .env needs rules and a budget as X_BEARER_TOKEN does."""
    (tmp_path / ".env").write_text(
        'AIRFLOW_CONN_TWITTER_DEFAULT=\'{"conn_type":"twitter","password":"t"}\'\n'
    )
    with pytest.raises(DeploymentError, match="X_BUDGET_USD"):
        _choose(tmp_path)


def test_the_real_x_without_a_token_is_refused(tmp_path: Path) -> None:
    """An address alone is not enough."""
    with pytest.raises(DeploymentError, match="X_BEARER_TOKEN"):
        _choose(tmp_path, X_API_URL="https://api.x.com")


def test_a_local_emulator_is_used_only_when_allowed(tmp_path: Path) -> None:
    """Plain http and private addresses need X_API_ALLOW_LOCAL=true; then no budget is needed."""
    with pytest.raises(DeploymentError, match="X_API_ALLOW_LOCAL"):
        _choose(tmp_path, X_API_URL="http://127.0.0.1:9")
    chosen = _choose(tmp_path, X_API_URL="http://127.0.0.1:9", X_API_ALLOW_LOCAL="true")
    assert (chosen.url, chosen.is_simulator, chosen.allow_local) == ("http://127.0.0.1:9", False, True)


def test_an_address_elsewhere_may_cost_money_even_when_local_ones_are_allowed(tmp_path: Path) -> None:
    """Whatever is not this machine or network is treated as the real X."""
    with pytest.raises(DeploymentError, match="may cost money"):
        _choose(tmp_path, X_API_URL="http://192.0.2.1.example.invalid", X_API_ALLOW_LOCAL="true")


def test_rules_that_are_not_there_are_named(tmp_path: Path) -> None:
    """PIPELINE_RULES must name a file."""
    with pytest.raises(DeploymentError, match="PIPELINE_RULES"):
        _choose(tmp_path, PIPELINE_RULES=str(tmp_path / "none.yaml"))


def test_rules_that_went_away_since_the_first_launch_are_left_to_seeding(tmp_path: Path) -> None:
    """The table has them still: neither `make up` nor `make status` is refused for the file."""
    (tmp_path / "home" / "run").mkdir(parents=True)
    (tmp_path / "home" / "run" / "environment").touch()
    real = {"X_BEARER_TOKEN": "token", "X_BUDGET_USD": "5", "PIPELINE_HOME": str(tmp_path / "home")}
    assert _choose(tmp_path, **real).rules == tmp_path / "rules.yaml"
    away = tmp_path / "away.yaml"
    assert _choose(tmp_path, **real, PIPELINE_RULES=str(away)).rules == away
