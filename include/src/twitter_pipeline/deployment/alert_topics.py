"""The SNS topics that people are told by: made by boto3 on the server that PIPELINE_SNS_URL names.

For an SNS of one's own, which has forgotten its topics after each start. At AWS the topics are there already: a person
subscribes to them and gives their ARNs, and nothing here is asked.
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
ATTEMPTS = 2  # the keeper asks again every few seconds


def sns_client(url: str, credentials: Mapping[str, str] | None = None, *, attempts: int = ATTEMPTS) -> Any:
    """A client of the SNS at `url`. Credentials and region come from boto3's usual places (AWS_ACCESS_KEY_ID, ...).

    `credentials` replace those, by the names that boto3 has for them. Asks nothing yet.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    session = boto3.session.Session(**(credentials or {}))
    return session.client("sns", endpoint_url=url, region_name=session.region_name or REGION, config=config)


def create_topic(sns: Any, name: str) -> str:
    """Create the topic, or find it; returns its ARN.

    Raises OSError, which names no credentials, when the server does not answer or refuses.
    """
    try:
        return str(sns.create_topic(Name=name)["TopicArn"])
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"SNS topic {name} could not be created: {error}") from None


class AlertTopics:
    """Both topics at the SNS of one address, with the credentials of the environment; asks nothing yet."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _sns(self) -> Any:
        return sns_client(self._url)

    def look(self) -> None:
        """Create what is missing; raises OSError like `create_topic`."""
        for name in (ALERT_TOPIC, HEARTBEAT_TOPIC):
            create_topic(self._sns, name)
