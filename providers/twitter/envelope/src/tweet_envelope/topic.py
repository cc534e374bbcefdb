"""Which topic a name currently stands for, and what can be wrong with it."""

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

ASK_SECONDS = 10.0
GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    getattr(KafkaError, "UNKNOWN_TOPIC_ID", 100),
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


class TopicError(RuntimeError):
    """An operation on a topic failed; nothing of it counts as done."""


class KafkaUnavailable(TopicError):
    """The broker did not answer in time, or at all. Retry."""


class TopicMissing(TopicError):
    """The topic does not exist, and nothing here creates it (`twitter-pipeline topics keep` does)."""


class TopicChanged(TopicError):
    """The topic is no longer the same one: it was deleted and recreated under the same name."""


def topic_identity(admin: AdminClient, topic: str, seconds: float = ASK_SECONDS) -> tuple[str, list[int]]:
    """Kafka's id of a topic and its partition numbers. Raises TopicMissing or KafkaUnavailable."""
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)
        found = described[topic].result(seconds + 5)
    except KafkaException as error:
        if error.args[0].code() in GONE:
            raise TopicMissing(f"topic {topic!r} does not exist: create it first") from None
        raise KafkaUnavailable(f"describing topic {topic!r}: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise KafkaUnavailable(f"describing topic {topic!r}: no answer in {seconds:.0f} s") from error
    return str(found.topic_id), sorted(partition.id for partition in found.partitions)
