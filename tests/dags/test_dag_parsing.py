"""All Dags exist and follow the project's rules."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from twitter_pipeline.settings import Settings
from twitter_pipeline.stack import airflow, settings
from twitter_pipeline.stack.credentials import Credentials

CLONE = Path(__file__).resolve().parents[2]
DAGS = CLONE / "dags"
DEFAULTS = Settings.model_fields
SCREEN_LINES = 70

DAGS_OF_FILES: dict[str, set[str]] = {
    "data_quality.py": {"data_quality"},
    "housekeeping.py": {"housekeeping"},
    "pipeline_assets.py": set(),
    "pipeline_collect_rule.py": set(),
    "pipeline_policies.py": set(),
    "pipeline_stores.py": set(),
    "pipeline_x.py": set(),
    "tweet_export.py": {"tweet_export"},
    "tweet_extraction.py": {"tweet_extraction"},
    "tweet_landing.py": {"tweet_landing"},
    "tweet_processing.py": {"tweet_processing"},
}
DRAINS = ("tweet_landing", "tweet_processing")
WATCHED = {
    "data_quality": {"unverified_tweets": ["contracts_are_due"]},
    "tweet_extraction": {"due_rules": ["rules_are_due"]},
    "tweet_landing": {"produced_tweets": ["not_yet_landed"]},
    "tweet_processing": {"landed_tweets": ["not_yet_processed"]},
}
VARIANTS = {
    "default": {},
    "no sweep": {"PIPELINE_SWEEP_CRON": ""},
    "no doorbells": {"PIPELINE_DOORBELLS": "false"},
    "other times": {"PIPELINE_SWEEP_CRON": "*/7 * * * *", "PIPELINE_EXTRACTION_SECONDS": "60"},
    "three drains": {"PIPELINE_DRAINS": "3"},
}
Parsed = Mapping[str, Any]


@pytest.fixture(scope="module")
def variants() -> dict[str, Parsed]:
    """What Airflow makes of the Dag files, for each variant of the settings."""
    defaults = {
        variable: str(default)
        for variable, default in (
            ("PIPELINE_EXTRACTION_SECONDS", DEFAULTS["extraction_seconds"].default),
            ("PIPELINE_DRAINS", DEFAULTS["drains"].default),
            ("PIPELINE_QUALITY_MINUTES", DEFAULTS["quality_minutes"].default),
        )
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PIPELINE_", "X_"))}
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("parse.py"))],
        input=json.dumps([defaults | variant for variant in VARIANTS.values()]),
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return dict(zip(VARIANTS, json.loads(run.stdout.splitlines()[-1]), strict=True))


@pytest.fixture(scope="module")
def parsed(variants: dict[str, Parsed]) -> Parsed:
    return variants["default"]


@pytest.fixture(scope="module")
def dags(parsed: Parsed) -> dict[str, Any]:
    return dict(parsed["dags"])


def test_every_file_imports(variants: dict[str, Parsed]) -> None:
    """No file of dags/ fails to import, whatever the settings are."""
    errors = {name: parsed["import_errors"] for name, parsed in variants.items() if parsed["import_errors"]}
    assert errors == {}


def test_files_and_their_dags_are_listed(dags: dict[str, Any]) -> None:
    """Each file defines the Dags that are listed for it here."""
    found: dict[str, set[str]] = {file.name: set() for file in DAGS.glob("*.py")}
    for dag_id, dag in dags.items():
        found[dag["file"]].add(dag_id)
    unlisted = sorted(found.keys() - DAGS_OF_FILES.keys())
    assert not unlisted, (
        f"please add {', '.join(unlisted)} and the Dags that it defines to DAGS_OF_FILES in {Path(__file__).name}, "
        "then run `make docs`"
    )
    assert found == DAGS_OF_FILES


def test_dag_is_named_like_its_file(dags: dict[str, Any]) -> None:
    """A Dag is found by its name."""
    assert {dag_id: dag["file"] for dag_id, dag in dags.items()} == {
        dag_id: f"{dag_id}.py" for dag_id in dags
    }


def test_every_dag_says_what_to_do_when_it_is_red(dags: dict[str, Any]) -> None:
    """The documentation of a Dag is the docstring of its file and has a paragraph for the operator."""
    for dag_id, dag in dags.items():
        assert dag["doc_md"], f"{dag_id} has no doc_md"
        assert "\nRed? " in dag["doc_md"], f"{dag_id} does not say what to do when it is red"


def test_runs_are_bounded(dags: dict[str, Any]) -> None:
    """Each Dag bounds its runs in number and time and never catches up; drains run one at a time."""
    for dag_id, dag in dags.items():
        assert 1 <= dag["max_active_runs"] <= 3, dag_id
        assert dag["dagrun_seconds"], f"{dag_id} has no dagrun_timeout"
        assert dag["catchup"] is False, dag_id
    assert [dags[dag_id]["max_active_runs"] for dag_id in DRAINS] == [1, 1]


def test_every_task_has_an_owner_retries_a_timeout_and_an_alert(variants: dict[str, Parsed]) -> None:
    """No task runs forever, fails without a retry, or fails silently."""
    for parsed in variants.values():
        for dag_id, dag in parsed["dags"].items():
            for task_id, task in dag["tasks"].items():
                name = f"{dag_id}.{task_id}"
                assert task["owner"] == "tweet-pipeline", name
                assert task["retries"] >= 2, name
                assert task["execution_seconds"], name
                assert task["execution_seconds"] <= dag["dagrun_seconds"], name
                assert task["failure_callbacks"] == ["tell_the_operator"], name


def test_dags_are_not_paused_when_they_are_created(dags: dict[str, Any], tmp_path: Path) -> None:
    """A paused Dag has no watcher and would miss its doorbell."""
    configured = airflow.environment(
        settings.load({}, root=tmp_path), Credentials(tmp_path / "secrets"), "postgresql://", {}, None
    )
    assert configured["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"
    assert not any(dag["is_paused_upon_creation"] for dag in dags.values())


def test_assets_carry_their_watchers(variants: dict[str, Parsed]) -> None:
    """Each stage is started by a doorbell, with or without a sweep."""
    for name in ("default", "no sweep", "three drains"):
        dags = variants[name]["dags"]
        assert {dag_id: dags[dag_id]["assets"] for dag_id in WATCHED} == WATCHED


def test_sweep_stands_behind_the_doorbells(variants: dict[str, Parsed]) -> None:
    """PIPELINE_SWEEP_CRON sets the sweep; empty, only the doorbells wake."""
    swept = {
        name: {parsed["dags"][dag_id]["sweep"] for dag_id in DRAINS} for name, parsed in variants.items()
    }
    assert swept["default"] == swept["no doorbells"] == {"*/20 * * * *"}
    assert swept["other times"] == {"*/7 * * * *"}
    assert swept["no sweep"] == {None}


def test_doorbells_can_be_left_out(variants: dict[str, Parsed]) -> None:
    """PIPELINE_DOORBELLS=false leaves the assets without watchers; then extraction follows the clock."""
    dags = variants["no doorbells"]["dags"]
    assert [dags[dag_id]["assets"] for dag_id in DRAINS] == [{"produced_tweets": []}, {"landed_tweets": []}]
    assert dags["tweet_extraction"]["interval_seconds"] == DEFAULTS["extraction_seconds"].default


def test_nothing_runs_by_the_clock_to_find_that_there_is_nothing(variants: dict[str, Parsed]) -> None:
    """The clock starts a Dag with a doorbell only a few times an hour; this includes extraction, which once ran every 15 seconds."""
    for dag_id in ("tweet_extraction", *DRAINS):
        assert variants["default"]["dags"][dag_id]["sweep"] == "*/20 * * * *"
        assert variants["default"]["dags"][dag_id]["interval_seconds"] is None


def test_due_rules_are_looked_for_as_often_as_the_setting_says(variants: dict[str, Parsed]) -> None:
    """PIPELINE_EXTRACTION_SECONDS is how often the doorbell checks, through the loader's connection; it holds no secret."""
    for name, seconds in (("default", DEFAULTS["extraction_seconds"].default), ("other times", 60)):
        bell = variants[name]["dags"]["tweet_extraction"]["doorbells"]["rules_are_due"]
        assert (bell["postgres_conn_id"], bell["poll_seconds"]) == ("pipeline_postgres", seconds)


def test_the_quality_doorbell_knows_every_contract(variants: dict[str, Parsed]) -> None:
    """It is also the span within which no contract is verified twice."""
    bell = variants["default"]["dags"]["data_quality"]["doorbells"]["contracts_are_due"]
    contracts = sorted(path.stem for path in (CLONE / "soda").glob("*.yml"))
    assert bell["parameters"] == {"contracts": contracts, "minutes": DEFAULTS["quality_minutes"].default}


def test_one_drain_needs_no_plan(variants: dict[str, Parsed]) -> None:
    """With one drain, a stage is one task; with more, a plan assigns the partitions."""
    for dag_id in DRAINS:
        assert list(variants["default"]["dags"][dag_id]["tasks"]) == ["drain"]
        several = variants["three drains"]["dags"][dag_id]["tasks"]
        assert {task_id: task["is_mapped"] for task_id, task in several.items()} == {
            "plan": False,
            "drain": True,
        }


def test_the_assets_are_one_line(variants: dict[str, Parsed]) -> None:
    """Each stage makes the asset that the next one is scheduled on; the last makes `tweets`, for anyone to schedule on."""
    stages = {"tweet_extraction": "collect", "tweet_landing": "drain", "tweet_processing": "drain"}
    for parsed in variants.values():
        dags = parsed["dags"]
        outlets = [dags[dag_id]["tasks"][task_id]["outlets"] for dag_id, task_id in stages.items()]
        assert outlets == [["produced_tweets"], ["landed_tweets"], ["tweets"]]
        waits = [list(dags[dag_id]["assets"]) for dag_id in DRAINS]
        assert waits == outlets[:2]


def test_an_outlet_carries_the_watchers_of_its_asset(variants: dict[str, Parsed]) -> None:
    """Airflow takes the watchers of an asset from whichever Dag file it reads last."""
    for name, watchers in (("default", ["not_yet_landed"]), ("no doorbells", [])):
        assert variants[name]["dags"]["tweet_extraction"]["tasks"]["collect"]["outlet_watchers"] == watchers


def test_quality_is_looked_at_after_new_tweets_and_each_night(dags: dict[str, Any]) -> None:
    """It is started by its doorbell and by the clock; the contracts of a schema are one task, the accounting is another."""
    quality = dags["data_quality"]
    assert quality["sweep"] == "30 3 * * *"
    assert {task_id: task["is_mapped"] for task_id, task in quality["tasks"].items()} == {
        "due_contracts": False,
        "verify": True,
        "account": False,
    }


def test_housekeeping_runs_once_a_night(dags: dict[str, Any]) -> None:
    """Each history has its own task, so that a failure does not affect the others."""
    assert dags["housekeeping"]["sweep"] is None
    assert list(dags["housekeeping"]["tasks"]) == [
        "airflow_history",
        "log_files",
        "own_records",
        "older_observations",
        "alert_path",
    ]


def test_dag_file_fits_on_a_screen() -> None:
    """A Dag file reads like a table of contents."""
    lengths = {
        file.name: len(file.read_text().splitlines())
        for file in DAGS.glob("*.py")
        if file.stem in {d for s in DAGS_OF_FILES.values() for d in s}
    }
    assert {name: length for name, length in lengths.items() if length > SCREEN_LINES} == {}


def test_domain_imports_no_airflow() -> None:
    """Every module of twitter_pipeline can be imported without importing Airflow."""
    program = (
        "import importlib, pkgutil, sys, twitter_pipeline\n"
        "for module in pkgutil.walk_packages(twitter_pipeline.__path__, 'twitter_pipeline.'):\n"
        "    importlib.import_module(module.name)\n"
        "found = sorted(n for n in sys.modules if n.split('.')[0] in ('airflow', 'airflow_provider_twitter'))\n"
        "sys.exit(f'imported: {found[:5]}' if found else 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
