"""The contract between whoever fetches tweets and whoever stores them: one self-contained Kafka message a tweet.

`envelope_v1.schema.json` beside this file declares it; `messages_of` writes it.
"""

from airflow_provider_twitter.envelope.writer import ENVELOPE_VERSION, Message, Source, messages_of, schema

__all__ = ["ENVELOPE_VERSION", "Message", "Source", "messages_of", "schema"]
