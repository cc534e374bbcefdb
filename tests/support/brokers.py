"""Brokers of the tests, and the marks of tests that need a certain kind."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from support.names import fresh
from twitter_pipeline.stack import apache_kafka
from twitter_pipeline.stack.apache_kafka import ApacheKafka
from twitter_pipeline.stack.servers import RunningServer, free_port
from twitter_pipeline.stack.tansu import Tansu

WHERE_APACHE_KAFKA_RUNS = [
    pytest.mark.apache_kafka,
    pytest.mark.skipif(
        apache_kafka.missing() is not None,
        reason=f"Apache Kafka cannot run: {apache_kafka.missing()}",
    ),
]
BROKERS = ["tansu", pytest.param("apache-kafka", marks=WHERE_APACHE_KAFKA_RUNS)]
OWN_BROKERS = [
    "tansu",
    # a start of its own for each test takes seconds: Apache Kafka is left to the long rest
    pytest.param("apache-kafka", marks=[*WHERE_APACHE_KAFKA_RUNS, pytest.mark.soak]),
]
ON_TANSU = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)
ON_APACHE_KAFKA = pytest.mark.parametrize("kafka", BROKERS[1:], indirect=True)


@dataclass(frozen=True)
class Broker:
    """A running broker; `kind` is "tansu" or "apache-kafka"."""

    kind: str
    bootstrap: str
    running: RunningServer = field(repr=False)

    def create_topic(self, prefix: str = "raw-tweets", partitions: int = 3) -> str:
        """Create a topic of a fresh name, and where its dead letters are announced; return the name."""
        name = fresh(prefix)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics(
            [NewTopic(name, partitions, 1), NewTopic(f"{name}.dlq", 1, 1)]
        ).values():
            made.result(20)
        return name


@contextlib.contextmanager
def running_broker(kind: str, folder: Path) -> Iterator[Broker]:
    """A broker of a kind, ended at the end."""
    brokers = {
        "tansu": lambda: Tansu(free_port()),
        "apache-kafka": lambda: ApacheKafka(folder / "data", free_port(), free_port()),
    }
    server = brokers[kind]()
    with RunningServer(server, folder / "log") as running:
        yield Broker(kind, server.bootstrap, running)
        running.kill()  # nobody reads this log again: no need for an orderly end of seconds
