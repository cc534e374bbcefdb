"""Which broker the stack runs: Apache Kafka if Java and Maven are installed, else Tansu; always with the reason."""

from dataclasses import dataclass

from twitter_pipeline.stack import apache_kafka
from twitter_pipeline.stack.apache_kafka import ApacheKafka
from twitter_pipeline.stack.credentials import Credentials
from twitter_pipeline.stack.servers import StackError
from twitter_pipeline.stack.settings import LauncherSettings
from twitter_pipeline.stack.tansu import Tansu


@dataclass(frozen=True)
class BrokerChoice:
    """The kind of broker ("apache-kafka" or "tansu"), why, and the server itself."""

    kind: str
    why: str
    server: ApacheKafka | Tansu

    @property
    def warning(self) -> str | None:
        """What users should know about this broker, or None."""
        if self.kind == "tansu":
            return "Tansu requires no password: any user on this machine can read and write its topics"
        return None


def choose(settings: LauncherSettings, secrets: Credentials) -> BrokerChoice:
    """Follow PIPELINE_BROKER. Raises StackError if it demands Apache Kafka, which cannot run here."""
    missing = apache_kafka.missing() if settings.broker != "tansu" else None
    if settings.broker == "apache-kafka" and missing:
        raise StackError(f"PIPELINE_BROKER is apache-kafka, which cannot run here: {missing}")
    if settings.broker == "tansu" or missing:
        why = f"Apache Kafka cannot run here: {missing}" if missing else "set by PIPELINE_BROKER"
        return BrokerChoice("tansu", why, Tansu(settings.port("broker")))
    ports = settings.port("broker"), settings.port("broker_controller")
    server = ApacheKafka(settings.home / "kafka", *ports, secrets["kafka"])
    why = "set by PIPELINE_BROKER" if settings.broker != "auto" else "Java and Maven are installed"
    return BrokerChoice("apache-kafka", why, server)
