"""Every metric of the pipeline: its name in Prometheus, kind, unit, labels and meaning.

Names are `twitter_pipeline_<stage>_<what>_<unit>`. Only metrics in this list can be sent. docs/metrics.md is generated
from it, and tests hold the mapping of statsd_exporter and the dashboard to it. Airflow's own metrics are not here.
"""

from dataclasses import dataclass
from typing import Literal

from twitter_pipeline import stages

Kind = Literal["counter", "gauge", "timer"]
PREFIX = "twitter_pipeline"


@dataclass(frozen=True)
class Metric:
    """One metric; `series` is its name in Prometheus (a timer has _count, _sum and quantiles there, in seconds).

    A metric that `is_occasional` has no series while there is nothing to report.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    is_occasional: bool = False

    @property
    def series(self) -> str:
        return f"{PREFIX}_{self.name}"


STAGES = (*(stage.name for stage in stages.IN_ORDER), "warehouse")

CATALOGUE = (
    Metric(
        "stage_records",
        "gauge",
        "records",
        ("stage",),
        "Records that a stage has processed since the beginning: messages; for warehouse distinct collected tweets.",
    ),
    Metric(
        "stage_lag_records",
        "gauge",
        "records",
        ("stage",),
        "Records that wait for a stage; for extract the enabled rules that are overdue by an interval.",
    ),
    Metric(
        "stage_age_seconds",
        "gauge",
        "seconds",
        ("stage",),
        "Seconds since the newest record of a stage. Grows while nothing new arrives.",
    ),
    Metric(
        "health_stage_answers",
        "gauge",
        "0 or 1",
        ("stage",),
        "1 while the stores of a stage answer, 0 while one does not.",
    ),
    Metric(
        "health_looked_timestamp_seconds",
        "gauge",
        "Unix time",
        (),
        "When the publisher last looked. If this stands still, everything above is out of date.",
    ),
    Metric(
        "transform_dead_letters",
        "gauge",
        "records",
        (),
        "Landed envelopes that could not be loaded and are not yet resolved (pipeline.dead_letters).",
    ),
    Metric(
        "land_dead_letters",
        "gauge",
        "records",
        (),
        "Messages that could not be landed and are not yet resolved (MongoDB dead_letters).",
    ),
    Metric(
        "warehouse_gaps",
        "gauge",
        "rows",
        (),
        "Gaps: what is known to be missing and not settled (pipeline.gaps).",
    ),
    Metric(
        "accounting_unaccounted",
        "gauge",
        "offsets",
        (),
        "Offsets that transform passed and that nothing explains: no document, dead letter, gap or row. 0 when all is well.",
    ),
    Metric(
        "raw_missing",
        "gauge",
        "offsets",
        (),
        "Documents that were missing in raw and no longer in Kafka, and are not settled.",
    ),
    Metric(
        "land_empty_ranges",
        "gauge",
        "ranges",
        (),
        "Ranges of offsets in which the log had no record although it was not truncated. Our topic has none.",
    ),
    Metric(
        "stage_failing_partitions",
        "gauge",
        "partitions",
        ("stage",),
        "Partitions in which landing or transform is stopped by an error; pipeline.cursors has it.",
    ),
    Metric(
        "extract_lost_pages",
        "gauge",
        "pages",
        (),
        "Pages that the log lost before they landed and that must still be fetched again.",
    ),
    Metric(
        "extract_spend_usd",
        "gauge",
        "US dollars",
        (),
        "Spent or reserved on the real X since the month began (UTC).",
    ),
    Metric(
        "extract_budget_used_ratio",
        "gauge",
        "ratio",
        (),
        "Share of X_BUDGET_USD spent or reserved this month (UTC); 0 without a budget.",
    ),
    Metric(
        "extract_circuit_open",
        "gauge",
        "circuits",
        (),
        "APIs to which only probes are sent, since the cost of the last requests is unknown (pipeline.circuits).",
    ),
    Metric(
        "extract_requests_total",
        "counter",
        "requests",
        ("endpoint", "status"),
        "Requests to X by endpoint and HTTP status (none: no answer).",
    ),
    Metric(
        "extract_count_differs_total",
        "counter",
        "pages",
        (),
        "Pages for which X twice in a row stated a different number of tweets than it returned.",
        is_occasional=True,
    ),
    Metric(
        "extract_tweets_total",
        "counter",
        "tweets",
        ("endpoint",),
        "Tweets that X returned as data, including overlaps.",
    ),
    Metric(
        "land_messages_total",
        "counter",
        "messages",
        ("outcome",),
        "Messages by outcome: landed, duplicate, dead_lettered.",
    ),
    Metric(
        "land_drain_seconds",
        "timer",
        "seconds",
        (),
        "How long a landing drain ran, including lingering.",
    ),
    Metric(
        "transform_envelopes_total",
        "counter",
        "envelopes",
        ("outcome",),
        "Landed envelopes by outcome: loaded, quarantined (written to the dead letters), removed.",
    ),
    Metric(
        "transform_drain_seconds",
        "timer",
        "seconds",
        (),
        "How long a transform drain ran, including lingering.",
    ),
    Metric(
        "quality_checks_total",
        "counter",
        "checks",
        ("contract", "outcome"),
        "Checks of contracts by outcome.",
    ),
    Metric(
        "quality_failed_checks",
        "gauge",
        "checks",
        ("contract",),
        "Checks that failed in the newest run of a contract.",
    ),
    Metric("api_requests_total", "counter", "requests", ("route", "status"), "Requests to the REST API."),
    Metric("api_request_seconds", "timer", "seconds", ("route",), "How long the REST API took to answer."),
    Metric(
        "export_tweets_total", "counter", "tweets", ("format",), "Tweets written by the Dag tweet_export."
    ),
    Metric(
        "rules_parked",
        "gauge",
        "0 or 1",
        ("rule",),
        "1 for each enabled rule that X refused and that is no longer polled; expires a minute after it is unparked.",
        is_occasional=True,
    ),
    Metric(
        "budget_used_ratio",
        "gauge",
        "ratio",
        ("rule",),
        "Share of a rule's own budget spent or reserved this month (UTC), for rules that have one.",
        is_occasional=True,
    ),
    Metric(
        "extract_failing_rules",
        "gauge",
        "rules",
        ("error",),
        "Enabled rules whose newest poll ended with this error, for errors that a person must act on.",
    ),
    Metric(
        "stack_service_starts",
        "gauge",
        "starts",
        ("service",),
        "Starts of a service since the stack was started; only if `make up` runs it.",
    ),
    Metric(
        "alerts_delivery_age_seconds",
        "gauge",
        "seconds",
        (),
        "Seconds since Alertmanager last got a message through to SNS; the heartbeat is sent every five minutes.",
    ),
)

BY_NAME = {metric.name: metric for metric in CATALOGUE}
