"""One run at a time holds a rule while polling it; the lease expires by itself when the run is gone.

TurnEnded            the turn ends early although nothing failed: the rule's last error stays as it is
├── LeaseHeld        another run polls the rule
├── RuleStopped      the rule is disabled, parked, removed or gone
└── RuleWaits        no request may be sent before a stated time; the rule is due then
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg

from twitter_pipeline.collection.storable import LONGEST_ERROR, storable

LONGEST_FAILURE = 200

HOLD = """
update pipeline.rules set leased_by = %(holder)s, leased_until = now() + %(seconds)s * interval '1 second'
where name = %(rule)s and (leased_until is null or leased_until < now() or leased_by = %(holder)s)
"""
HOLD_TO_GO_ON = f"{HOLD} and is_enabled and parked_at is null and removed_at is null"
STANDING = """
select case
        when removed_at is not null and source = 'file' then 'is no longer in ' || source_file
        when removed_at is not null then 'was removed'
        when parked_at is not null then 'is parked: ' || parked_reason
        when not is_enabled then 'is disabled'
    end, coalesce(leased_by = %(holder)s, false)
from pipeline.rules where name = %(rule)s
"""
RELEASE = """
update pipeline.rules set leased_by = null, leased_until = null,
    next_due_at = case
        when %(due)s::timestamptz is not null then least(greatest(%(due)s, now()), now() + interval '1 day')
        when %(stopped)s then next_due_at
        else now() + interval_seconds * interval '1 second' end,
    last_polled_at = case when %(read)s then now() else last_polled_at end,
    last_error = case when %(stopped)s then last_error else %(error)s::text end,
    last_error_at = case when %(stopped)s then last_error_at when %(error)s::text is null then null else now() end
where name = %(rule)s and leased_by = %(holder)s
"""


class TurnEnded(RuntimeError):
    """The turn of a rule ends early although nothing failed."""


class LeaseHeld(TurnEnded):
    """Another run polls this rule; leave it to that run."""


class RuleStopped(TurnEnded):
    """The rule is disabled, parked, removed or gone: no more requests for it. The text says which."""


class RuleWaits(TurnEnded):
    """No request may be sent now (X's rate limit, an open circuit); the rule was given back, due when one may."""


class Lease:
    """A held rule. Call `extend` while working, and `give_back_at` to set a due time other than its interval's."""

    def __init__(self, connection: psycopg.Connection, rule: str, holder: str, seconds: float) -> None:
        self.rule, self.holder = rule, holder
        self._connection, self._seconds = connection, seconds
        self._due: datetime | None = None
        self._read = False

    def check(self) -> None:
        """Call before each request. Raises RuleStopped if the rule is disabled, parked, removed or gone, and LeaseHeld if
        another run has taken it. Never writes."""
        stopped, is_ours = self._standing()
        if stopped is not None:
            raise RuleStopped(f"rule {self.rule!r} {stopped}")
        if not is_ours:
            raise LeaseHeld(f"rule {self.rule!r} is polled by another run")

    def extend(self) -> None:
        """Renew the lease for more requests. Raises RuleStopped and LeaseHeld as `check` does."""
        if self._hold(HOLD_TO_GO_ON):
            return
        stopped, _ = self._standing()
        if stopped is not None:
            raise RuleStopped(f"rule {self.rule!r} {stopped}")
        raise LeaseHeld(f"rule {self.rule!r} is polled by another run")

    def hold(self) -> None:
        """Renew the lease to record what was already read, even if the rule was stopped meanwhile. Raises LeaseHeld."""
        if not self._hold(HOLD):
            raise LeaseHeld(f"rule {self.rule!r} is polled by another run")

    def note_read(self) -> None:
        """Record that something was read: the end of the lease sets the rule's last_polled_at."""
        self._read = True

    def give_back_at(self, due: datetime) -> None:
        """Make the rule due at `due` (a rate limit's reset) once the lease ends, a day from now at the latest."""
        self._due = due.astimezone(UTC)

    def release(self, error: str | None, *, stopped: bool = False) -> None:
        """Give the rule back, with its error or None; a `stopped` rule keeps its due time and its last error."""
        self._connection.execute(
            RELEASE,
            {
                "rule": self.rule,
                "holder": self.holder,
                "due": self._due,
                "read": self._read,
                "error": None if error is None else storable(error, LONGEST_ERROR),
                "stopped": stopped,
            },
        )

    def _hold(self, statement: str) -> bool:
        values = {"rule": self.rule, "holder": self.holder, "seconds": self._seconds}
        return self._connection.execute(statement.encode(), values).rowcount > 0

    def _standing(self) -> tuple[str | None, bool]:
        """Why no more requests may be sent, or None; and whether the lease is still ours."""
        row: Any = self._connection.execute(STANDING, {"rule": self.rule, "holder": self.holder}).fetchone()
        return row or ("is no longer in pipeline.rules", False)


@contextmanager
def lease_rule(
    connection: psycopg.Connection, rule: str, holder: str, seconds: float = 300
) -> Iterator[Lease]:
    """Hold a rule while polling it; `holder` names the run. Raises RuleStopped and LeaseHeld.

    At the end the rule is due again after its interval. An exception is stored as the rule's last error, with each failure
    of a group in brief. A stopped rule keeps its due time, so it resumes at once when it may.
    """
    held = Lease(connection, rule, holder, seconds)
    held.extend()
    try:
        yield held
    except BaseException as error:
        failed = None if isinstance(error, TurnEnded) else _told(error)
        held.release(failed, stopped=isinstance(error, RuleStopped))
        raise
    held.release(None)


def _told(error: BaseException) -> str:
    """The error after its notes, which name the item; for a group its text and as many failures as fit."""
    if not isinstance(error, BaseExceptionGroup):
        return ": ".join([*getattr(error, "__notes__", ()), type(error).__name__, str(error)])
    failures = [" ".join(_told(failure).split()) for failure in error.exceptions]
    lines, room = [], LONGEST_ERROR - len(error.message) - 30
    for number, failure in enumerate(failures):
        line = failure if len(failure) <= LONGEST_FAILURE else f"{failure[: LONGEST_FAILURE - 1]}…"
        room -= len(line) + 2
        if room < 0:
            lines.append(f"and {len(failures) - number} more")
            break
        lines.append(line)
    return f"{error.message}: {'; '.join(lines)}"
