"""Airflow's connections, which hooks open, and the settings, which commands read, name the same stores."""

import json
import os
import subprocess
import sys
from pathlib import Path

from twitter_pipeline.stack import settings
from twitter_pipeline.stack.services import assemble

CLONE = Path(__file__).resolve().parents[2]
ASKS_HOOKS = """
import json, sys
sys.path.append(sys.argv[1])
import psycopg
from psycopg.conninfo import conninfo_to_dict

class Reached(Exception):
    pass

given = {}
def connect(**arguments):
    given.update(arguments)
    raise Reached
psycopg.Connection.connect = connect
import pipeline_stores
try:
    with pipeline_stores.warehouse():
        pass
except Reached:
    pass
dsn = conninfo_to_dict(pipeline_stores.SETTINGS.postgres_dsn)
names = {name: str(given[name]) for name in ("host", "port", "dbname", "user", "password")}
from pymongo import MongoClient
def spoken(client):
    known = client.options.pool_options._credentials
    return [sorted(client.topology_description.server_descriptions()), known.username, known.password, known.source]
with pipeline_stores.raw_store() as raw:
    hook = spoken(raw.client)
same = {
    "postgres": names == {name: dsn[name] for name in names},
    "mongo": hook == spoken(MongoClient(pipeline_stores.SETTINGS.mongo_uri, connect=False)),
    "kafka": pipeline_stores.kafka() == pipeline_stores.SETTINGS.kafka(),
}
print(json.dumps(same))
"""


def test_hooks_and_settings_name_the_same_stores(tmp_path: Path) -> None:
    """In the environment that the launcher gives to Airflow: address, user, password, way in."""
    given = {"PIPELINE_HOME": str(tmp_path / "home"), "PIPELINE_BROKER": "tansu"}
    stack = assemble(settings.load(given, launched=False, root=tmp_path))
    scheduler = stack.nodes["scheduler"].server.environment()
    run = subprocess.run(
        [sys.executable, "-c", ASKS_HOOKS, str(CLONE / "dags")],
        env={"PATH": os.environ["PATH"], **scheduler, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {"postgres": True, "mongo": True, "kafka": True}
