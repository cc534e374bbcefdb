"""The SNS topics on a real server: created once, and told apart from a server that is away or refuses."""

import os
from pathlib import Path

import pytest

from twitter_pipeline.deployment import alert_topics, topics
from twitter_pipeline.deployment.alert_topics import AlertTopics
from twitter_pipeline.settings import load
from twitter_pipeline.stack import moto_sns
from twitter_pipeline.stack.servers import free_port


def test_both_topics_are_created_and_found_again(sns) -> None:
    """A second look changes nothing; the ARNs are those that settings and alert files name."""
    kept = AlertTopics(sns.endpoint_url)
    kept.look()
    kept.look()
    client = moto_sns.client(sns.endpoint_url)
    arns = [topic["TopicArn"] for topic in client.list_topics()["Topics"]]
    for name in (alert_topics.ALERT_TOPIC, alert_topics.HEARTBEAT_TOPIC):
        assert arns.count(f"arn:aws:sns:{alert_topics.REGION}:123456789012:{name}") == 1


def test_a_server_that_is_away_is_an_oserror(sns) -> None:
    """The keeper reports it once and tries again, as for Kafka."""
    with pytest.raises(OSError, match="pipeline-alerts could not be created"):
        AlertTopics(f"http://127.0.0.1:{free_port()}").look()


def test_missing_credentials_are_told_and_stop_nothing(
    sns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY the check fails and says so; their values never show."""
    for name in moto_sns.CREDENTIALS:
        monkeypatch.delitem(os.environ, name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(OSError, match="Unable to locate credentials"):
        AlertTopics(sns.endpoint_url).look()


def test_the_keeper_keeps_kafka_and_sns_and_what_else_it_is_given(
    own_kafka, sns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One loop keeps both: all topics exist after a round, and a failing check does not affect the others."""
    given = {
        "PIPELINE_HOME": str(tmp_path),
        "PIPELINE_KAFKA_BOOTSTRAP": own_kafka.bootstrap,
        "PIPELINE_SNS_URL": sns.endpoint_url,
    }
    settings = load(given, launched=False, root=tmp_path)
    looked: list[str] = []

    def fails() -> None:
        looked.append("fails")
        raise OSError("is away")

    topics.keep(settings, lambda: len(looked) > 2, {"other": fails, "last": lambda: looked.append("last")})
    assert looked == ["fails", "last", "fails", "last"]
    assert topics.topics_exist(settings.kafka())
    assert topics.read_report(settings.run / "broker.json")["topics"].keys() == {
        "raw-tweets",
        "raw-tweets.dlq",
    }
    assert [record.getMessage() for record in caplog.records].count("other: is away") == 1
