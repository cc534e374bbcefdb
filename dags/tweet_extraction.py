"""Ask X for what is new, for every rule that is due, and put it into Kafka.

Every few seconds: settle the pages that landing has passed, list the rules that are due, and poll each of them in
a task of its own, which first fetches again what the log lost. Runs may overlap, a rule is leased by one at a time.

Red? `CredentialsRefused`: put a new token into connection `twitter_default`. `BudgetExceeded`: raise
X_BUDGET_USD or wait for the next month. `InvalidRequest`: the rule's query is wrong, see pipeline.rules.
Anything else is retried by itself.
"""

from datetime import timedelta

from airflow.sdk import dag, task

from pipeline_assets import KAFKA
from pipeline_collecting import CollectRule
from pipeline_policies import HOUSE_DEFAULTS
from pipeline_stores import SETTINGS, kafka, warehouse
from twitter_pipeline.settings import TOPIC


@dag(
    schedule=timedelta(seconds=SETTINGS.extraction_seconds),
    catchup=False,
    max_active_runs=3,
    dagrun_timeout=timedelta(minutes=40),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "extract"],
)
def tweet_extraction():
    @task
    def due_rules() -> list[str]:
        """Settle the pages that landing has passed, mark the lost ones, and name the rules that are due."""
        from twitter_pipeline.collection import pages, rules
        from twitter_pipeline.streaming.log import identify

        with warehouse() as books:
            pages.settle(books, TOPIC, identify(kafka(), TOPIC))
            return rules.due(books)

    CollectRule.partial(
        task_id="collect",
        topic=TOPIC,
        kafka_conn_id=KAFKA,
        execution_timeout=timedelta(minutes=30),
        retries=2,
    ).expand(rule=due_rules())


tweet_extraction()
