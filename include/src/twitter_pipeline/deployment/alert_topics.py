"""The SNS topics for alerts, created with boto3 on the server in PIPELINE_SNS_URL.

This is for your own SNS server, which forgets its topics on every restart. At AWS the topics exist already: a person
subscribes to them and configures their ARNs, and nothing here is used.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ALERT_TOPIC = "pipeline-alerts"
HEARTBEAT_TOPIC = "pipeline-heartbeat"
REGION = "us-east-1"
CONNECT_SECONDS = 5
ANSWER_SECONDS = 10
ATTEMPTS = 2  # the keeper tries again every few seconds


def sns_client(url: str, credentials: Mapping[str, str] | None = None, *, attempts: int = ATTEMPTS) -> Any:
    """A client for the SNS server at `url`. Credentials and region come from boto3's usual sources
    (AWS_ACCESS_KEY_ID, ...).

    `credentials` override those, under boto3's own names. Sends nothing yet.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    session = boto3.session.Session(**(credentials or {}))
    return session.client("sns", endpoint_url=url, region_name=session.region_name or REGION, config=config)


def create_topic(sns: Any, name: str) -> str:
    """Create the topic unless it exists; returns its ARN.

    Raises OSError, which contains no credentials, if the server does not answer or refuses.
    """
    try:
        return str(sns.create_topic(Name=name)["TopicArn"])
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"SNS topic {name} could not be created: {error}") from None


class AlertTopics:
    """Both topics on the SNS server at one address, with the credentials of the environment; sends nothing yet."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _sns(self) -> Any:
        return sns_client(self._url)

    def look(self) -> None:
        """Create missing topics. Raises OSError like `create_topic`."""
        for name in (ALERT_TOPIC, HEARTBEAT_TOPIC):
            create_topic(self._sns, name)
