"""Topics that are made, wiped with their broker, or cut as retention cuts them."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from support.way import Way
from twitter_pipeline.stack.servers import RunningServer


def make_topic(way: Way) -> None:
    """Make the topic of the way, as the launcher does."""
    admin = AdminClient(way.kafka)
    admin.create_topics([NewTopic(way.topic, 2, 1)])[way.topic].result(20)


def wipe(way: Way, running: RunningServer) -> None:
    """Restart the broker that keeps all in memory, and make the topic again."""
    running.kill()
    running.start()
    make_topic(way)
    way.ends.clear()


def cut(way: Way, before: dict[int, int]) -> None:
    """Take the records before these offsets out of the log, as retention does."""
    wanted = [TopicPartition(way.topic, partition, offset) for partition, offset in before.items()]
    admin = AdminClient(way.kafka)
    for future in admin.delete_records(wanted).values():
        assert future.result(20).low_watermark is not None
