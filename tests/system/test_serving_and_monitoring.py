"""Quality, serving, exports, metrics and alerts of a stack that has come to rest at the ground truth."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import requests
from fastapi.routing import APIRoute

from support.airflow_api import AirflowApi
from support.stacks import Stack, wait_until
from twitter_pipeline.api.app import create_app
from twitter_pipeline.deployment import alert_topics
from twitter_pipeline.metrics.catalogue import CATALOGUE
from twitter_pipeline.stack import monitoring

pytestmark = [pytest.mark.system, pytest.mark.timeout(3000)]

CLONE = Path(__file__).resolve().parents[2]
DASHBOARD = CLONE / "deploy" / "monitoring" / "grafana" / "dashboards" / "overview.json"
PREFIX = "/tweet-pipeline"
NEEDS_MONITORING = pytest.mark.skipif(
    bool(monitoring.missing()),
    reason=f"monitoring is not on this machine: {'; '.join(monitoring.missing().values())}",
)


@dataclass
class Furnished:
    """A stack at rest: every tweet that the simulator has for its rules is a row, contracts ran, an export was made."""

    stack: Stack
    airflow: AirflowApi
    alerts: Any
    queue: str
    exported: Path

    def prometheus(self, query: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.stack.settings.port('prometheus')}/api/v1/query"
        answer = requests.get(url, params={"query": query}, timeout=20).json()
        assert answer["status"] == "success", (query, answer)
        return list(answer["data"]["result"])

    def api(self, path: str, **params: Any) -> Any:
        answer = self.airflow.ask(f"{PREFIX}/api/v1{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def told(self) -> str:
        """Everything that came to the alert topic since the last look."""
        got = self.alerts.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return "\n".join(message["Body"] for message in got)


@pytest.fixture(scope="module")
def furnished(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    stack, given = shared_stack, shared_stack.settings
    password = (given.home / "secrets" / "airflow_admin").read_text()
    airflow = AirflowApi(str(given.airflow_url), "admin", password)
    aws = {
        "endpoint_url": given.sns_url,
        "region_name": alert_topics.REGION,
        "aws_access_key_id": "embedded",
        "aws_secret_access_key": "embedded",
    }
    sqs, sns = boto3.client("sqs", **aws), boto3.client("sns", **aws)
    queue = sqs.create_queue(QueueName="operator")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=given.alert_topic_arn, Protocol="sqs", Endpoint=arn)
    wait_until(
        lambda: bool(stack.rows("select 1 from twitter.tweets limit 1")), 120, lambda: str(stack.status())
    )
    stack.simulator("clock", {"frozen": True})
    stack.wait_for_truth(180)
    found = Furnished(stack, airflow, sqs, queue, tmp_path_factory.mktemp("exports"))
    assert airflow.run("data_quality", contracts=["tweets"]) == "success"
    assert airflow.run("tweet_export", format="csv", destination=found.exported.as_uri()) == "success"
    return found


def test_soda_the_api_and_postgresql_agree_on_how_many_tweets_there_are(furnished: Furnished) -> None:
    """After the ground truth: the contract's row count, the API's pages, counts and state, and SQL."""
    stack = furnished.stack
    ((rows, collected),) = stack.rows(
        "select count(*), count(*) filter (where is_collected) from twitter.tweets"
    )
    ((measured,),) = stack.rows(
        "select measured::int from pipeline.quality_results where contract = 'twitter.tweets'"
        " and check_name ilike '%%row count%%' order by id desc limit 1"
    )
    assert measured == rows
    seen, cursor = 0, None
    while True:
        page = furnished.api("/tweets", limit=1000, **({"cursor": cursor} if cursor else {}))
        seen += len(page["data"])
        if (cursor := page["meta"]["next_cursor"]) is None:
            break
    assert seen == collected
    state = {s["stage"]: s for s in furnished.api("/pipeline")["stages"]}
    assert state["warehouse"]["count"] == collected == stack.stages()["warehouse"]["count"]
    ((in_a_day,),) = stack.rows(
        "select count(*) from twitter.tweets where is_collected and created_at >= now() - interval '20 hours'"
    )
    ((since,),) = stack.rows("select (now() - interval '20 hours')::text")
    assert (
        abs(furnished.api("/counts", since=since.replace(" ", "T") + ":00")["meta"]["total"] - in_a_day) <= 1
    )


def test_the_export_holds_the_same_tweets(furnished: Furnished) -> None:
    """The manifest's count and checksum are those of the file, and the count is PostgreSQL's."""
    (told,) = furnished.exported.glob("*.manifest.json")
    manifest = json.loads(told.read_text())
    data = (furnished.exported / manifest["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == manifest["sha256"]
    assert [(manifest["tweets"],)] == furnished.stack.rows(
        "select count(*) from twitter.tweets where is_collected"
    )


def test_no_route_of_the_plugin_is_open(furnished: Furnished) -> None:
    """On every route: no login gets 401, a forged token 401 or 403, a viewer 403, a user who may view plugins 200."""
    app = create_app(furnished.stack.settings, authenticate=lambda: None, airflow_url="")
    ((one,),) = furnished.stack.rows("select min(id) from twitter.tweets where is_collected")
    paths = [
        PREFIX + route.path.replace("{id}", str(one)) for route in app.routes if isinstance(route, APIRoute)
    ]
    assert len(paths) == len(app.routes) >= 11
    admin, viewer = furnished.airflow, furnished.airflow.user_of_role("Viewer")
    for path in paths:
        assert (path, admin.ask(path, token=None).status_code) == (path, 401)
        assert admin.ask(path, token="forged").status_code in {401, 403}
        assert (path, viewer.ask(path).status_code) == (path, 403)
        assert (path, admin.ask(path).status_code) in {(path, 200), (f"{PREFIX}/api/v1/users/{one}", 404)}
    assert furnished.airflow.user_of_role("Op").ask(f"{PREFIX}/api/v1/tweets").status_code == 200


@NEEDS_MONITORING
def test_prometheus_reaches_all_its_targets(furnished: Furnished) -> None:
    """And the pipeline's alert rules are loaded."""
    wait_until(lambda: len(furnished.prometheus("up == 1")) == 4, 60, lambda: str(furnished.prometheus("up")))
    assert furnished.prometheus("count(prometheus_rule_group_rules)")


@NEEDS_MONITORING
def test_every_metric_of_the_catalogue_comes_back_from_prometheus(furnished: Furnished) -> None:
    """Each is there with its labels after a real run, except for those with nothing to report in it."""
    furnished.api("/tweets", limit=1)

    def absent() -> list[str]:
        names = {
            m.series + ("_count" if m.kind == "timer" else ""): m for m in CATALOGUE if not m.is_occasional
        }
        found = {
            series["metric"]["__name__"]: series["metric"]
            for series in furnished.prometheus('{__name__=~"twitter_pipeline_.+"}')
        }
        return [
            name
            for name, metric in names.items()
            if name not in found or not set(metric.labels) <= found[name].keys()
        ]

    wait_until(lambda: not absent(), 90, lambda: f"not in Prometheus: {absent()}")


@NEEDS_MONITORING
def test_every_query_of_the_dashboard_gives_something(furnished: Furnished) -> None:
    """Grafana is not here; its queries are sent to the same Prometheus."""
    queries = [
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]
    assert len(queries) > 15

    def empty() -> list[str]:
        return [query for query in queries if not furnished.prometheus(query)]

    wait_until(lambda: not empty(), 120, lambda: f"nothing for {empty()}")


@NEEDS_MONITORING
def test_figures_in_prometheus_are_those_of_the_stores(furnished: Furnished) -> None:
    """At rest the gauge of the warehouse is the number of rows."""
    ((collected,),) = furnished.stack.rows("select count(*) from twitter.tweets where is_collected")
    query = 'twitter_pipeline_stage_records{stage="warehouse"}'
    wait_until(
        lambda: [float(s["value"][1]) for s in furnished.prometheus(query)] == [collected],
        60,
        lambda: str(furnished.prometheus(query)),
    )


def test_a_forged_row_fails_its_contract_and_wakes_the_operator(furnished: Furnished) -> None:
    """The task fails and names the check; Airflow, and Prometheus with Alertmanager, notify SNS; no row is hidden."""
    stack = furnished.stack
    ((one, before),) = stack.rows("select min(id) filter (where is_collected), count(*) from twitter.tweets")
    ((own_likes,),) = stack.rows("select like_count from twitter.tweets where id = %s", one)
    likes = "update twitter.tweets set like_count = %s where id = %s"
    with psycopg.connect(stack.settings.need("postgres_dsn"), autocommit=True) as loader:
        loader.execute(likes, (-5, one))
        heard: list[str] = []

        def alarms() -> set[str]:
            heard.append(furnished.told())
            told = "\n".join(heard)
            words = {"Airflow: data_quality.verify failed", "like_count", "ContractFailed"}
            return {word for word in words if word in told}

        expected = {"Airflow: data_quality.verify failed", "like_count"}
        expected |= set() if monitoring.missing() else {"ContractFailed"}
        try:
            assert furnished.airflow.run("data_quality", contracts=["tweets"]) == "failed"
            wait_until(lambda: alarms() >= expected, 120, lambda: f"heard only: {heard}")
            assert furnished.api("/pipeline")["contracts"]
            assert stack.rows("select count(*) from twitter.tweets") == [(before,)]
            assert furnished.api(f"/tweets/{one}")["metrics"]["like_count"] == -5
        finally:
            loader.execute(likes, (own_likes, one))
    assert furnished.airflow.run("data_quality", contracts=["tweets"]) == "success"


def test_no_secret_is_in_any_log(furnished: Furnished) -> None:
    """Tokens and passwords of this installation, in the logs of all services and tasks."""
    assert furnished.stack.secrets_in_logs() == []
