"""Where a message is in Kafka: the name of an observation in every store.

A coordinate has the topic's id instead of its name, because a recreated topic of the same name is a different topic.
"""

from typing import NamedTuple, Self


class Coordinate(NamedTuple):
    """Topic id, partition and offset; `key` is the `_id` of its document in MongoDB."""

    topic_id: str
    partition: int
    offset: int

    @property
    def key(self) -> str:
        """The coordinate as text that sorts in log order, for up to 99,999 partitions."""
        return f"{self.topic_id}/{self.partition:05d}/{self.offset:019d}"

    @classmethod
    def of_key(cls, key: str) -> Self:
        """The coordinate that a key names. Raises ValueError if the text is not a key."""
        parts = key.rsplit("/", 2)
        if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
            raise ValueError(f"{key!r} does not have the form TOPIC/PARTITION/OFFSET")
        return cls(parts[0], int(parts[1]), int(parts[2]))


def offset_of(key: str) -> int:
    """The offset in a text that is known to be a key."""
    return int(key.rsplit("/", 1)[1])
