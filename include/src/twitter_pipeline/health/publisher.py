"""Publish the state of the pipeline as gauges every few seconds: counts, lag, age, dead letters, gaps, money, rules.

Read from the stores like `status`, so that the figures are right even if every task that could count is dead. Unknown
values are not sent; alerts notice that by `health_stage_answers` and by the time of the last look.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from twitter_pipeline.health import report
from twitter_pipeline.health.delivery import DeliveryWatch
from twitter_pipeline.health.report import Health
from twitter_pipeline.metrics import rules, service_starts
from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.settings import Settings
from twitter_pipeline.stages import DRAINS

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


def publish(metrics: Metrics, health: Health, now: datetime) -> None:
    """Send the figures of one report."""
    for stage in health.stages:
        if stage.count is not None:
            metrics.gauge("stage_records", stage.count, stage=stage.stage)
        if stage.lag is not None:
            metrics.gauge("stage_lag_records", stage.lag, stage=stage.stage)
        if stage.newest is not None:
            metrics.gauge("stage_age_seconds", (now - stage.newest).total_seconds(), stage=stage.stage)
        metrics.gauge("health_stage_answers", int(stage.answers), stage=stage.stage)
    for name, value in (
        ("transform_dead_letters", health.transform_dead_letters),
        ("land_dead_letters", health.land_dead_letters),
        ("warehouse_gaps", health.gaps),
        ("accounting_unaccounted", health.unaccounted),
        ("raw_missing", health.missing_in_raw),
        ("land_empty_ranges", health.empty_ranges),
        ("extract_lost_pages", health.lost_pages),
        ("extract_spend_usd", health.spent_usd),
        ("extract_circuit_open", health.open_circuits),
    ):
        if value is not None:
            metrics.gauge(name, float(value))
    if health.failing is not None:
        for drained in (stage.name for stage in DRAINS):
            count = sum(failing.stage == drained for failing in health.failing)
            metrics.gauge("stage_failing_partitions", count, stage=drained)
    for contract in health.contracts:
        metrics.gauge("quality_failed_checks", contract.failed, contract=contract.contract)
    metrics.gauge("health_looked_timestamp_seconds", now.timestamp())


def _publish_health(metrics: Metrics, settings: Settings) -> None:
    health = report.look(settings.stores())
    publish(metrics, health, datetime.now(UTC))
    if health.spent_usd is not None:
        used = health.spent_usd / settings.x_budget_usd if settings.x_budget_usd else 0
        metrics.gauge("extract_budget_used_ratio", float(used))


def keep_publishing(settings: Settings, stopping: Callable[[], bool] = lambda: False) -> None:
    """Publish until told to stop; a failure is logged once, retried, and does not prevent the other publications."""
    metrics = Metrics(settings.need("statsd"))
    looks: dict[str, Callable[[], None]] = {
        "health": lambda: _publish_health(metrics, settings),
        "rules": lambda: rules.publish(metrics, settings.need("postgres_reader_dsn")),
        "services": lambda: service_starts.publish(metrics, settings.run),
    }
    if settings.alertmanager_url is not None:
        watch = DeliveryWatch(settings.alertmanager_url, settings.need("postgres_dsn"), metrics)
        looks["alerts"] = watch.look
    troubles: dict[str, str] = {}
    while not stopping():
        for name, look in looks.items():
            try:
                look()
                trouble = ""
            except Exception as error:  # noqa: BLE001 - whatever is broken may be fixed by the next look
                trouble = f"{type(error).__name__}: {error}"
            if trouble != troubles.get(name, ""):
                logger.warning("%s: %s", name, trouble or "works again")
            troubles[name] = trouble
        time.sleep(LOOK_SECONDS)
