"""Publishing a position to a consumer group without consuming: the second bell-rope.

Landing's and processing's positions are both committed to groups of their own, so that a doorbell can compare
them without knowing our books. A hint may be lost; the books decide, and a slow sweep stands behind.
"""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

logger = logging.getLogger(__name__)


class Hints:
    """Commits positions of one topic to one group; a context manager, connected at the first use."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, group: str) -> None:
        self._config = {**kafka, "group.id": group, "enable.auto.commit": False}
        self._topic = topic
        self._consumer: Consumer | None = None

    def __enter__(self) -> "Hints":
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def publish(self, positions: Mapping[int, int]) -> None:
        """Commit `positions` (partition -> next offset). Failure is logged and never raised."""
        if self._consumer is None:
            self._consumer = Consumer(self._config, logger=logger)
        try:
            self._consumer.commit(offsets=offsets(self._topic, positions), asynchronous=False)
        except KafkaException as error:
            logger.warning("hint not published topic=%s error=%s", self._topic, error.args[0].str())


def offsets(topic: str, positions: Mapping[int, int]) -> list[TopicPartition]:
    """Positions as Kafka's client wants them."""
    return [TopicPartition(topic, p, offset) for p, offset in sorted(positions.items())]
