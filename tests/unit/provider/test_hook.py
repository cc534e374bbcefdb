"""From an Airflow connection to a client, and a test button that only reads."""

import json
from typing import Any

import pytest

from airflow_provider_twitter.client import AddressRefused
from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook
from airflow_provider_twitter.hooks.twitter import TwitterHook

CANARY = "canary-7f3a9c51-token"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declares connection twitter_default in the environment."""

    def declare(**fields: Any) -> TwitterHook:
        connection = {"conn_type": "twitter", "password": CANARY, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_TWITTER_DEFAULT", json.dumps(connection))
        return TwitterHook()

    return declare


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://api.x.com"),
        ({"host": "https://api.x.com/"}, "https://api.x.com"),
        ({"host": "proxy.example", "port": 8443}, "https://proxy.example:8443"),
        ({"host": "http://127.0.0.1:8080", "extra": {"allow_local": True}}, "http://127.0.0.1:8080"),
        (
            {"host": "127.0.0.1", "schema": "http", "port": 80, "extra": {"allow_local": "true"}},
            "http://127.0.0.1:80",
        ),
    ],
)
def test_a_connection_becomes_a_client(connect: Any, fields: dict[str, Any], base_url: str) -> None:
    """Host, port and schema make the base URL; without a host it is the real X."""
    with connect(**fields).get_conn() as client:
        assert client.base_url == base_url
        assert client.requested.vocabulary == "tweet"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"extra": {"allow_locals": True}}, "allow_locals"),
        ({"extra": {"vocabulary": "toot"}}, "vocabulary"),
        ({"extra": {"total_seconds": 0}}, "total_seconds"),
        ({"password": ""}, "bearer token"),
    ],
)
def test_a_wrong_connection_is_refused_with_its_name(
    connect: Any, fields: dict[str, Any], complaint: str
) -> None:
    """An invalid connection is reported with its id and the setting, without the token."""
    with pytest.raises(ValueError, match=complaint) as refused:
        connect(**fields).get_conn()
    assert "twitter_default" in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_local_address_needs_its_flag(connect: Any) -> None:
    """A connection to a loopback address without allow_local is refused before anything is sent."""
    with pytest.raises(AddressRefused):
        connect(host="http://127.0.0.1:8080").get_conn()


def test_the_token_is_not_in_the_repr_of_what_was_read(connect: Any) -> None:
    """Reading a connection shows everything but the token."""
    assert CANARY not in repr(connect().read_connection())


def test_a_rotated_token_is_used_by_the_next_client(x: Any, connect: Any) -> None:
    """The connection is read for each client, so no restart is needed after a rotation."""
    x.answers()
    for token in ("first", "second"):
        hook = connect(host=x.url, extra={"allow_local": True}, password=token)
        with hook.get_conn() as client:
            client.search_recent("coffee")
    assert [asked.headers["authorization"] for asked in x.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("status", "body", "works", "says"),
    [
        (200, {"data": {"project_usage": "12", "project_cap": "100"}}, True, "12 of 100"),
        (200, {"data": {"cap_reset_day": 3}}, True, "accepts the token"),
        (200, {}, False, "does not count"),
        (404, {}, True, "no usage endpoint"),
        (401, {"detail": "Unauthorized"}, False, "not accepted"),
        (400, {"detail": "days?"}, False, "days?"),
    ],
)
def test_the_test_button_only_reads(
    x: Any, connect: Any, status: int, body: Any, works: bool, says: str
) -> None:
    """The button requests the usage, which is free, and reports the result in a sentence."""
    x.answers(body, status)
    result, message = connect(host=x.url, extra={"allow_local": True}).test_connection()
    assert (result, says in message) == (works, True)
    assert {asked.path for asked in x.asked} == {"/2/usage/tweets"}
    assert CANARY not in message


def test_the_test_button_tells_of_a_wrong_connection(connect: Any) -> None:
    """A connection from which no client can be created gives a message, not a traceback."""
    assert connect(host="ftp://x").test_connection()[0] is False


def test_a_kafka_connection_becomes_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra of a Kafka connection is passed on as librdkafka options."""
    extra = {"bootstrap.servers": "broker:9092", "security.protocol": "SASL_SSL"}
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
    assert KafkaConfigurationHook().configuration() == extra
