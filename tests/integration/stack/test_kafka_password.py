"""The stack's broker admits nobody without the password, and an older data folder gets the user without losing a message."""

import contextlib
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from twitter_pipeline.deployment.topics import TopicKeeper
from twitter_pipeline.stack import apache_kafka, kafka_access
from twitter_pipeline.stack.apache_kafka import ApacheKafka
from twitter_pipeline.stack.servers import LOOPBACK, RunningServer, StackError, free_port
from twitter_pipeline.stack.tansu import Tansu

CLONE = Path(__file__).parents[3]
SECRET = "canary-of-the-broker"
needs_apache_kafka = pytest.mark.skipif(
    apache_kafka.missing() is not None, reason=f"Apache Kafka cannot run: {apache_kafka.missing()}"
)


def clients_of(server: ApacheKafka) -> dict[str, Any]:
    return {"bootstrap.servers": server.bootstrap, "log_level": 0} | server.options


def is_refused(options: dict[str, Any]) -> bool:
    """Whether a client with these options learns nothing from a broker that answers others."""
    try:
        AdminClient({"log_level": 0, **options}).list_topics(timeout=3)
    except KafkaException as error:
        return error.args[0].code() in {KafkaError._TRANSPORT, KafkaError._AUTHENTICATION}
    return False


def controller_answers(port: int) -> bool:
    """Whether the node's controller describes its quorum to an unauthenticated client."""
    describe_quorum = struct.pack(">hhih", 55, 0, 1, -1) + b"\0" + b"\1" + b"\0"
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(describe_quorum)) + describe_quorum)
        with contextlib.suppress(ConnectionResetError):
            return bool(connection.recv(4))
    return False


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Apache Kafka as `make up` starts it."""
    if reason := apache_kafka.missing():
        pytest.skip(f"Apache Kafka cannot run: {reason}")
    folder = tmp_path_factory.mktemp("guarded")
    server = ApacheKafka(folder / "data", free_port(), free_port(), SECRET)
    with RunningServer(server, folder / "log") as running:
        yield server
        running.kill()


def test_whoever_has_the_password_writes_and_reads(guarded: ApacheKafka, tmp_path: Path) -> None:
    """The topics are made, a message is acknowledged and read back by a group, all as the stack's user."""
    TopicKeeper(AdminClient(clients_of(guarded)), 2, tmp_path / "broker.json").look()
    producer = Producer(clients_of(guarded) | {"acks": "all", "enable.idempotence": True})
    producer.produce("raw-tweets", b"value", partition=0)
    assert producer.flush(30) == 0
    consumer = Consumer(clients_of(guarded) | {"group.id": "reader", "auto.offset.reset": "error"})
    consumer.assign([TopicPartition("raw-tweets", 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message.value() == b"value"


@pytest.mark.parametrize(
    "changed",
    [
        {"security.protocol": "PLAINTEXT"},
        {"sasl.password": "wrong"},
        {"sasl.username": "somebody"},
        {"sasl.mechanism": "PLAIN"},
        {"sasl.mechanism": "SCRAM-SHA-256"},
    ],
    ids=["no password", "wrong password", "unknown user", "another mechanism", "a weaker mechanism"],
)
def test_a_stranger_is_refused(guarded: ApacheKafka, changed: dict[str, Any]) -> None:
    """Without the user's name, password and mechanism, clients learn nothing, not even topic names."""
    assert is_refused(clients_of(guarded) | changed)
    assert not is_refused(clients_of(guarded))


def test_the_controller_is_no_side_door(guarded: ApacheKafka) -> None:
    """The controller's port does not answer unauthenticated clients."""
    assert not controller_answers(guarded.controller_port)


def test_a_broker_with_another_password_is_named(guarded: ApacheKafka, tmp_path: Path) -> None:
    """A replaced secrets file is reported at once, instead of waiting as for a slow broker."""
    stranger = ApacheKafka(tmp_path, guarded.port, guarded.controller_port, "another")
    with pytest.raises(StackError, match="refuses this install's password") as told:
        stranger.ready()
    assert "another" not in str(told.value).replace("another broker", "")


def test_nobody_else_reads_the_password(guarded: ApacheKafka) -> None:
    """It is in no command line, and every file of the broker is private to its owner, whatever the umask."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if str(guarded.data) in line]
    assert not [line for line in lines if SECRET in line]
    assert SECRET not in " ".join(guarded.command())
    assert guarded.data.stat().st_mode & 0o777 == 0o700
    holders = [p for p in guarded.data.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert {p.name for p in holders} == {"server.properties"}
    assert [p for p in guarded.data.rglob("*") if p.is_file() and p.stat().st_mode & 0o077] == []


@needs_apache_kafka
def test_a_folder_from_before_gets_the_user_and_keeps_its_messages(tmp_path: Path) -> None:
    """A broker without a password, killed with a lag in its topic, asks for one at the next start: topic id, messages
    and committed positions are the same, and strangers are refused."""
    ports = free_port(), free_port()
    before = ApacheKafka(tmp_path / "data", *ports)
    with RunningServer(before, tmp_path / "log") as running:
        assert controller_answers(before.controller_port)
        admin = AdminClient(clients_of(before))
        admin.create_topics([NewTopic("raw-tweets", 1, 1)])["raw-tweets"].result(30)
        producer = Producer(clients_of(before) | {"acks": "all", "enable.idempotence": True})
        for number in range(100):
            producer.produce("raw-tweets", str(number).encode())
        assert producer.flush(60) == 0
        position = Consumer(clients_of(before) | {"group.id": "land", "enable.auto.commit": False})
        position.commit(offsets=[TopicPartition("raw-tweets", 0, 40)], asynchronous=False)
        position.close()
        topic_id = _topic_id(admin)
        running.kill()
    after = ApacheKafka(tmp_path / "data", *ports, SECRET)
    with RunningServer(after, tmp_path / "log") as running:
        assert _topic_id(AdminClient(clients_of(after))) == topic_id
        reader = Consumer(clients_of(after) | {"group.id": "land", "auto.offset.reset": "error"})
        (committed,) = reader.committed([TopicPartition("raw-tweets", 0)], timeout=30)
        assert committed.offset == 40
        reader.assign([TopicPartition("raw-tweets", 0, 0)])
        assert [m.value() for m in reader.consume(100, timeout=30)] == [str(n).encode() for n in range(100)]
        reader.close()
        assert is_refused({"bootstrap.servers": after.bootstrap})
        assert not controller_answers(after.controller_port)
        running.kill()


def _topic_id(admin: AdminClient) -> str:
    described = admin.describe_topics(TopicCollection(["raw-tweets"]))
    return str(described["raw-tweets"].result(30).topic_id)


def test_tansu_cannot_ask_for_a_password(tmp_path: Path) -> None:
    """With --authentication it refuses everybody and lets nobody create the first user: so the stack starts it
    without, and says so. When this fails, a newer Tansu may be able to: see decision 20."""
    server = Tansu(free_port())
    address = f"tcp://{LOOPBACK}:{server.port}"
    with (tmp_path / "log").open("wb") as log:
        broker = subprocess.Popen([*server.command(), "--authentication"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            program = server.command()[0]
            create = subprocess.run(
                [program, "user", "create", "--broker", address, "pipeline", SECRET],
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert create.returncode != 0
            assert is_refused({"bootstrap.servers": server.bootstrap})
            assert is_refused({"bootstrap.servers": server.bootstrap} | kafka_access.with_password(SECRET))
        finally:
            broker.kill()
            broker.wait()


class Contained:
    """The broker of docker-compose.yaml without a container: its environment and its script over the embedded jars."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.controller_port, self.host_port = free_port(), free_port(), free_port()
        service = yaml.safe_load((CLONE / "docker-compose.yaml").read_text())["services"]["broker"]
        given = {n: re.sub(r"\$\{[^}]*\}", SECRET, str(v)) for n, v in service["environment"].items()}
        ports = {"9092": self.port, "9093": self.controller_port, "19092": self.host_port}
        for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"):
            text = given[name].replace("127.0.0.1:18084", f"127.0.0.1:{self.host_port}")
            text = text.replace("broker:", "127.0.0.1:").replace("://:", "://127.0.0.1:")
            given[name] = re.sub(r":(9092|9093|19092)\b", lambda port: f":{ports[port[1]]}", text)
        programs = {
            "kafka-storage.sh": "kafka.tools.StorageTool",
            "kafka-server-start.sh": "kafka.Kafka",
            "kafka-configs.sh": "kafka.admin.ConfigCommand",
        }
        java = f"java -Xmx256m -cp '{apache_kafka.fetch_libraries()}/*'"
        (folder / "bin").mkdir(parents=True)
        for program, of_class in programs.items():
            self._script(folder / "bin" / program, f'exec {java} {of_class} "$@"')
        # what the image's own start does: properties from the environment, a folder formatted, the server
        (folder / "defaults").mkdir()
        (folder / "mounted").mkdir()
        (folder / "final").mkdir()
        for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
            (folder / "defaults" / name).touch()
        self._script(
            folder / "run",
            f"{java} kafka.docker.KafkaDockerWrapper setup --default-configs-dir {folder}/defaults "
            f"--mounted-configs-dir {folder}/mounted --final-configs-dir {folder}/final || true\n"
            f"exec {java} kafka.Kafka {folder}/final/server.properties",
        )
        own = {
            "KAFKA_HOME": str(folder),
            "KAFKA_LOG_DIRS": str(folder / "data"),
            "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw",
            "BROKER_FILES": str(folder / "files"),
            "BROKER_OPEN_PORT": str(free_port()),
            "BROKER_RUN": str(folder / "run"),
        }
        # the wrapper turns each KAFKA_ variable into a property
        self._environment = given | own
        self.name = "the broker of docker-compose.yaml"

    def _script(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)

    def prepare(self) -> None: ...

    def command(self) -> list[str]:
        return ["bash", str(CLONE / "deploy" / "kafka" / "start.sh")]

    def environment(self) -> dict[str, str]:
        return self._environment

    def ready(self) -> bool:
        return kafka_access.answers(
            {"bootstrap.servers": f"{LOOPBACK}:{self.host_port}"} | kafka_access.with_password(SECRET)
        )


@needs_apache_kafka
@pytest.mark.parametrize("from_before", [False, True], ids=["a new volume", "a volume from before"])
def test_the_broker_of_the_containers_asks_for_it_too(tmp_path: Path, from_before: bool) -> None:
    """Its script and its environment, run over the same jars: all its doors ask, also on a volume without a user."""
    contained = Contained(tmp_path / "kafka")
    if from_before:
        _format_without_user(contained)
    with RunningServer(contained, tmp_path / "log") as running:
        for port in (contained.port, contained.host_port):
            assert is_refused({"bootstrap.servers": f"{LOOPBACK}:{port}"})
        assert not controller_answers(contained.controller_port)
        running.kill()
    assert SECRET not in (tmp_path / "log").read_text()


def _format_without_user(contained: Contained) -> None:
    properties = contained.folder / "before.properties"
    given = contained.environment()
    properties.write_text(
        f"process.roles=broker,controller\nnode.id=1\nlog.dirs={given['KAFKA_LOG_DIRS']}\n"
        f"controller.quorum.voters={given['KAFKA_CONTROLLER_QUORUM_VOTERS']}\ncontroller.listener.names=CONTROLLER\n"
        f"listeners=PLAINTEXT://127.0.0.1:{contained.port},CONTROLLER://127.0.0.1:{contained.controller_port}\n"
    )
    words = ["format", "--cluster-id", given["CLUSTER_ID"], "--config", str(properties)]
    subprocess.run([contained.folder / "bin" / "kafka-storage.sh", *words], check=True, capture_output=True)
