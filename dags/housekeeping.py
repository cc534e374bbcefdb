"""Remove old history every night: Airflow's runs, events and records, log files, and the pipeline's own records.

The ages are settings: PIPELINE_KEEP_EVENTS_DAYS, PIPELINE_KEEP_RUNS_DAYS, PIPELINE_KEEP_LOGS_DAYS and
PIPELINE_KEEP_RECORDS_DAYS. Tweets, gaps, dead letters and unsettled records are never touched.

Red? `PruneFailed`: the log has the end of the output of `airflow db clean`. No connection `airflow_metadata`: declare it.
`alert_path`: SNS does not accept messages from Airflow, so failed tasks alert nobody; check connection `aws_default`.
Nothing is lost while this is red; histories only grow.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag, task

from pipeline_policies import HOUSE_DEFAULTS, judged, send_heartbeat
from pipeline_stores import SETTINGS, airflow_database, raw_store, warehouse


@dag(
    schedule=CronTriggerTimetable("45 4 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args=HOUSE_DEFAULTS | {"execution_timeout": timedelta(hours=1)},
    doc_md=__doc__,
    tags=["housekeeping"],
)
def housekeeping():
    @task(multiple_outputs=False)
    def airflow_history() -> dict[str, int]:
        """Remove old asset events, and old runs with everything that belongs to them, from Airflow's database."""
        return airflow_database().prune_by_age(SETTINGS.keep_events_days, SETTINGS.keep_runs_days)

    @task(multiple_outputs=False)
    def log_files() -> dict[str, int]:
        """Remove old task logs, and the old parts of the services' own logs."""
        from airflow.configuration import conf

        from twitter_pipeline.housekeeping.log_files import prune_both

        return prune_both(conf.get("logging", "base_log_folder"), SETTINGS.logs, SETTINGS.keep_logs_days)

    @task(multiple_outputs=False)
    def own_records() -> dict[str, int]:
        """Remove old pages, spending, requests and contract results that are no longer needed."""
        from twitter_pipeline.housekeeping.records import prune

        with warehouse() as records, raw_store() as raw:
            return prune(records, raw, SETTINGS.keep_records_days)

    @task
    def older_observations() -> int:
        """Record observations for a part of what an older version loaded; return how many offsets are left."""
        from twitter_pipeline.transform.observing import observe_older

        with judged(), warehouse() as connection, raw_store() as raw:
            return observe_older(raw, connection, most=500_000)

    @task
    def alert_path() -> None:
        """Send a heartbeat the same way as alerts about failed tasks, to prove that they arrive."""
        send_heartbeat(SETTINGS.heartbeat_topic_arn)

    for duty in (airflow_history, log_files, own_records, older_observations, alert_path):
        duty()


housekeeping()
