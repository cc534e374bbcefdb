"""Tasks open the stores by hooks and commands by the settings: both reach the same server, the same way."""

from typing import Any

import psycopg
import pytest


@pytest.fixture
def stores(airflow_connections: None) -> Any:
    """dags/pipeline_stores.py with Airflow connections to the servers of this test."""
    import pipeline_stores

    return pipeline_stores


def test_a_task_has_postgresql_as_the_domain_wants_it(stores: Any, postgres: Any) -> None:
    """psycopg 3 in autocommit mode, with our application name, a timeout, and the connection's extra."""
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
    """And is passed on."""
    with pytest.raises(ValueError, match="mine"), stores.warehouse() as connection:
        raise ValueError("mine")
    assert connection.closed


def test_a_task_has_the_mongodb_of_the_settings(stores: Any, mongo: Any) -> None:
    """Same server, same user, the database that the settings name."""
    with stores.raw_store() as raw:
        assert raw.name == stores.SETTINGS.mongo_database
        assert raw.client.address == mongo.client.address
        assert raw.client[mongo.name].command("ping")["ok"] == 1
