"""docker-compose.yaml and the embedded stack are the same services with the same settings, ports and versions."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from twitter_pipeline.metrics import catalogue
from twitter_pipeline.settings import PORTED
from twitter_pipeline.stack import apache_kafka, monitoring, postgresql, services, settings
from twitter_pipeline.stack.apache_kafka import ApacheKafka
from twitter_pipeline.stack.services import Stack, assemble

CLONE = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)
# what only one of the two has, and why
ONLY_IN_CONTAINERS = {
    "airflow-migrate",  # steps of the launcher, between services
    "migrate",
    "volume-owner",
    "grafana",  # no package of it for `make up`
}
PLACES = re.compile(
    r"(?:PIPELINE_HOME|.*_FOLDER|.*_URL|.*_HOST|.*_PORT|.*SQL_ALCHEMY_CONN|.*_DSN|.*_URI|.*BOOTSTRAP|.*STATSD|.*_CONN_.*)$"
)
SECRETS = re.compile(r".*(?:_KEY|_SECRET|_TOKEN)$")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, anchors resolved."""
    return dict(yaml.safe_load((CLONE / "docker-compose.yaml").read_text()))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The embedded stack with everything that may be on a machine, assembled and not started."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setattr(monitoring, "program", lambda name: f"/bin/{name}")
    patch.setattr(apache_kafka, "missing", lambda: None)
    environment = {"PIPELINE_HOME": str(home), "PIPELINE_BROKER": "apache-kafka"}
    made = assemble(settings.load(environment, launched=False, root=CLONE))
    patch.undo()
    return made


def container_name(service: str) -> str:
    return service.replace("_", "-")


def test_both_have_the_same_services(compose: dict[str, Any], stack: Stack) -> None:
    """Both have the same services, except for those listed with a reason."""
    embedded = {container_name(service.name) for service in stack.services}
    assert embedded == set(compose["services"]) - ONLY_IN_CONTAINERS


def test_both_listen_on_the_same_ports_of_loopback(compose: dict[str, Any], stack: Stack) -> None:
    """Nothing is published beyond this machine."""
    base = int(settings.LauncherSettings.defaults()["PIPELINE_PORT_BASE"])
    published = {}
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            host, outer, _ = port.split(":")
            assert host == "127.0.0.1", (name, port)
            published[name] = int(outer)
    expected = {container_name(s.name): s.port for s in stack.services if s.port}
    assert published.pop("grafana") == base + len(PORTED)
    assert published == expected


@pytest.mark.parametrize("service", ["airflow", "scheduler", "dag-processor", "triggerer", "airflow-migrate"])
def test_airflow_has_the_same_settings(compose: dict[str, Any], stack: Stack, service: str) -> None:
    """Both have the same settings and connections with equal values, except for addresses and secrets."""
    embedded = stack.nodes["scheduler"].server.environment()  # type: ignore[union-attr]
    contained = compose["services"][service]["environment"]
    ours = {name for name in embedded if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_"))}
    theirs = {name for name in contained if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_"))}
    assert theirs == ours
    same = {name for name in ours if not PLACES.match(name) and not SECRETS.match(name)}
    same -= {"AIRFLOW__CORE__PARALLELISM"}  # by the machine's cores
    assert len(same) > 15
    assert {name: contained[name] for name in same} == {name: embedded[name] for name in same}


def test_connections_are_of_the_same_shape(compose: dict[str, Any], stack: Stack) -> None:
    """Type, fields and extra; a connection is JSON also after its secrets were put in."""
    embedded = stack.nodes["scheduler"].server.environment()  # type: ignore[union-attr]
    contained = compose["services"]["scheduler"]["environment"]
    for name in (n for n in embedded if n.startswith("AIRFLOW_CONN_")):
        filled = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}|\$\{[^}]*\}", lambda m: m[1] or "secret", contained[name])
        ours, theirs = json.loads(embedded[name]), json.loads(filled)
        assert ours.keys() == theirs.keys(), name
        assert ours["conn_type"] == theirs["conn_type"]
        assert ours.get("extra", {}).keys() == theirs.get("extra", {}).keys()


def test_the_pipelines_commands_get_the_same_settings(compose: dict[str, Any], stack: Stack) -> None:
    """The compose file gives clients the same settings as the launcher."""
    contained = dict(compose["services"]["topics"]["environment"])
    told = {n for n in stack.environment if not n.startswith("PIPELINE_PORT")} - {"PIPELINE_RULES"}
    assert told <= contained.keys()
    assert contained["PIPELINE_ALERT_TOPIC_ARN"] == stack.environment["PIPELINE_ALERT_TOPIC_ARN"]
    of_sns = {name: contained.pop(name) for name in [*contained] if name.startswith("AWS_")}
    assert compose["services"]["metrics"]["environment"] == contained
    embedded = stack.nodes["topics"].server.environment()  # type: ignore[union-attr]
    assert of_sns == {name: value for name, value in embedded.items() if name.startswith("AWS_")} != {}


def test_the_broker_has_the_same_properties(compose: dict[str, Any], tmp_path: Path) -> None:
    """server.properties of the embedded Apache Kafka, as the image takes them."""
    lines = ApacheKafka(tmp_path, 1, 2, "secret")._properties().splitlines()
    embedded = dict(line.split("=", 1) for line in lines)
    contained = compose["services"]["broker"]["environment"]
    # the containers have a listener more, for clients of the host
    places = {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}
    entries = contained["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert set(embedded["listener.security.protocol.map"].split(",")) <= set(entries)
    assert {entry.partition(":")[2] for entry in entries} == {"SASL_PLAINTEXT"}
    del embedded["controller.quorum.bootstrap.servers"]  # the image formats its folder for static voters only
    assert contained["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{embedded['node.id']}@broker:9093"
    for key, value in embedded.items():
        name = f"KAFKA_{key.replace('.', '_').replace('-', '___').upper()}"
        assert name in contained, name
        if key not in places:
            assert re.sub(r"\$\{[^}]*\}", "secret", contained[name]) == value, name


def test_the_cluster_of_postgresql_is_made_alike(compose: dict[str, Any]) -> None:
    """Encoding and locale provider: they decide how texts sort and compare."""
    words = compose["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    assert words == list(postgresql.CLUSTER_WORDS)


def test_versions_are_those_of_the_lock(compose: dict[str, Any]) -> None:
    """Airflow, moto, Kafka and statsd_exporter have the same versions in both; every image is pinned."""
    locked = dict(PINNED.findall((CLONE / "requirements.lock").read_text()))
    images = {name: service.get("image", "") for name, service in compose["services"].items()}
    kafka = re.search(
        r"kafka_2\.13</artifactId><version>([^<]+)",
        (CLONE / "include/src/twitter_pipeline/stack/apache_kafka/pom.xml").read_text(),
    )
    assert kafka is not None
    assert images["broker"] == f"apache/kafka:{kafka[1]}"
    assert images["sns"] == f"motoserver/moto:{locked['moto']}"
    assert (
        monitoring.WAYS["statsd_exporter"].rpartition("@")[2].split()[0]
        == images["statsd-exporter"].rpartition(":")[2]
    )
    base = compose["services"]["scheduler"]["build"]["args"]["BASE_IMAGE"]
    assert base.startswith(f"apache/airflow:{locked['apache-airflow']}-")
    assert not [
        image
        for image in images.values()
        if not re.search(r":[\w.-]*\d", image) and image != "tweet-pipeline:local"
    ]


def test_containers_run_without_root_and_restart(compose: dict[str, Any]) -> None:
    """Our containers run as the image's user (one step owns the volumes); each long-running service has a health check."""
    for name, service in compose["services"].items():
        stays = service.get("restart") != "no"
        if service["image"] == "tweet-pipeline:local":
            assert service["user"] == ("0:0" if name == "volume-owner" else "50000:0"), name
        assert ("healthcheck" in service) == stays, name
        assert stays == (name not in {"migrate", "airflow-migrate", "volume-owner"})


def test_no_secret_stands_in_a_file(compose: dict[str, Any]) -> None:
    """Each secret comes from .env, and the program that writes .env knows all of them."""
    text = (CLONE / "docker-compose.yaml").read_text()
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    program = CLONE / "deploy" / "compose_secrets.py"
    made = subprocess.run(
        [sys.executable, "-c", f"import runpy; print(*runpy.run_path({str(program)!r})['made']())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert needed <= set(made.stdout.split())
    for name, value in compose["services"]["scheduler"]["environment"].items():
        if SECRETS.match(name):
            assert value.startswith("${"), name


def test_astro_gets_the_same_servers_and_addresses(compose: dict[str, Any]) -> None:
    """docker-compose.override.yml has every service that Astro lacks, with the same settings as the compose file."""
    override = yaml.safe_load((CLONE / "docker-compose.override.yml").read_text())
    services = override["services"]
    extended = {name: s["extends"]["service"] for name, s in services.items() if "extends" in s}
    assert {extended.get(name, name) for name in services} == (
        # Astro's own server of pages is called api-server; its steps and volumes are its own; Grafana is for compose
        set(compose["services"]) - {"airflow", "migrate", "airflow-migrate", "volume-owner", "grafana"}
    ) | {"api-server"}
    ours = compose["services"]["scheduler"]["environment"]
    theirs = services["scheduler"]["environment"]
    assert {n for n in ours if n.startswith(("PIPELINE_", "X_", "AIRFLOW_CONN_"))} <= theirs.keys()
    for name in theirs.keys() & ours.keys():
        if not PLACES.match(name) and not SECRETS.match(name) and "$" not in theirs[name] + ours[name]:
            assert theirs[name] == ours[name], name
    for service in ("api-server", "scheduler", "dag-processor", "triggerer", "metrics"):
        assert services[service]["environment"] == theirs


def test_mounted_files_are_there(compose: dict[str, Any]) -> None:
    """The container runtime would create a missing one as an empty folder."""
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", volume).split(":")[0]
            if source.startswith("./"):
                assert (CLONE / source).exists(), source


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.compose-spec", ["docker-compose.yaml", "docker-compose.override.yml"]),
        ("vendor.github-workflows", [".github/workflows/ci.yml"]),
    ],
)
def test_files_fit_their_schemas(schema: str, files: list[str]) -> None:
    """Compose specification, GitHub workflows."""
    program = Path(sys.executable).with_name("check-jsonschema")
    run = subprocess.run(
        [str(program), "--builtin-schema", schema, *files],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_dockerfile_passes_hadolint() -> None:
    """Without any exception."""
    program = Path(sys.executable).with_name("hadolint")
    run = subprocess.run([str(program), "Dockerfile"], cwd=CLONE, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on this machine: apt-get install prometheus"
)
@pytest.mark.parametrize(
    "words", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]]
)
def test_prometheus_takes_its_files(words: list[str]) -> None:
    """Configuration and rules are valid, and each alert fires in the situation it is for."""
    folder = CLONE / "deploy" / "monitoring"
    run = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="amtool is not on this machine: apt-get install prometheus-alertmanager",
)
def test_alertmanager_takes_its_file() -> None:
    """Also with the addresses of `make up` in it."""
    run = subprocess.run(
        ["amtool", "check-config", "alertmanager.yml"],
        cwd=CLONE / "deploy" / "monitoring",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_address_in_the_monitoring_files_is_replaced_by_make_up() -> None:
    """No name of a container is left in what the embedded servers read."""
    ports = dict.fromkeys(monitoring.CONTAINER_ADDRESSES, 1)
    for name in ("prometheus.yml", "alertmanager.yml", "statsd_mapping.yml"):
        text = (CLONE / "deploy" / "monitoring" / name).read_text()
        local = monitoring.localized(text, ports)
        assert not re.search(r"\b(?!127)[a-z][a-z-]+:\d{4}\b", local), name


def test_a_job_whose_program_is_not_on_the_machine_is_left_out() -> None:
    """Otherwise its target would be down forever."""
    text = (CLONE / "deploy" / "monitoring" / "prometheus.yml").read_text()
    here = {"statsd_exporter": 1, "prometheus": 2}
    made = yaml.safe_load(monitoring.reachable(monitoring.localized(text, here)))
    assert [job["job_name"] for job in made["scrape_configs"]] == ["statsd", "prometheus"]
    assert made["alerting"]["alertmanagers"] == []
    everything = dict.fromkeys(monitoring.CONTAINER_ADDRESSES, 1)
    whole = yaml.safe_load(monitoring.reachable(monitoring.localized(text, everything)))
    assert len(whole["scrape_configs"]) == 4


def test_every_alert_has_its_page_and_its_test() -> None:
    """A section of its name in docs/operations.md, and a case in alerts_test.yml."""
    rules = yaml.safe_load((CLONE / "deploy/monitoring/alerts.yml").read_text())
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    page = (CLONE / "docs" / "operations.md").read_text()
    tested = (CLONE / "deploy" / "monitoring" / "alerts_test.yml").read_text()
    for name, rule in alerts.items():
        assert f"\n### {name}\n" in page, f"docs/operations.md has no section {name}"
        assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}#{name.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert name in tested
    assert set(re.findall(r"^### ([A-Z][A-Za-z]+)$", page, re.MULTILINE)) >= alerts.keys()


def test_stages_in_alerts_and_dashboard_are_those_that_are_published() -> None:
    """A selector of a stage that nothing publishes would match nothing, and its alert would never fire."""
    folder = CLONE / "deploy" / "monitoring"
    for name in ("alerts.yml", "grafana/dashboards/overview.json"):
        text = (folder / name).read_text().replace('\\"', '"')
        selected = {stage for found in re.findall(r'stage=~?"([^"]*)"', text) for stage in found.split("|")}
        assert selected, name
        assert selected <= set(catalogue.STAGES), name


def test_links_in_alerts_are_absolute_and_lead_to_the_plugin() -> None:
    """An external label holds the start of their links: the address that compose publishes, or that of this stack."""
    text = (CLONE / "deploy/monitoring/prometheus.yml").read_text()
    published = yaml.safe_load(text)["global"]["external_labels"]["runbooks"]
    assert published == "http://127.0.0.1:18080/tweet-pipeline/operations"
    ours = yaml.safe_load(monitoring.localized(text, {"airflow": 38080}))
    assert ours["global"]["external_labels"]["runbooks"] == "http://127.0.0.1:38080/tweet-pipeline/operations"
    assert 'PREFIX = "/tweet-pipeline"' in (CLONE / "plugins/tweet_pipeline_plugin.py").read_text()


def test_the_watchdog_goes_to_a_topic_of_its_own_and_a_parked_rule_is_told_once() -> None:
    """It is sent every five minutes, and never to people; a parked rule is not repeated every four hours."""
    text = (CLONE / "deploy/monitoring/alertmanager.yml").read_text()
    configuration = yaml.safe_load(text)
    routes = {tuple(route["matchers"]): route for route in configuration["route"]["routes"]}
    heartbeat = routes[('alertname="Watchdog"',)]
    assert (heartbeat["receiver"], heartbeat["repeat_interval"]) == ("heartbeat", "5m")
    assert routes[('alertname="RuleParked"',)]["group_by"] == ["alertname", "rule"]
    topics = {r["name"]: r["sns_configs"][0]["topic_arn"] for r in configuration["receivers"]}
    assert topics == {"sns": services.ALERT_TOPIC_ARN, "heartbeat": services.HEARTBEAT_TOPIC_ARN}


def test_secrets_are_written_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    """Existing values in .env are kept; a second run adds nothing."""
    (tmp_path / "deploy").mkdir()
    program = shutil.copy(CLONE / "deploy" / "compose_secrets.py", tmp_path / "deploy")
    (tmp_path / ".env").write_text("X_BUDGET_USD=5\nMONGO_PASSWORD=mine")
    for _ in range(2):
        subprocess.run([sys.executable, program], check=True, capture_output=True)
    lines = (tmp_path / ".env").read_text().splitlines()
    assert lines[:2] == ["X_BUDGET_USD=5", "MONGO_PASSWORD=mine"]
    assert len(lines) == len({line.partition("=")[0] for line in lines}) > 12
    assert os.stat(tmp_path / ".env").st_mode & 0o777 == 0o600
