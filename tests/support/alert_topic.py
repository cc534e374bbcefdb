"""An SNS topic of a test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AlertTopic:
    """An SNS topic of a test, and the moto server that holds it."""

    endpoint_url: str
    arn: str
