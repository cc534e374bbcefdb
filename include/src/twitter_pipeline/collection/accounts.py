"""The account names in rules: their user ids, and what X says about the accounts.

A name is resolved once and remembered. Only an explicit answer from X is a verdict: a name that a lookup neither returns
nor refuses for a known reason stays unresolved and is looked up again at the next poll.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from twitter_pipeline.collection.storable import storable

ASK_AGAIN_AFTER = timedelta(days=1)
LONGEST_REASON = 500
MOST_NAMES = 100  # X's limit for one lookup
UNREADABLE = ("protected", "suspended", "gone", "disallowed")
KNOWN = """
select username, user_id, state, coalesce(ask_again_at <= %(now)s, true) from pipeline.accounts
where username = any(%(names)s) order by served_at nulls first, username
"""
FOUND = """
insert into pipeline.accounts as known (username, user_id, resolved_at) values (%(name)s, %(user_id)s, %(now)s)
on conflict (username) do update set user_id = excluded.user_id, resolved_at = excluded.resolved_at,
    last_failure = null, ask_again_at = null,
    previous_user_id = case when known.user_id <> excluded.user_id then known.user_id else known.previous_user_id end,
    state = case when known.user_id <> excluded.user_id then 'taken over' end,
    state_since = case when known.user_id <> excluded.user_id then excluded.resolved_at end,
    state_reason = case when known.user_id <> excluded.user_id
        then format('the name belongs to user %%s now, it was user %%s', excluded.user_id, known.user_id) end
"""
STATE = """
insert into pipeline.accounts as known (username, resolved_at, state, state_since, state_reason, ask_again_at)
values (%(name)s, %(now)s, %(state)s, %(now)s, %(reason)s, %(again)s)
on conflict (username) do update set state = excluded.state, state_reason = excluded.state_reason,
    state_since = case when known.state is distinct from excluded.state then excluded.state_since else known.state_since end,
    ask_again_at = excluded.ask_again_at, last_failure = null
"""
READ = """
update pipeline.accounts as known set last_failure = null, ask_again_at = null,
    current_username = name.current, state = name.state,
    state_since = case when name.state is null then null when known.state = name.state then known.state_since
        else %(now)s end,
    state_reason = case name.state when 'renamed' then 'the account goes by @' || name.current || ' now'
        when 'taken over' then known.state_reason end
from (
    select username, coalesce(%(current)s, current_username) as current,
        case when lower(coalesce(%(current)s, current_username)) <> username then 'renamed'
            when state = 'taken over' then state end as state
    from pipeline.accounts where username = %(name)s
) name
where known.username = name.username
"""


@dataclass(frozen=True)
class Account:
    """An account to read: its name in lower case and its id."""

    username: str
    user_id: int


@dataclass(frozen=True)
class LookedUp:
    """What X said about names (in lower case): the ids it returned, and (state, reason) of the names it refused."""

    found: Mapping[str, int]
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Resolved:
    """The accounts to read now, the least recently served first, and the names that X did not answer for."""

    accounts: list[Account]
    unanswered: list[str] = field(default_factory=list)


def resolve(
    connection: psycopg.Connection,
    usernames: Sequence[str],
    look_up: Callable[[list[str]], LookedUp],
    now: datetime,
) -> Resolved:
    """Return which of a rule's accounts to read now.

    `look_up` asks X for up to 100 names that are not known yet, or whose account is gone (each costs a user read).
    Accounts that X refuses to show are left out until they are due again, a day later.
    """
    wanted = sorted({name.lower() for name in usernames})
    key = {"names": wanted, "now": now}
    known = {name: row for name, *row in connection.execute(KNOWN, key).fetchall()}
    unknown = [
        name
        for name in wanted
        if name not in known or (known[name][2] and (known[name][0] is None or known[name][1] == "gone"))
    ]
    unanswered: list[str] = []
    for start in range(0, len(unknown), MOST_NAMES):
        names = unknown[start : start + MOST_NAMES]
        answer = look_up(names)
        with connection.transaction():
            for name in names:
                if name in answer.found:
                    connection.execute(FOUND, {"name": name, "user_id": answer.found[name], "now": now})
                elif name in answer.refused:
                    note_state(connection, name, *answer.refused[name], now=now)
                else:
                    unanswered.append(name)
    rows = connection.execute(KNOWN, key).fetchall()
    return Resolved(
        [
            Account(name, user_id)
            for name, user_id, state, is_due in rows
            if user_id is not None and (is_due or state not in UNREADABLE) and name not in unanswered
        ],
        unanswered,
    )


def note_state(
    connection: psycopg.Connection, username: str, state: str, reason: str, *, now: datetime
) -> None:
    """Store what X says about an account that it does not show. The account is due again a day later."""
    values = {"name": username, "state": state, "reason": storable(reason, LONGEST_REASON), "now": now}
    connection.execute(STATE, values | {"again": now + ASK_AGAIN_AFTER})


def id_is_dead(connection: psycopg.Connection, username: str, reason: str, *, now: datetime) -> None:
    """Record that X knows no account with this id: the name is resolved again at the next poll."""
    values = {
        "name": username,
        "state": "gone",
        "reason": storable(reason, LONGEST_REASON),
        "now": now,
        "again": now,
    }
    connection.execute(STATE, values)


def note_served(connection: psycopg.Connection, username: str, now: datetime) -> None:
    """Record that the account was polled, whatever the outcome: the others come first next time."""
    connection.execute("update pipeline.accounts set served_at = %s where username = %s", (now, username))


def note_read(
    connection: psycopg.Connection, username: str, current_username: str | None, now: datetime
) -> None:
    """Record that the account was read; `current_username` is its present name, if an answer contained it."""
    connection.execute(READ, {"name": username, "current": current_username, "now": now})


def note_failure(connection: psycopg.Connection, username: str, failure: str) -> None:
    """Record that reading the account failed for a reason that says nothing about the account."""
    connection.execute(
        "update pipeline.accounts set last_failure = %s where username = %s",
        (storable(failure, LONGEST_REASON), username),
    )
