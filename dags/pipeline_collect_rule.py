"""The operator for a turn: polls X for one rule in pipeline.rules and produces to Kafka."""

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
    """Poll one rule in pipeline.rules: its query, or each of its accounts.

    First it refetches, by id, tweets that the Kafka log lost before they were landed. The rule is leased while it is
    polled. A task is marked skipped if the rule is already leased, and also if it hits a rate limit: it then returns the
    rule, due at the reset.
    """

    template_fields: Sequence[str] = ("topic", "rule")

    def __init__(self, *, rule: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> "Polled":
        """Run one turn of the rule."""
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
