"""Apache Kafka in KRaft mode, one durable node, from its Maven artifact.

Maven itself fetches the jars, from a three-line pom, and they are verified against the committed list of hashes. They
are kept with the installation (below `sys.prefix`), so that all data folders and tests share them.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from twitter_pipeline.settings import KafkaOption
from twitter_pipeline.stack import kafka_access
from twitter_pipeline.stack.leftover_processes import marks
from twitter_pipeline.stack.private_files import private_folder, write_private
from twitter_pipeline.stack.servers import LOOPBACK, RunningServer, StackError, free_port

HEAP_MEGABYTES = 512


@functools.cache
def missing() -> str | None:
    """Why Apache Kafka cannot run on this machine, or None."""
    java = _output(["java", "-version"])
    if java is None:
        return "no java on the PATH; version 17 or newer is needed (Debian: apt-get install openjdk-17-jre-headless)"
    version = re.search(r'version "(\d+)', java)
    if version is None or int(version[1]) < 17:
        return f"java is too old: {java.splitlines()[0]} (needs 17 or newer)"
    if not _libraries_complete(libraries()) and shutil.which("mvn") is None:
        return "no Maven (mvn) on the PATH to fetch Kafka's jars (Debian: apt-get install maven)"
    return None


def _output(command: list[str]) -> str | None:
    try:
        result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout + result.stderr


def _hashes() -> dict[str, str]:
    lines = (files(__package__) / "jars.sha256").read_text().splitlines()
    return {jar: digest for digest, jar in (line.split() for line in lines)}


def libraries() -> Path:
    """The folder for the jars of the pinned version; each pinned version has its own."""
    pinned = hashlib.sha256("".join(sorted(_hashes().values())).encode()).hexdigest()[:12]
    return Path(sys.prefix) / "share" / "twitter-pipeline" / f"apache-kafka-{pinned}"


def _libraries_complete(folder: Path) -> bool:
    return all((folder / jar).is_file() for jar in _hashes())


def fetch_libraries() -> Path:
    """Fetch the jars once (about 43 MB), verify each against the committed list, and return their folder."""
    folder = libraries()
    if _libraries_complete(folder):
        return folder
    if reason := missing():
        raise StackError(f"Apache Kafka cannot run here: {reason}; PIPELINE_BROKER=tansu needs neither")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="fetching-", dir=folder.parent))
    try:
        (fresh / "pom.xml").write_bytes((files(__package__) / "pom.xml").read_bytes())
        command = [
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=jars",
        ]
        result = subprocess.run(command, cwd=fresh, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise StackError(
                "Maven could not fetch Kafka's jars (PIPELINE_BROKER=tansu needs none):\n"
                + result.stdout[-2000:]
            )
        _verify(fresh / "jars")
        with contextlib.suppress(
            OSError
        ):  # another process was faster: its folder holds the same verified jars
            (fresh / "jars").rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if not _libraries_complete(folder):
        raise StackError(f"{folder} is incomplete; remove it and start again")
    return folder


def _verify(folder: Path) -> None:
    expected = _hashes()
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    wrong = sorted(jar for jar in expected.keys() | found.keys() if expected.get(jar) != found.get(jar))
    if wrong:
        raise StackError(
            f"Kafka's jars differ from those listed in jars.sha256 and are not used: {', '.join(wrong)}"
        )


ENTRY_WITHOUT_PASSWORD = {"listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT"}


def entry_with_password(password: str) -> dict[str, str]:
    """The properties with which a node requires a password.

    Its clients and its own broker authenticate with SCRAM, whose users are in the cluster's metadata. The controller
    serves that metadata and so cannot look users up in it; it knows the same user through PLAIN.
    """
    modules = "org.apache.kafka.common.security"
    who = f'required username="{kafka_access.USER}" password="{password}"'
    scram = kafka_access.MECHANISM
    return {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": scram,
        "sasl.mechanism.inter.broker.protocol": scram,
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        f"listener.name.clients.{scram.lower()}.sasl.jaas.config": f"{modules}.scram.ScramLoginModule {who};",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{modules}.plain.PlainLoginModule {who} user_{kafka_access.USER}="{password}";'
        ),
    }


@dataclass(frozen=True)
class ApacheKafka:
    """One Apache Kafka broker and controller; `controller_port` is for the node itself.

    With a `password`, clients authenticate as the SCRAM user `kafka_access.USER`, and the node uses the same password
    with its controller. Without one, for tests, anyone may connect.
    """

    data: Path
    port: int
    controller_port: int
    password: str | None = field(default=None, repr=False)
    name: str = "broker"

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def options(self) -> dict[str, KafkaOption]:
        """Client options for access, for librdkafka; they may include the password."""
        return {} if self.password is None else kafka_access.with_password(self.password)

    def prepare(self) -> None:
        """Fetch the jars, write the configuration, and format the log folder if it is new.

        A log folder from before brokers required a password first gets the user, and keeps its messages.
        """
        fetch_libraries()
        private_folder(self.data)
        if not (self._log / "meta.properties").exists():
            self._format()
        elif self.password is not None and not self._has_user.exists():
            self._create_user()
        write_private(self._configuration, self._properties())

    def _format(self) -> None:
        write_private(self._configuration, self._properties())
        tool = "kafka.tools.StorageTool"
        cluster = subprocess.run(
            [*self._java(64), tool, "random-uuid"], check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        command = [*self._java(128), tool, "format", "--standalone", "-t", cluster]
        command += ["-c", str(self._configuration)]
        arguments = (
            self.data / "format-arguments"
        )  # not on the command line, since any user can list processes
        if self.password is not None:
            user = f"{kafka_access.MECHANISM}=[name={kafka_access.USER},password={self.password}]"
            write_private(arguments, f"--add-scram\n{user}\n")
            command.append(f"@{arguments}")
        try:
            result = subprocess.run(command, check=False, capture_output=True, text=True, umask=0o077)
        finally:
            arguments.unlink(missing_ok=True)
        if result.returncode != 0:
            raise StackError(
                f"Kafka could not format {self._log}: {result.stderr.strip() or result.stdout.strip()}"
            )
        private_folder(self._log)
        if self.password is not None:
            self._has_user.touch(mode=0o600)

    def _create_user(self) -> None:
        """Start the node once as it was, without passwords and on a random port, and create the user."""
        opened = replace(self, port=free_port(), password=None, name="broker (creating its user)")
        wanted = UserScramCredentialUpsertion(
            kafka_access.USER,
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192),
            (self.password or "").encode(),
        )
        found = marks(str(self.data.parent), self.name)  # in case the launcher is killed meanwhile
        with RunningServer(opened, self.data / "create-user.log", environment=found):
            admin = AdminClient({"bootstrap.servers": opened.bootstrap, "log_level": 0})
            for created in admin.alter_user_scram_credentials([wanted], request_timeout=120).values():
                try:
                    created.result()
                except KafkaException as error:
                    raise StackError(
                        f"Kafka in {self.data} did not accept its user: {error.args[0].str()}; start again"
                    ) from None
        self._has_user.touch(mode=0o600)

    @property
    def _configuration(self) -> Path:
        return self.data / "server.properties"

    @property
    def _log(self) -> Path:
        return self.data / "log"

    @property
    def _has_user(self) -> Path:
        """The file that marks a log folder with the user; it is inside the folder, so that they stay together."""
        return self._log / "scram-user-created"

    def _properties(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{self.controller_port}",
            "listeners": f"CLIENTS://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{self.port}",
            "inter.broker.listener.name": "CLIENTS",
            "controller.listener.names": "CONTROLLER",
            **(ENTRY_WITHOUT_PASSWORD if self.password is None else entry_with_password(self.password)),
            "log.dirs": str(self._log),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # after kill -9 the node waits for its own previous session to end before it serves again
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "2",
            "num.io.threads": "4",
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())

    def _java(self, heap_megabytes: int) -> list[str]:
        log4j = files(__package__) / "log4j2.properties"
        options = [
            f"-Xmx{heap_megabytes}m",
            f"-Xms{min(heap_megabytes, 128)}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=4",
        ]
        options += [f"-Dlog4j2.configurationFile={log4j}", "-Djava.awt.headless=true"]
        return ["java", *options, "-cp", f"{libraries()}{os.sep}*"]

    def command(self) -> list[str]:
        return [*self._java(HEAP_MEGABYTES), "kafka.Kafka", str(self._configuration)]

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        return kafka_access.answers({"bootstrap.servers": self.bootstrap} | self.options)
