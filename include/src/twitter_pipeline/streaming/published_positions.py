"""Publish a stage's position as the committed offset of a consumer group, without consuming.

Landing and transform each commit their positions to a group of their own, so that a doorbell can compare the two
without access to PostgreSQL. A published position may be lost: pipeline.cursors is authoritative, and a slow sweep
finds what the doorbell missed.
"""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

logger = logging.getLogger(__name__)


class PublishedPositions:
    """Commits positions of one topic to one group; a context manager that connects on first use."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, group: str) -> None:
        self._config = {**kafka, "group.id": group, "enable.auto.commit": False}
        self._topic = topic
        self._consumer: Consumer | None = None

    def __enter__(self) -> "PublishedPositions":
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def publish(self, positions: Mapping[int, int]) -> None:
        """Commit `positions` (partition -> next offset). A failure is logged, never raised."""
        if self._consumer is None:
            self._consumer = Consumer(self._config, logger=logger)
        try:
            self._consumer.commit(offsets=offsets(self._topic, positions), asynchronous=False)
        except KafkaException as error:
            logger.warning("position not published topic=%s error=%s", self._topic, error.args[0].str())


def offsets(topic: str, positions: Mapping[int, int]) -> list[TopicPartition]:
    """Positions in the form that Kafka's client takes."""
    return [TopicPartition(topic, p, offset) for p, offset in sorted(positions.items())]
