"""How clients authenticate to the stack's broker, and a check whether a broker answers."""

import socket
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from twitter_pipeline.settings import KafkaOption
from twitter_pipeline.stack.servers import ASK_SECONDS, StackError

USER = "pipeline"
MECHANISM = "SCRAM-SHA-512"


def with_password(password: str) -> dict[str, KafkaOption]:
    """librdkafka options for the stack's own user, including the password."""
    return {
        "security.protocol": "SASL_PLAINTEXT",  # loopback traffic, which only root can read
        "sasl.mechanism": MECHANISM,
        "sasl.username": USER,
        "sasl.password": password,
    }


def answers(kafka: Mapping[str, KafkaOption]) -> bool:
    """Whether a broker lists its topics. Raises StackError if it refuses the password."""
    host, _, port = str(kafka["bootstrap.servers"]).partition(":")
    try:  # fails at once if nothing listens, while librdkafka would wait
        socket.create_connection((host, int(port)), timeout=ASK_SECONDS).close()
    except OSError:
        return False
    errors: list[KafkaError] = []
    own: dict[str, Any] = {
        "log_level": 0,
        "socket.connection.setup.timeout.ms": 1000 * ASK_SECONDS,
        "error_cb": errors.append,
    }
    admin = AdminClient({**kafka, **own})
    try:
        return bool(admin.list_topics(timeout=ASK_SECONDS).brokers)
    except KafkaException:
        admin.poll(0)  # passes the reasons to error_cb
        if any(error.code() == KafkaError._AUTHENTICATION for error in errors):
            raise StackError(
                f"the broker at {host}:{port} refuses this install's password: another broker answers there, "
                "or the secrets file was replaced"
            ) from None
        return False
