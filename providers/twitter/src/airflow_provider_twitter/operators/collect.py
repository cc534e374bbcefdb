"""The base of all operators that read from X and produce envelopes: connections, waiting, and when to retry."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_twitter.client import (
    AddressRefused,
    CredentialsRefused,
    InvalidRequest,
    RateLimited,
    SpendingStopped,
    TryAgain,
    XClient,
)
from airflow_provider_twitter.hooks.kafka_configuration import KafkaConfigurationHook
from airflow_provider_twitter.hooks.twitter import PATIENCE, TwitterHook
from airflow_provider_twitter.poll import PollResult
from airflow_provider_twitter.triggers.rate_limit_reset import RateLimitResetTrigger
from tweet_envelope.sink import EnvelopeSink, MessageTooLarge

LONGEST_JITTER_SECONDS = 5.0


class CollectOperator(BaseOperator):
    """Base of operators that read from X and produce envelopes: override `collect`.

    When a rate limit is used up, the task waits in the triggerer, without a worker slot, and then calls `collect`
    again. Refused credentials, requests and budgets fail the task at once, since a retry cannot help. Outages of X
    and Kafka fail it so that Airflow retries. An exception with a true class attribute `skip_task` skips the task
    (another process does the work); one with `fail_task` fails it without a retry.

    :param topic: Kafka topic; it must exist
    """

    template_fields: Sequence[str] = ("topic",)
    ui_color = "#e8f4fd"

    def __init__(
        self,
        *,
        topic: str,
        twitter_conn_id: str = TwitterHook.default_conn_name,
        kafka_conn_id: str = KafkaConfigurationHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.twitter_conn_id = twitter_conn_id
        self.kafka_conn_id = kafka_conn_id

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> PollResult:
        """Read from X and produce; called again from the start after a wait for the rate limit."""
        raise NotImplementedError

    def keep(self) -> dict[str, Any]:
        """Plain values that must survive a wait for the rate limit; none by default."""
        return {}

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore what `keep` returned, after the wait."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect; return pages, tweets, newest_id (text), ended (how it ended) and cost_usd (text)."""
        return self._collect_or_wait(context)

    def resume(self, context: Context, event: dict[str, Any], **kept: Any) -> dict[str, Any]:
        """Continue after the rate limit's reset."""
        self.restore(kept)
        return self._collect_or_wait(context)

    def _collect_or_wait(self, context: Context) -> dict[str, Any]:
        try:
            result = self._collect(context)
        except RateLimited as limited:
            (self.log.warning if limited.is_estimated else self.log.info)("%s", limited)
            jitter = timedelta(seconds=random.uniform(0, LONGEST_JITTER_SECONDS))
            self.defer(
                trigger=RateLimitResetTrigger(reset_at=limited.reset_at + jitter),
                method_name="resume",
                kwargs=self.keep(),
            )
        except TryAgain as away:
            if away.retry_after <= PATIENCE:
                raise
            self.log.warning("%s; the server asked to wait for %s", away, away.retry_after)
            self.defer(
                trigger=RateLimitResetTrigger(reset_at=datetime.now(UTC) + away.retry_after),
                method_name="resume",
                kwargs=self.keep(),
            )
        except (
            CredentialsRefused,
            InvalidRequest,
            SpendingStopped,
            AddressRefused,
            MessageTooLarge,
        ) as refused:
            raise AirflowFailException(str(refused)) from refused
        except Exception as refused:
            if getattr(refused, "skip_task", False):
                raise AirflowSkipException(str(refused)) from refused
            if getattr(refused, "fail_task", False):
                raise AirflowFailException(str(refused)) from refused
            raise
        return {
            "pages": result.pages,
            "tweets": result.tweets,
            "newest_id": None if result.newest_id is None else str(result.newest_id),
            "ended": result.ended,
            "cost_usd": str(result.cost_usd),
        }

    def _collect(self, context: Context) -> PollResult:
        configuration = KafkaConfigurationHook(self.kafka_conn_id).configuration()
        with (
            TwitterHook(self.twitter_conn_id).get_conn() as client,
            EnvelopeSink(configuration, self.topic) as sink,
        ):
            return self.collect(context, client, sink)
