"""The contract between whoever fetches tweets and whoever stores them: one self-contained Kafka message per tweet.

`schema` and `writing` say what a message holds, made of a page as `pages` has it; `references` which parts of that page a
tweet needs; `reading` and `json_text` what may be relied on in a message that somebody else wrote. `ids` and `coordinates`
are the two ways to name a tweet: by X's id, and by its place in Kafka; `instants` are the times that are believed. `topic`
and `sink` are the way into Kafka.

Knows neither Airflow nor a database.
"""
