"""The contract between the code that fetches tweets and the code that stores them: one self-contained Kafka message each.

`schema` and `writing` define what a message holds, built from a page as defined in `pages`; `references` says which
parts of that page a tweet needs. `reading` and `json_text` say what can be relied on in a message from another writer.
`ids` and `coordinates` are the two ways to name a tweet: X's id, and its place in Kafka. `instants` says which times are
plausible. `topic` and `sink` write to Kafka.

Depends on neither Airflow nor a database.
"""
