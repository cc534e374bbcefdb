"""Verify the contract of every table: after new data, at most every half hour, and each night.

A contract is a file of soda/, named like its table. One that fails fails its task, which names the column, the check
and what was measured; the rows stay as they are. Every result is kept in pipeline.quality_results.

Red? `ContractFailed`: look at the rows that the check speaks of, see docs/operations.md#contractfailed.
`ContractUnusable`: PostgreSQL was away, or a migration changed a table whose contract was not changed with it.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task

from pipeline_assets import TWEETS
from pipeline_policies import HOUSE_DEFAULTS
from pipeline_stores import SETTINGS, metrics, warehouse


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("30 3 * * *", timezone="UTC"), assets=[TWEETS]
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
    def due_contracts(dag_run=None, params=None) -> list[str]:
        """Name the contracts to verify; after new data those not verified within PIPELINE_QUALITY_MINUTES."""
        from twitter_pipeline.quality import contracts

        if dag_run.run_type == "asset_triggered":
            with warehouse() as books:
                return contracts.due(books, SETTINGS.contracts_folder, SETTINGS.quality_minutes)
        return params["contracts"] or contracts.names(SETTINGS.contracts_folder)

    @task(map_index_template="{{ contract_name }}", max_active_tis_per_dagrun=2)
    def verify(contract: str, run_id=None) -> int:
        """Verify one contract, keep its results, and fail when a check did; returns the number of checks."""
        from airflow.sdk import get_current_context
        from airflow.sdk.exceptions import AirflowFailException

        from twitter_pipeline.quality.verification import ContractFailed, verify_and_record

        get_current_context()["contract_name"] = contract
        with warehouse() as books:
            try:
                return verify_and_record(
                    books,
                    SETTINGS.contracts_folder,
                    contract,
                    SETTINGS.need("postgres_reader_dsn"),
                    run_id,
                    metrics(),
                )
            except ContractFailed as failed:
                raise AirflowFailException(str(failed)) from failed

    verify.expand(contract=due_contracts())


data_quality()
