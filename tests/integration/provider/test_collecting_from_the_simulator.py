"""The operator, the simulated X and a real broker: every matching tweet arrives, even through faults."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from airflow_provider_twitter.client import Backoff, ServerFailed, XClient
from airflow_provider_twitter.hooks.twitter import TwitterHook
from airflow_provider_twitter.operators.search_tweets import SearchTweetsOperator
from tweet_envelope.schema import schema
from twitter_pipeline.stack.servers import free_port, wait_until

EPOCH = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
ENVELOPE = jsonschema.Draft202012Validator(schema())
pytestmark = pytest.mark.parametrize("kafka", ["tansu"], indirect=True)

RULES = ["#coffee", "coffee OR tea", "(coffee OR music) -is:retweet has:mentions"]


@dataclass(frozen=True)
class Simulator:
    """A simulator that runs; `control` is its control door."""

    url: str

    def control(self, method: str, path: str, **options: Any) -> Any:
        answer = requests.request(method, f"{self.url}/_control/{path}", timeout=10, **options)
        assert answer.ok, answer.text
        return answer.json()

    def truth(self, query: str) -> set[str]:
        return set(self.control("GET", "truth", params={"query": query})["ids"])


@pytest.fixture(scope="module")
def simulated() -> Iterator[Simulator]:
    """One simulator for this module, its clock standing two hours after its epoch, at about now."""
    port = free_port()
    program = Path(sys.executable).parent / "x-api-simulator"
    command = [
        sys.executable,
        str(program),
        "--port",
        str(port),
        "--epoch",
        EPOCH.isoformat(),
        "--rate",
        "0.05",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    simulator = Simulator(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        try:
            return requests.get(f"{simulator.url}/_control/health", timeout=2).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, 30, "the simulator", alive=lambda: process.poll() is None)
        simulator.control("POST", "clock", json={"frozen": True})
        yield simulator
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def simulator(simulated: Simulator) -> Iterator[Simulator]:
    """The module's simulator without faults of earlier tests, and with a limit that no test reaches."""
    simulated.control("POST", "limits", json={"endpoint": "search_recent", "limit": 100_000})
    yield simulated
    simulated.control("DELETE", "faults")


@pytest.fixture
def search(simulator: Simulator, kafka: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes operators that search the simulator and produce to a topic of their own."""
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    monkeypatch.setattr(
        "airflow_provider_twitter.hooks.twitter.XClient",
        partial(XClient, backoff=Backoff(tries=4, first_seconds=0.01)),
    )
    twitter = {"conn_type": "twitter", "host": simulator.url, "password": "t", "extra": {"allow_local": True}}
    broker = {"conn_type": "kafka", "extra": {"bootstrap.servers": kafka.bootstrap}}
    monkeypatch.setenv("AIRFLOW_CONN_TWITTER_DEFAULT", json.dumps(twitter))
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps(broker))
    topic = kafka.create_topic()

    def make(**options: Any) -> SearchTweetsOperator:
        given = {"start_time": (EPOCH - timedelta(days=1)).isoformat(), **options}
        return SearchTweetsOperator(task_id="search", topic=topic, **given)

    return make


def collected(kafka: Any, topic: str, rule: str | None = None) -> set[str]:
    """Ids of all tweets in the topic, each envelope held to the schema."""
    reader = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "enable.partition.eof": True}
    )
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    reader.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
    ids, ends, deadline = set(), 0, time.monotonic() + 20
    while ends < len(partitions) and time.monotonic() < deadline:
        message = reader.poll(0.5)
        if message is None:
            break
        if message.error() is not None:
            ends += 1
            continue
        envelope = json.loads(message.value())
        ENVELOPE.validate(envelope)
        if envelope["kind"] == "tweet":
            assert message.key().decode() == envelope["tweet"]["id"]
            ids.add(envelope["tweet"]["id"])
    reader.close()
    return ids


@pytest.mark.parametrize("query", RULES)
def test_every_matching_tweet_arrives(simulator: Simulator, kafka: Any, search: Any, query: str) -> None:
    """The topic then holds exactly the tweets that match in the simulated X."""
    operator = search(query=query, page_size=25)
    result = operator.execute({})
    assert collected(kafka, operator.topic) == simulator.truth(query) != set()
    assert result["ended"] == "last_page"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "times": 2, "skip": 1},
        {"cut_after_bytes": 700, "skip": 1},
        {"body": "<html>over capacity</html>", "content_type": "text/html", "skip": 2},
        {"headers": {"x-rate-limit-reset": None}, "times": 5},
        {"repeat_page": True, "times": 1, "skip": 1},
        {"unsorted": True, "times": 100},
        {"ignore": ["since_id"], "times": 100},
    ],
    ids=["503", "cut body", "HTML", "no reset header", "repeated page", "unsorted", "since_id ignored"],
)
def test_faults_of_x_cost_no_tweet(
    simulator: Simulator, kafka: Any, search: Any, fault: dict[str, Any]
) -> None:
    """Whatever X or the network does for a while, every matching tweet arrives."""
    simulator.control("POST", "faults", json=[{"path": "/2/tweets/search/recent", **fault}])
    operator = search(query="coffee OR tea", page_size=20)
    operator.execute({})
    assert collected(kafka, operator.topic) == simulator.truth("coffee OR tea")


def test_a_rate_limit_in_the_middle_is_waited_for_and_gone_on_from(
    simulator: Simulator, kafka: Any, search: Any
) -> None:
    """A 429 on the third page defers; the resumed task brings the rest."""
    fault = {"path": "/2/tweets/search/recent", "skip": 2, "status": 429, "body": "{}"}
    simulator.control("POST", "faults", json=[fault])
    operator = search(query="coffee OR tea", page_size=20)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({})
    carried = json.loads(json.dumps(deferred.value.kwargs))
    getattr(operator, deferred.value.method_name)({}, event={}, **carried)
    assert collected(kafka, operator.topic) == simulator.truth("coffee OR tea")


def test_a_revoked_token_stops_at_once(simulator: Simulator, search: Any) -> None:
    """A 401 in the middle of a poll fails the task without another request."""
    simulator.control("DELETE", "requests")
    fault = {
        "path": "/2/tweets/search/recent",
        "skip": 1,
        "status": 401,
        "times": 100,
        "body": '{"title": "Unauthorized", "status": 401}',
        "content_type": "application/json",
    }
    simulator.control("POST", "faults", json=[fault])
    with pytest.raises(AirflowFailException, match="401"):
        search(query="coffee OR tea", page_size=20).execute({})
    assert len(simulator.control("GET", "requests")["requests"]) == 2


def test_a_server_that_stays_down_is_given_up(simulator: Simulator, search: Any) -> None:
    """A long outage fails the task for Airflow's retry."""
    simulator.control("POST", "faults", json=[{"status": 500, "times": 100}])
    with pytest.raises(ServerFailed):
        search(query="coffee").execute({})


def test_a_timeline_by_username(simulator: Simulator, kafka: Any, search: Any) -> None:
    """The tweets of one author arrive by the author's name."""
    author = simulator.control("GET", "health")["top_authors"][0]
    operator = search(username=author["username"])
    result = operator.execute({})
    assert len(collected(kafka, operator.topic)) == result["tweets"] > 0


def test_lookups_counts_usage_and_the_test_button(simulator: Simulator, search: Any) -> None:
    """The further endpoints answer to their methods, and the connection's test button works."""
    query = "coffee OR tea"
    truth = simulator.truth(query)
    with TwitterHook().get_conn() as client:
        some = sorted(truth)[:5]
        assert {str(tweet.id) for tweet in client.tweets([int(each) for each in some]).data} <= set(some)
        counted = client.counts_recent(query).meta["total_tweet_count"]
    assert counted >= len(truth)
    assert TwitterHook().test_connection()[0] is True
