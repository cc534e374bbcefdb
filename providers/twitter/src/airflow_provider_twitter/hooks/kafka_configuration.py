"""A Kafka connection as configuration, for clients that are created elsewhere."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook
from airflow.sdk import Connection


class KafkaConfigurationHook(KafkaBaseHook):
    """Returns the configuration in a connection of type "kafka", with callbacks resolved, instead of a client.

    :param kafka_config_id: id of the connection
    :param connection: the connection itself, if it was already read (a trigger reads it asynchronously)
    """

    def __init__(
        self,
        kafka_config_id: str = KafkaBaseHook.default_conn_name,
        connection: Connection | None = None,
    ) -> None:
        super().__init__(kafka_config_id)
        self._connection = connection

    def configuration(self) -> dict[str, Any]:
        """Settings for librdkafka: bootstrap.servers and whatever else the connection's extra sets."""
        return dict(self.get_conn)

    def get_connection(self, conn_id: str) -> Connection:
        """The connection passed in, or the one with this id."""
        return self._connection or super().get_connection(conn_id)

    def _get_client(self, config: dict[str, Any]) -> dict[str, Any]:
        return config
