"""Account names of rules and the user ids that X knows them by, resolved once and remembered."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg

KNOWN = """
select username, user_id from pipeline.accounts
where username = any(%s) and (user_id is not null or resolved_at > %s)
"""
REMEMBER = """
insert into pipeline.accounts (username, user_id, resolved_at, problem) values (%s, %s, %s, %s)
on conflict (username) do update
set user_id = excluded.user_id, resolved_at = excluded.resolved_at, problem = excluded.problem
"""
ASK_AGAIN_AFTER = timedelta(days=1)  # a name that X did not know may be taken later


def resolve(
    connection: psycopg.Connection,
    usernames: Sequence[str],
    look_up: Callable[[list[str]], dict[str, int]],
    now: datetime | None = None,
) -> dict[str, int]:
    """User ids by name in lower case; names that X does not know are left out and noted in pipeline.accounts.

    `look_up` asks X for the names that are not yet known (each costs a user read).
    """
    now = now or datetime.now(UTC)
    wanted = sorted({name.lower() for name in usernames})
    known: dict[str, int | None] = dict(connection.execute(KNOWN, (wanted, now - ASK_AGAIN_AFTER)).fetchall())
    if unknown := [name for name in wanted if name not in known]:
        answer = {name.lower(): user_id for name, user_id in look_up(unknown).items()}
        found = {name: answer.get(name) for name in unknown}
        with connection.cursor() as cursor:
            cursor.executemany(
                REMEMBER,
                [
                    (name, user_id, now, "X knows no such user" if user_id is None else None)
                    for name, user_id in found.items()
                ],
            )
        known |= found
    return {name: user_id for name, user_id in known.items() if user_id is not None}
