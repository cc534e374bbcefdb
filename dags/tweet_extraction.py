"""Collect new tweets from X for every due rule, and produce them to Kafka.

Started by its doorbell, which checks every PIPELINE_EXTRACTION_SECONDS for due rules; a slow sweep backs it up. A run
settles the pages that landing has passed, lists the due rules, and polls each one in its own task, which first refetches
what the Kafka log lost. Runs may overlap: a rule is leased to one task at a time. If a rule must wait for X's rate limit,
its task returns it with the time at which it is due again, and ends.

Red? `CredentialsRefused`: put a new X_BEARER_TOKEN into `.env` and run `make up`; connection `twitter_default` is created
from it, so Airflow's pages do not show it. `BudgetExceeded`: raise X_BUDGET_USD there, or wait for the next month.
`RuleParked`: X refuses the rule's query; `twitter-pipeline rules show NAME` shows X's reason, see also docs/operations.md.
Anything else is retried automatically.
"""

from datetime import timedelta

from airflow.sdk import dag, task

from pipeline_assets import DUE_RULES, KAFKA, PRODUCED_TWEETS, left_to_the_doorbell
from pipeline_collect_rule import CollectRule
from pipeline_policies import HOUSE_DEFAULTS, woken_by
from pipeline_stores import SETTINGS, kafka, warehouse
from twitter_pipeline.settings import TOPIC


@dag(
    schedule=woken_by(DUE_RULES) if DUE_RULES.watchers else timedelta(seconds=SETTINGS.extraction_seconds),
    catchup=False,
    max_active_runs=3,
    dagrun_timeout=timedelta(minutes=40),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "extract"],
)
def tweet_extraction():
    @task
    def due_rules(run_id=None) -> list[str]:
        """Settle the pages that landing has passed, mark lost ones, and hand out the due rules."""
        from twitter_pipeline.collection import doorbell, pages
        from twitter_pipeline.streaming.log import identify

        with warehouse() as connection:
            pages.settle(connection, TOPIC, identify(kafka(), TOPIC))
            return doorbell.hand_out(connection, run_id)

    CollectRule.partial(
        task_id="collect",
        topic=TOPIC,
        kafka_conn_id=KAFKA,
        execution_timeout=timedelta(minutes=30),
        retries=2,
        outlets=[PRODUCED_TWEETS],
        post_execute=left_to_the_doorbell,
    ).expand(rule=due_rules())


tweet_extraction()
