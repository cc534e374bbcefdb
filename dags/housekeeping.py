"""Remove what is older than its stated age, each night: runs, events and records of Airflow, log files, our own records.

The ages are settings: PIPELINE_KEEP_EVENTS_DAYS, PIPELINE_KEEP_RUNS_DAYS, PIPELINE_KEEP_LOGS_DAYS and
PIPELINE_KEEP_RECORDS_DAYS. Tweets, gaps, dead letters and what is not settled yet are never touched.

Red? `PruneFailed`: the log has the end of what `airflow db clean` said. No connection `airflow_metadata`: declare it.
`alert_path`: SNS does not take messages from Airflow, so failed tasks tell nobody; look at connection `aws_default`.
Nothing is lost while this is red, histories only grow.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag, task

from pipeline_policies import HOUSE_DEFAULTS, send_heartbeat
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
        """Remove old asset events, and old runs with what belongs to them, from Airflow's database."""
        return airflow_database().prune_by_age(SETTINGS.keep_events_days, SETTINGS.keep_runs_days)

    @task(multiple_outputs=False)
    def log_files() -> dict[str, int]:
        """Remove old logs of tasks, and what was cut off the services' own."""
        from airflow.configuration import conf

        from twitter_pipeline.housekeeping.log_files import prune_both

        return prune_both(conf.get("logging", "base_log_folder"), SETTINGS.logs, SETTINGS.keep_logs_days)

    @task(multiple_outputs=False)
    def own_records() -> dict[str, int]:
        """Remove old pages, spending, requests and results of contracts that nobody acts on any more."""
        from twitter_pipeline.housekeeping.records import prune

        with warehouse() as records, raw_store() as raw:
            return prune(records, raw, SETTINGS.keep_records_days)

    @task
    def older_observations() -> int:
        """Observe a part of what an older version loaded; return how many offsets are left."""
        from twitter_pipeline.transform.observing import observe_older

        with warehouse() as connection, raw_store() as raw:
            return observe_older(raw, connection, most=500_000)

    @task
    def alert_path() -> None:
        """Tell the heartbeat topic that all is well, in the way in which failed tasks are told."""
        send_heartbeat(SETTINGS.heartbeat_topic_arn)

    for duty in (airflow_history, log_files, own_records, older_observations, alert_path):
        duty()


housekeeping()
