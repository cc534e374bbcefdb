"""Sinks that keep in memory what Kafka would have got."""

import json

from tweet_envelope.sink import MessageTooLarge
from tweet_envelope.writing import Message


class RememberingSink:
    """Takes every message of up to `largest` bytes; fails after `break_after` batches."""

    topic = "raw-tweets"
    topic_id = "topic-1"

    def __init__(self, break_after: int | None = None, largest: int = 1_000_000) -> None:
        self.batches: list[list[Message]] = []
        self.break_after = break_after
        self.largest = largest

    def produce(self, messages: list[Message]) -> dict[int, int]:
        if self.break_after is not None and len(self.batches) >= self.break_after:
            raise ConnectionError("Kafka is gone")
        if too_large := [message for message in messages if len(message.value) > self.largest]:
            raise MessageTooLarge("larger than Kafka takes", too_large)
        self.batches.append(messages)
        return {0: sum(map(len, self.batches)) - 1}

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    @property
    def ids(self) -> list[int]:
        """Ids of all tweets produced, in order."""
        envelopes = (json.loads(message.value) for message in self.messages)
        return [int(each["tweet"]["id"]) for each in envelopes if each["kind"] == "tweet"]
