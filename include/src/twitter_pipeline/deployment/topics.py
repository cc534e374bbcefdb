"""Keeps the topics: creates missing ones, and notices when the broker was wiped.

A recreated topic has a new id, by which all parts of the pipeline notice a wiped broker. The keeper creates the topics
again at once and reports it in its log and in the report that `status` reads. It never changes or removes an existing
topic.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from twitter_pipeline.deployment.alert_topics import AlertTopics
from twitter_pipeline.settings import DEAD_LETTER_TOPIC, TOPIC, KafkaOption, Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
SETTLE_SECONDS = 10.0
ANSWER_SECONDS = 10


def replication(brokers: int) -> tuple[int, dict[str, str]]:
    """How many copies a new topic gets in a cluster of this many brokers, and the settings that go with it.

    With three copies, a message is acknowledged once two have it: one broker may be lost while another is away. With
    two, the second copy is for safety and is not waited for; otherwise losing either broker would stop all writing.
    """
    copies = max(1, min(3, brokers))
    return copies, {"min.insync.replicas": str(copies - 1)} if copies > 1 else {}


class TopicKeeper:
    """Looks after the topics on one broker; remembers their ids in the file `report`."""

    def __init__(self, admin: AdminClient, partitions: int, report: Path) -> None:
        self._admin = admin
        self._partitions = {TOPIC: partitions, DEAD_LETTER_TOPIC: 1}
        self._report = report

    def look(self) -> dict[str, str]:
        """Create missing topics and compare with the remembered ids; returns the id of each topic.

        Raises KafkaException while the broker is away.
        """
        known = self._admin.list_topics(timeout=5)
        names = [name for name in self._partitions if name not in known.topics]
        if names:
            copies, config = replication(len(known.brokers))
            absent = [NewTopic(name, self._partitions[name], copies, config=config) for name in names]
            for created in self._admin.create_topics(absent).values():
                created.result(20)
        ids = self._ids()
        self._remember(ids)
        return ids

    def _ids(self) -> dict[str, str]:
        """The id of each topic; a broker may need a moment to know a topic that it has just created."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            described = self._admin.describe_topics(TopicCollection(list(self._partitions)))
            try:
                return {name: str(future.result(20).topic_id) for name, future in described.items()}
            except KafkaException as error:
                unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
                if not unknown or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _remember(self, ids: dict[str, str]) -> None:
        report = read_report(self._report)
        before = report.get("topics", {})
        if before == ids:
            return
        at = datetime.now(UTC).isoformat()
        wiped = [
            {"topic": name, "topic_id": ids[name], "earlier_topic_id": before[name], "noticed_at": at}
            for name in ids
            if name in before and before[name] != ids[name]
        ]
        for change in wiped:
            log.warning(
                "broker wiped or replaced: topic %(topic)s was recreated (id %(topic_id)s, earlier %(earlier_topic_id)s); "
                "what had not landed is fetched again",
                change,
            )
        report = {"topics": ids, "since": at, "wiped": [*report.get("wiped", []), *wiped][-20:]}
        self._report.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._report.with_name(f"{self._report.name}.{os.getpid()}")
        fresh.write_text(json.dumps(report, indent=1))
        fresh.replace(self._report)


def read_report(path: Path) -> dict[str, Any]:
    """What the keeper last noticed: topics (name to id), since, wiped; {} if there is no readable report."""
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def topics_exist(kafka: Mapping[str, KafkaOption]) -> bool:
    """Whether the broker has all the pipeline's topics."""
    try:
        admin = AdminClient({**kafka, "log_level": 0})
        return {TOPIC, DEAD_LETTER_TOPIC} <= admin.list_topics(timeout=ANSWER_SECONDS).topics.keys()
    except KafkaException:
        return False


def keep(
    settings: Settings,
    stopping: Callable[[], bool] = lambda: False,
    also: Mapping[str, Callable[[], object]] = MappingProxyType({}),
) -> None:
    """Keep the topics until told to stop: those in Kafka, and those in SNS if PIPELINE_SNS_URL is set.

    `also` holds further things, by name, to look after in each round. A server that is away (one that raises
    KafkaException or OSError) is reported once and tried again.
    """
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    kafka = TopicKeeper(admin, settings.topic_partitions, settings.run / "broker.json")
    looks: dict[str, Callable[[], object]] = {"broker": kafka.look}
    if settings.sns_url:
        looks["sns"] = AlertTopics(settings.sns_url).look
    looks |= also
    troubles: dict[str, str] = {}
    while not stopping():
        for name, look in looks.items():
            try:
                look()
                trouble = ""
            except (KafkaException, OSError) as error:
                trouble = str(error)
            if trouble != troubles.get(name, ""):
                log.warning("%s: %s", name, trouble or "answers again")
            troubles[name] = trouble
        time.sleep(LOOK_SECONDS)
