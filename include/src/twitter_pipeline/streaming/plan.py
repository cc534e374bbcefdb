"""Which drain takes which partitions: assigned here, never negotiated."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from confluent_kafka.admin import AdminClient

from tweet_envelope.topic import topic_identity

UNFINISHED = """
select distinct landing.topic_id, landing.partition from pipeline.cursors landing
left join pipeline.cursors transform
    on transform.stage = 'transform' and transform.topic_id = landing.topic_id
    and transform.partition = landing.partition
where landing.stage = 'land'
    and (transform.next_offset is distinct from landing.next_offset or landing.topic_id = %s)
order by 1, 2
"""
_T = TypeVar("_T")


def shares(partitions: Sequence[_T], drains: int) -> list[list[_T]]:
    """Split partitions into at most `drains` non-empty shares."""
    return [list(partitions[i::drains]) for i in range(min(drains, len(partitions)))]


def landing_shares(kafka: Mapping[str, Any], topic: str, drains: int) -> list[list[int]]:
    """The topic's partitions in shares, one per drain. Raises TopicMissing, KafkaUnavailable."""
    return shares(topic_identity(AdminClient(dict(kafka)), topic)[1], drains)


def transform_shares(
    connection: psycopg.Connection, kafka: Mapping[str, Any], topic: str, drains: int
) -> list[list[list[Any]]]:
    """[topic id, partition] of the current topic and of retired ones with work left, in shares. Never writes."""
    topic_id, _ = topic_identity(AdminClient(dict(kafka)), topic)
    rows = connection.execute(UNFINISHED, (topic_id,)).fetchall()
    return shares([list(row) for row in rows], drains)
