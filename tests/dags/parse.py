"""Parse the Dags in an Airflow of one's own and print what they are, as JSON. Run by test_dag_parsing.py.

A process of its own, because Airflow reads its settings when it is imported. It forks for each environment that is
given as a JSON list on standard input, since the modules beside the Dags read theirs when they are imported.
"""

import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

DAGS = Path(__file__).resolve().parents[2] / "dags"


def described(environment: dict[str, str]) -> dict[str, Any]:
    """Files, import errors and Dags under this environment."""
    os.environ.update(environment)
    sys.path.append(str(DAGS))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    return {
        "import_errors": bag.import_errors,
        "dags": {dag_id: _dag(dag) for dag_id, dag in bag.dags.items()},
    }


def _dag(dag: Any) -> dict[str, Any]:
    condition = getattr(dag.timetable, "asset_condition", None)
    sweep = getattr(dag.timetable, "timetable", None)
    return {
        "file": Path(dag.fileloc).name,
        "doc_md": dag.doc_md,
        "max_active_runs": dag.max_active_runs,
        "dagrun_seconds": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds(),
        "is_paused_upon_creation": dag.is_paused_upon_creation,
        "catchup": dag.catchup,
        "interval_seconds": dag.schedule.total_seconds() if hasattr(dag.schedule, "total_seconds") else None,
        "sweep": getattr(sweep, "expression", None),
        "assets": {
            asset.name: [watcher.name for watcher in asset.watchers]
            for asset in (condition.objects if condition is not None else ())
        },
        "doorbells": {
            watcher.name: watcher.trigger.serialize()[1]
            for asset in (condition.objects if condition is not None else ())
            for watcher in asset.watchers
        },
        "tasks": {
            task.task_id: {
                "owner": task.owner,
                "retries": task.retries,
                "execution_seconds": task.execution_timeout and task.execution_timeout.total_seconds(),
                "failure_callbacks": [callback.__name__ for callback in task.on_failure_callback or ()],
                "outlets": [asset.name for asset in task.outlets],
                "outlet_watchers": [watcher.name for asset in task.outlets for watcher in asset.watchers],
                "is_mapped": task.is_mapped,
            }
            for task in dag.tasks
        },
    }


def main() -> None:
    """Describe the Dags once for each environment, in that order."""
    environments = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PIPELINE_HOME": f"{home}/pipeline",
            "PIPELINE_ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
        }
        import airflow.dag_processing.dagbag  # noqa: F401 - once, for all the forks

        # one fork each, one after another: an environment must not leak into the next
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            found = pool.map(described, environments, chunksize=1)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
