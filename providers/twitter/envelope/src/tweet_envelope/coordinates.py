"""Where a message lies in Kafka: the name of an observation in every store.

The topic's id and not its name: a topic that is deleted and made anew under the same name is another one.
"""

from typing import NamedTuple, Self


class Coordinate(NamedTuple):
    """Topic id, partition and offset; `key` is the `_id` of its document in MongoDB."""

    topic_id: str
    partition: int
    offset: int

    @property
    def key(self) -> str:
        """The coordinate as text that sorts as the log does, up to 99,999 partitions."""
        return f"{self.topic_id}/{self.partition:05d}/{self.offset:019d}"

    @classmethod
    def of_key(cls, key: str) -> Self:
        """The coordinate that a key names. Raises ValueError for a text that is no key."""
        parts = key.rsplit("/", 2)
        if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
            raise ValueError(f"{key!r} has no TOPIC/PARTITION/OFFSET in it")
        return cls(parts[0], int(parts[1]), int(parts[2]))


def offset_of(key: str) -> int:
    """The offset inside a key that is known to be one."""
    return int(key.rsplit("/", 1)[1])
