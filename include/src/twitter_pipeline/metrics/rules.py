"""Metrics of the rules: which are parked, which fail for a reason that a person must act on, what their budgets are.

The series of a rule expires when it is no longer sent (see deploy/monitoring/statsd_mapping.yml): a rule that was
unparked or removed leaves no alert behind.
"""

import psycopg

from twitter_pipeline.metrics.statsd import Metrics

ERRORS = ("BudgetExceeded", "CredentialsRefused", "InvalidRequest", "RuleOvershot", "SpendingStopped")
PARKED = "select name from pipeline.rules where is_enabled and parked_at is not null"
FAILING = """
select error, count(rules.name) from unnest(%(errors)s::text[]) as error
left join pipeline.rules on is_enabled and strpos(last_error, error) > 0
group by error
"""
BUDGETS = """
select rules.name, coalesce(sum(coalesce(actual_usd, reserved_usd)), 0) / budget_usd from pipeline.rules
left join pipeline.spend on spend.rule = rules.name and reserved_at >= date_trunc('month', now(), 'UTC')
where is_enabled and budget_usd > 0
group by rules.name, budget_usd
"""


def publish(metrics: Metrics, reader_dsn: str) -> None:
    """Query and send the metrics once. Raises psycopg.Error if PostgreSQL does not answer."""
    with psycopg.connect(reader_dsn, connect_timeout=5, autocommit=True) as connection:
        parked = connection.execute(PARKED).fetchall()
        failing = connection.execute(FAILING, {"errors": list(ERRORS)}).fetchall()
        budgets = connection.execute(BUDGETS).fetchall()
    for (rule,) in parked:
        metrics.gauge("rules_parked", 1, rule=rule)
    for error, count in failing:
        metrics.gauge("extract_failing_rules", count, error=error)
    for rule, used in budgets:
        metrics.gauge("budget_used_ratio", float(used), rule=rule)
