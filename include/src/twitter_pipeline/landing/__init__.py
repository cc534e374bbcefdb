"""From Kafka to MongoDB: every message becomes one raw document or one dead letter under its coordinate."""
