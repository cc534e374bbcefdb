"""Verify the contract of every table and account for every offset: after new data, at most every half hour, and each night.

Started by its doorbell if tweets were loaded since a contract was last verified, at least PIPELINE_QUALITY_MINUTES ago.
A contract is a file in soda/, named after its table. If one fails, the task of its schema fails and names the contract,
column, check and measured value; the rows stay. Every result is kept in pipeline.quality_results.

Red? `ContractFailed`: look at the rows that the check is about, see docs/operations.md#contractfailed.
`AccountingFailed`: some offsets are unexplained, see docs/operations.md#accountingfailed. `ContractUnusable`:
PostgreSQL was away, or a migration changed a table without its contract.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task

from pipeline_assets import UNVERIFIED_TWEETS
from pipeline_policies import HOUSE_DEFAULTS, judged
from pipeline_stores import SETTINGS, metrics, raw_store, warehouse


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("30 3 * * *", timezone="UTC"), assets=[UNVERIFIED_TWEETS]
    ),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=60),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "quality"],
    params={"contracts": Param([], type="array", items={"type": "string"}, description="Empty: all.")},
)
def data_quality():
    @task
    def due_contracts(dag_run=None, params=None) -> list[list[str]]:
        """List the contracts to verify, by schema; after new data, all except those verified recently."""
        from twitter_pipeline.quality import contracts

        folder = SETTINGS.contracts_folder
        minutes = SETTINGS.quality_minutes // 2 if dag_run.run_type == "asset_triggered" else 0
        with warehouse() as connection:
            chosen = params["contracts"] or contracts.due(connection, folder, minutes)
        return contracts.by_schema(folder, chosen)

    @task(map_index_template="{{ contracts }}")
    def verify(contracts: list[str], run_id=None) -> int:
        """Verify contracts, keep their results, and fail if a check failed; returns the number of checks."""
        from airflow.sdk import get_current_context

        from twitter_pipeline.quality.verification import verify_and_record

        get_current_context()["contracts"] = ", ".join(contracts)
        dsn = SETTINGS.need("postgres_reader_dsn")
        with judged(), warehouse() as connection:
            return verify_and_record(connection, SETTINGS.contracts_folder, contracts, dsn, run_id, metrics())

    @task
    def account(run_id=None) -> int:
        """Account for every offset that the stages have passed since last time; fails if one is unexplained."""
        from twitter_pipeline.health.accounting import verify_and_record

        with judged(), warehouse() as connection, raw_store() as raw:
            return verify_and_record(raw, connection, run_id, metrics())

    verify.expand(contracts=due_contracts())
    account()


data_quality()
