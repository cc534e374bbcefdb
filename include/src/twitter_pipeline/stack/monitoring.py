"""StatsD, Prometheus, Alertmanager and node_exporter: started if their programs are installed.

None of them comes in a wheel, so each is searched for, and missing ones are reported with a way to install them. They use
the files in deploy/monitoring, the same ones that the containers use; only the addresses in them are replaced.
"""

import os
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK

PROGRAMS: Mapping[str, Sequence[str]] = {
    "statsd_exporter": ("statsd_exporter", "prometheus-statsd-exporter"),
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "node_exporter": ("node_exporter", "prometheus-node-exporter"),
}
WAYS = {
    "statsd_exporter": "go install github.com/prometheus/statsd_exporter@v0.28.0 (without it, none of them is started)",
    "prometheus": "apt-get install prometheus",
    "alertmanager": "apt-get install prometheus-alertmanager",
    "node_exporter": "apt-get install prometheus-node-exporter",
}
# how the files in deploy/monitoring address each other's servers: by service and port in docker-compose.yaml
CONTAINER_ADDRESSES = {
    "prometheus": "prometheus:9090",
    "alertmanager": "alertmanager:9093",
    "statsd_exporter": "statsd-exporter:9102",
    "node_exporter": "node-exporter:9100",
    "airflow": "airflow:8080",
    "sns": "sns:5000",
}
PUBLISHED_AIRFLOW = "127.0.0.1:18080"  # where compose publishes it, and where links in alerts lead


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or where `go install` puts it."""
    places = [
        os.environ.get("PATH", os.defpath),
        os.environ.get("GOBIN", ""),
        str(Path.home() / "go" / "bin"),
    ]
    search = os.pathsep.join(place for place in places if place)
    return next((found for word in PROGRAMS[name] if (found := shutil.which(word, path=search))), None)


def missing() -> dict[str, str]:
    """The programs that are not installed, and how to install each."""
    return {name: WAYS[name] for name in PROGRAMS if program(name) is None}


@dataclass(frozen=True)
class Monitor:
    """One of the four. Copies `files` from `source` to `folder`, replacing container addresses using `ports`."""

    name: str
    port: int
    words: tuple[str, ...]
    source: Path
    folder: Path
    ports: Mapping[str, int]
    files: tuple[str, ...] = ()
    health: str = "/-/ready"
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def prepare(self) -> None:
        private_folder(self.folder)
        for name in self.files:
            text = localized((self.source / name).read_text("utf-8"), self.ports)
            (self.folder / name).write_text(reachable(text) if name == "prometheus.yml" else text)

    def command(self) -> list[str]:
        return [program(self.name) or self.name, *self.words]

    def environment(self) -> dict[str, str]:
        return dict(self.secret_environment)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.health, timeout=ASK_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False


def localized(text: str, ports: Mapping[str, int]) -> str:
    """A file from deploy/monitoring with this machine's addresses in place of the containers' addresses."""
    for name, address in CONTAINER_ADDRESSES.items():
        if name in ports:
            text = text.replace(address, f"{LOOPBACK}:{ports[name]}")
    if "airflow" in ports:
        text = text.replace(PUBLISHED_AIRFLOW, f"{LOOPBACK}:{ports['airflow']}")
    return text


def reachable(text: str) -> str:
    """prometheus.yml without the jobs and alertmanagers that still have container addresses: they are not here."""
    configuration = yaml.safe_load(text)

    def is_here(entry: dict[str, Any]) -> bool:
        targets = [target for group in entry["static_configs"] for target in group["targets"]]
        return not set(targets) & set(CONTAINER_ADDRESSES.values())

    configuration["scrape_configs"] = [job for job in configuration["scrape_configs"] if is_here(job)]
    alerting = configuration["alerting"]
    alerting["alertmanagers"] = [one for one in alerting["alertmanagers"] if is_here(one)]
    return yaml.safe_dump(configuration, sort_keys=False)


def monitors(source: Path, home: Path, ports: Mapping[str, int], statsd_port: int) -> list[Monitor]:
    """The monitors that can run here; `ports` by name, `statsd_port` is the UDP port for StatsD.

    Without statsd_exporter none is started: Prometheus would see nothing of the pipeline and alert forever.
    """
    here = {name for name in PROGRAMS if program(name) is not None}
    if "statsd_exporter" not in here:
        return []
    known_ports = {name: port for name, port in ports.items() if name in here or name not in PROGRAMS}

    def one(name: str, *words: str, files: tuple[str, ...] = (), health: str = "/-/ready") -> Monitor:
        return Monitor(
            name, ports[name], words, source, home / "monitoring" / name, known_ports, files, health
        )

    def listen(name: str) -> str:
        return f"--web.listen-address={LOOPBACK}:{ports[name]}"

    def folder(name: str) -> Path:
        return home / "monitoring" / name

    known = [
        one(
            "statsd_exporter",
            listen("statsd_exporter"),
            f"--statsd.listen-udp={LOOPBACK}:{statsd_port}",
            "--statsd.listen-tcp=",
            f"--statsd.mapping-config={folder('statsd_exporter') / 'statsd_mapping.yml'}",
            "--log.level=warn",
            files=("statsd_mapping.yml",),
            health="/health",
        ),
        one(
            "prometheus",
            listen("prometheus"),
            f"--config.file={folder('prometheus') / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder('prometheus') / 'data'}",
            "--storage.tsdb.retention.time=15d",
            "--log.level=warn",
            files=("prometheus.yml", "alerts.yml"),
        ),
        one(
            "alertmanager",
            listen("alertmanager"),
            f"--config.file={folder('alertmanager') / 'alertmanager.yml'}",
            f"--storage.path={folder('alertmanager') / 'data'}",
            "--cluster.listen-address=",
            "--log.level=warn",
            files=("alertmanager.yml",),
        ),
        one(
            "node_exporter",
            listen("node_exporter"),
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in ("cpu", "diskstats", "filesystem", "loadavg", "meminfo")),
            "--log.level=warn",
            health="/",
        ),
    ]
    return [monitor for monitor in known if monitor.name in here]
