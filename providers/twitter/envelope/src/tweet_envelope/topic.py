"""Which topic a name stands for now, and what can be wrong with it."""

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
    """Kafka did not do what was asked of a topic: nothing of it counts as done."""


class KafkaUnavailable(TopicError):
    """The broker did not answer, or not in time. Retry."""


class TopicMissing(TopicError):
    """The topic does not exist; nothing here creates one (`twitter-pipeline topics keep` does)."""


class TopicChanged(TopicError):
    """The topic is another than before: deleted and made anew under the same name."""


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
