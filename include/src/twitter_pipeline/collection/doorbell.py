"""Which rules are due: the query behind the doorbell of `tweet_extraction`, and how its run hands them out to tasks."""

import psycopg

MOST_RULES = 1000  # Airflow refuses to map a task over more than 1,024; the doorbell rings again for the rest
# A row is a rule and the time at which it is due, so the doorbell rings once for each time. It does not ring for rules
# that are parked, disabled or leased.
DUE_RULES = f"""
select name, next_due_at from pipeline.rules
where is_enabled and parked_at is null and next_due_at <= now() and (leased_until is null or leased_until < now())
order by next_due_at, name limit {MOST_RULES}
"""  # noqa: S608 - our own number
# Otherwise another run would find the rule due too before its task begins, and poll it a second time.
HAND_OUT = f"""
with due as ({DUE_RULES} for update skip locked),
    numbered as (select name, row_number() over (order by next_due_at, name) - 1 as number from due)
update pipeline.rules
set leased_by = %(run_id)s || '/' || number, leased_until = now() + %(seconds)s * interval '1 second'
from numbered where rules.name = numbered.name
returning rules.name, number
"""  # noqa: S608


def hand_out(connection: psycopg.Connection, run_id: str, seconds: float = 120) -> list[str]:
    """Lease the due rules to the tasks of a run and return their names: mapped task N holds rule N of the list.

    A task that does not begin within `seconds` loses its rule to the next run that asks. No rule is handed out twice,
    even when two runs ask at once.
    """
    rows = connection.execute(HAND_OUT.encode(), {"run_id": run_id, "seconds": seconds}).fetchall()
    return [name for name, _ in sorted(rows, key=lambda row: row[1])]
