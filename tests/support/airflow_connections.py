"""Connections of Airflow to servers of the tests, as JSON."""

import json
from typing import Any

from psycopg.conninfo import conninfo_to_dict


def postgres_connection(dsn: str, **extra: Any) -> str:
    """The value of an AIRFLOW_CONN variable for a database, with options as its extra."""
    address = conninfo_to_dict(dsn)
    connection = {
        "conn_type": "postgres",
        "host": address["host"],
        "port": int(address["port"]),
        "schema": address["dbname"],
        "login": address["user"],
        "password": address["password"],
        "extra": extra,
    }
    return json.dumps(connection)
