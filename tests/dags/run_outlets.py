"""Run the Dags of outlets/ in an Airflow of one's own, beside the pipeline's. Run by test_asset_line.py.

Prints as JSON, by Dag: the states of its tasks, the assets that it told of, and the Dags that are woken by it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DAGS = HERE.parents[1] / "dags"


def ran(dag_id: str) -> dict[str, list[str]]:
    """What a run of this Dag led to."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.asset import AssetDagRunQueue, AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    run = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags[dag_id].test()
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag_id))
        told = sorted(event.asset.name for event in events)
        woken = sorted(queued.target_dag_id for queued in session.scalars(select(AssetDagRunQueue)))
    return {"states": [str(ti.state) for ti in run.get_task_instances()], "told": told, "woken": woken}


def main() -> None:
    """Make Airflow's database, run both, print."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "dags")
        shutil.copytree(DAGS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "outlets" / "makes_assets.py", folder)
        sys.path.append(str(folder))
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PIPELINE_HOME": f"{home}/pipeline",
            "PYTHONPATH": str(folder),
        }
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = {dag_id: ran(dag_id) for dag_id in ("leaves_to_doorbells", "tells_at_the_end")}
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
