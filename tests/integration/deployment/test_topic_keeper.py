"""The topic keeper on real brokers: it creates topics, never changes them, and notices a wiped broker."""

from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from twitter_pipeline.deployment.topics import TopicKeeper, read_report


def test_missing_topics_are_created_and_existing_ones_left_alone(own_kafka, tmp_path: Path) -> None:
    """A topic that exists keeps its partitions, whatever the setting says now."""
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
    admin.create_topics([NewTopic("raw-tweets", 2, 1)])["raw-tweets"].result(20)
    keeper = TopicKeeper(admin, 5, tmp_path / "broker.json")
    ids = keeper.look()
    assert keeper.look() == ids
    topics = admin.list_topics(timeout=20).topics
    assert {name: len(topics[name].partitions) for name in ids} == {"raw-tweets": 2, "raw-tweets.dlq": 1}
    assert read_report(tmp_path / "broker.json")["topics"] == ids


def test_a_wiped_broker_is_noticed_and_said(own_kafka, tmp_path: Path) -> None:
    """After kill -9 a broker in memory has new topics under the old names, and the report says so; Kafka kept its own."""
    report = tmp_path / "broker.json"
    before = TopicKeeper(AdminClient({"bootstrap.servers": own_kafka.bootstrap}), 2, report).look()
    own_kafka.running.kill()
    own_kafka.running.start()
    after = TopicKeeper(AdminClient({"bootstrap.servers": own_kafka.bootstrap}), 2, report).look()
    wiped = {change["topic"] for change in read_report(report)["wiped"]}
    if own_kafka.kind == "tansu":
        assert wiped == before.keys()
        assert not set(before.values()) & set(after.values())
    else:
        assert (after, wiped) == (before, set())
