"""Collection rules: read from a YAML file, kept in pipeline.rules, leased by whoever polls.

The file looks like this; a rule has a query of X's search or a list of accounts:

    rules:
      - name: python
        query: "#python lang:en"
        interval_seconds: 30
      - name: newsroom
        accounts: [alice, bob]
        enabled: false
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.rows import class_row

KNOWN_KEYS = {"name", "query", "accounts", "interval_seconds", "enabled"}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
USERNAME = re.compile(r"[A-Za-z0-9_]{1,15}", re.ASCII)
QUERY_LENGTH = 512  # recent search; X refuses longer ones

UPSERT = """
insert into pipeline.rules as known (name, query, accounts, interval_seconds, is_enabled)
values (%(name)s, %(query)s, %(accounts)s, %(interval_seconds)s, %(is_enabled)s)
on conflict (name) do update set query = excluded.query, accounts = excluded.accounts,
    interval_seconds = excluded.interval_seconds, is_enabled = excluded.is_enabled
where (known.query, known.accounts, known.interval_seconds, known.is_enabled)
    is distinct from (excluded.query, excluded.accounts, excluded.interval_seconds, excluded.is_enabled)
"""
DUE = """
select name from pipeline.rules
where is_enabled and next_due_at <= now() and (leased_until is null or leased_until < now())
order by next_due_at, name
"""
LEASE = """
update pipeline.rules set leased_by = %(holder)s, leased_until = now() + %(seconds)s * interval '1 second'
where name = %(rule)s and (leased_until is null or leased_until < now() or leased_by = %(holder)s)
"""
RELEASE = """
update pipeline.rules set leased_by = null, leased_until = null,
    next_due_at = coalesce(%(due)s, now() + interval_seconds * interval '1 second'),
    last_polled_at = case when %(error)s::text is null then now() else last_polled_at end,
    last_error = %(error)s, last_error_at = case when %(error)s::text is null then null else now() end
where name = %(rule)s and leased_by = %(holder)s
"""


class BadRules(ValueError):
    """The rules file cannot be used; the text names file, rule and field. Nothing was changed."""


class LeaseHeld(RuntimeError):
    """Another run polls this rule; leave it to that one."""

    skip_task = True


@dataclass(frozen=True)
class Rule:
    """One rule: either a search `query` or the `accounts` whose timelines are read."""

    name: str
    query: str | None
    accounts: list[str] | None
    interval_seconds: int
    is_enabled: bool


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file. Raises BadRules."""
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise BadRules(f"{path}: there is no such file; write one or set PIPELINE_RULES") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadRules(f"{path}: {error}") from None
    entries = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BadRules(f"{path}: expected a list under 'rules:'")
    rules = [_rule(entry, f"{path}: rule {number}") for number, entry in enumerate(entries, 1)]
    names = [r.name for r in rules]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadRules(f"{path}: rule names must be unique, twice: {', '.join(twice)}")
    return rules


def _rule(entry: Any, where: str) -> Rule:
    if not isinstance(entry, Mapping):
        raise BadRules(f"{where}: expected fields such as name and query, not {type(entry).__name__}")
    name = entry.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadRules(
            f"{where}: name: {name!r} must be 1 to 63 of a-z 0-9 _ - and start with a letter or digit"
        )
    where = f"{where} ({name})"
    if unknown := sorted(set(map(str, entry)) - KNOWN_KEYS):
        raise BadRules(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(KNOWN_KEYS))}")
    query, accounts = entry.get("query"), entry.get("accounts")
    if (query is None) == (accounts is None):
        raise BadRules(f"{where}: needs either query or accounts")
    if query is not None and (not isinstance(query, str) or not 1 <= len(query.strip()) <= QUERY_LENGTH):
        raise BadRules(f"{where}: query: must be text of 1 to {QUERY_LENGTH} characters")
    if query is not None and not _storable(query):
        raise BadRules(f"{where}: query: holds a character that is no text (NUL or half of a pair)")
    if accounts is not None:
        if not isinstance(accounts, list) or not 1 <= len(accounts) <= 100:
            raise BadRules(f"{where}: accounts: must be a list of 1 to 100 account names")
        for account in accounts:
            if not isinstance(account, str) or not USERNAME.fullmatch(account.removeprefix("@")):
                raise BadRules(f"{where}: accounts: {account!r} is no account name")
        accounts = sorted({a.removeprefix("@").lower() for a in accounts})
    interval, enabled = entry.get("interval_seconds", 60), entry.get("enabled", True)
    if isinstance(interval, bool) or not isinstance(interval, int) or not 1 <= interval <= 86_400:
        raise BadRules(f"{where}: interval_seconds: {interval!r} must be a whole number from 1 to 86400")
    if not isinstance(enabled, bool):
        raise BadRules(f"{where}: enabled: {enabled!r} must be true or false")
    return Rule(name, query.strip() if query else None, accounts, interval, enabled)


def _storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, no lone surrogates."""
    return "\x00" not in text and text.encode("utf-8", "ignore").decode() == text


def seed(dsn: str, path: Path) -> int:
    """Put the rules of a file into the table; returns how many were new or changed.

    The file wins for the rules that it names; rules that are only in the table stay as they are. Raises BadRules.
    """
    rules = read_rules(path)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(UPSERT, [vars(rule) for rule in rules])
        return max(cursor.rowcount, 0)


def find(connection: psycopg.Connection, name: str) -> Rule:
    """The rule of a name. Raises LookupError. Never writes."""
    with connection.cursor(row_factory=class_row(Rule)) as cursor:
        rule = cursor.execute(
            "select name, query, accounts, interval_seconds, is_enabled from pipeline.rules where name = %s",
            (name,),
        ).fetchone()
    if rule is None:
        raise LookupError(f"there is no rule {name!r} in pipeline.rules")
    return rule


def due(connection: psycopg.Connection) -> list[str]:
    """Names of the enabled rules whose time has come and that nobody polls, longest waiting first. Never writes."""
    return [name for (name,) in connection.execute(DUE).fetchall()]


class Lease:
    """A held rule. `extend` while working; `give_back_at` to have it due at another time than its interval says."""

    def __init__(self, connection: psycopg.Connection, rule: str, holder: str, seconds: float) -> None:
        self.rule, self.holder = rule, holder
        self._connection, self._seconds = connection, seconds
        self._due: datetime | None = None

    def extend(self) -> None:
        """Hold on for another span. Raises LeaseHeld when somebody else has the rule by now."""
        done = self._connection.execute(
            LEASE, {"rule": self.rule, "holder": self.holder, "seconds": self._seconds}
        ).rowcount
        if done == 0:
            raise LeaseHeld(f"rule {self.rule!r} is polled by another run")

    def give_back_at(self, due: datetime) -> None:
        """Let the rule be due at `due` (a rate limit's reset) once the lease ends."""
        self._due = due.astimezone(UTC)

    def release(self, error: str | None) -> None:
        self._connection.execute(
            RELEASE, {"rule": self.rule, "holder": self.holder, "due": self._due, "error": error}
        )


@contextmanager
def lease(connection: psycopg.Connection, rule: str, holder: str, seconds: float = 300) -> Iterator[Lease]:
    """Hold a rule while polling it; `holder` names the run. Raises LeaseHeld.

    At the end the rule is due again after its interval; an exception is kept as the rule's last error.
    """
    held = Lease(connection, rule, holder, seconds)
    held.extend()
    try:
        yield held
    except BaseException as error:
        quiet = held._due is not None or getattr(error, "skip_task", False)
        reason = (
            f"{type(error).__name__}: {error}"[:500].replace("\x00", "").encode("utf-8", "replace").decode()
        )
        held.release(None if quiet else reason)
        raise
    held.release(None)
