"""The operator of a turn: one rule of pipeline.rules, asked of X, produced to Kafka."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.operators.collect import CollectOperator
from pipeline_policies import judged
from pipeline_stores import SETTINGS, metrics, raw_store, warehouse
from tweet_envelope.sink import EnvelopeSink

if TYPE_CHECKING:
    from twitter_pipeline.collection.asking import Polled


class CollectRule(CollectOperator):
    """Poll one rule of pipeline.rules: its query, or what each of its accounts brings.

    First the tweets that the log lost before they were landed are asked for again by their ids. The rule is leased
    while it is polled; a run that finds it leased ends skipped, and so does one that meets a rate limit: it gives the
    rule back, due at the reset.
    """

    template_fields: Sequence[str] = ("topic", "rule")

    def __init__(self, *, rule: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> "Polled":
        """One turn of the rule."""
        from pipeline_x import ClientX
        from twitter_pipeline.collection import rules
        from twitter_pipeline.collection.collect import collect_rule
        from twitter_pipeline.collection.lease import lease_rule

        holder = f"{context['run_id']}/{context['ti'].map_index}"
        with (
            judged(),
            warehouse() as database,
            raw_store() as raw,
            lease_rule(database, self.rule, holder) as lease,
        ):
            return collect_rule(
                rules.find(database, self.rule),
                ClientX(client),
                database,
                raw,
                sink,
                lease,
                budget_usd=SETTINGS.x_budget_usd,
                max_pages=SETTINGS.max_pages,
                metrics=metrics(),
            )
