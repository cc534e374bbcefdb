"""Tasks open the stores by hooks and commands by the settings: both reach the same server, the same way."""

import json
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest


@pytest.fixture
def stores(postgres: Any, mongo: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """dags/pipeline_stores.py with Airflow connections to the servers of this test."""
    where = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    connection = {
        "conn_type": "postgres",
        "host": where["host"],
        "port": int(where["port"]),
        "schema": where["dbname"],
        "login": where["user"],
        "password": where["password"],
        "extra": {"keepalives_idle": 33},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PIPELINE_POSTGRES", json.dumps(connection))
    uri = urlsplit(mongo.uri)
    monkeypatch.setenv(
        "AIRFLOW_CONN_PIPELINE_MONGO",
        json.dumps(
            {
                "conn_type": "mongo",
                "host": uri.hostname,
                "port": uri.port,
                "login": uri.username,
                "password": uri.password,
                "schema": "admin",
                "extra": {"authSource": "admin", "directConnection": True},
            }
        ),
    )
    import pipeline_stores

    return pipeline_stores


def test_a_task_has_postgresql_as_the_domain_wants_it(stores: Any, postgres: Any) -> None:
    """psycopg 3 in autocommit mode, by our name, with a timeout, and with what the connection's extra says."""
    with stores.warehouse() as connection:
        assert isinstance(connection, psycopg.Connection)
        assert connection.autocommit
        given = connection.info.get_parameters()
        assert (given["application_name"], given["connect_timeout"]) == ("tweet-pipeline", "10")
        assert given["keepalives_idle"] == "33"
        with psycopg.connect(postgres.dsn) as by_settings:
            where = "select current_database(), current_user, inet_server_port()"
            assert connection.execute(where).fetchone() == by_settings.execute(where).fetchone()
        connection.execute("insert into pipeline.notices (subject, notice) values ('a', 'b')")
    assert connection.closed
    with psycopg.connect(postgres.dsn) as reader:
        assert reader.execute("select count(*) from pipeline.notices").fetchone() == (1,)


def test_an_error_of_a_task_closes_its_connection(stores: Any) -> None:
    """And passes."""
    with pytest.raises(ValueError, match="mine"), stores.warehouse() as connection:
        raise ValueError("mine")
    assert connection.closed


def test_a_task_has_the_mongodb_of_the_settings(stores: Any, mongo: Any) -> None:
    """Same server, same user, the database that the settings name."""
    with stores.raw_store() as raw:
        assert raw.name == stores.SETTINGS.mongo_database
        assert raw.client.address == mongo.client.address
        assert raw.client[mongo.name].command("ping")["ok"] == 1
