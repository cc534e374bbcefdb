"""Who governs a rule: the rules file that names it, or a command. A rule that its file no longer names stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from twitter_pipeline.collection import notices
from twitter_pipeline.collection.rule import Rule
from twitter_pipeline.collection.rules_file import BadRules, read_rules

FILE_NOTICE = "rules file"
STRAY_NOTICE = "rules that no file governs"
SEED_LOCK = 0x7275_6C65_73  # "rules": one seeding at a time

# An edited rule is tried again: X may have refused any of its settings.
UPSERT = """
insert into pipeline.rules as known (name, kind, spec, interval_seconds, is_enabled, page_size, first_poll_days,
    overlap_seconds, budget_usd, source, source_file)
values (%(name)s, %(kind)s, %(spec)s, %(interval_seconds)s, %(is_enabled)s, %(page_size)s, %(first_poll_days)s,
    %(overlap_seconds)s, %(budget_usd)s, %(source)s, %(source_file)s)
on conflict (name) do update set kind = excluded.kind, spec = excluded.spec,
    interval_seconds = excluded.interval_seconds, is_enabled = excluded.is_enabled, page_size = excluded.page_size,
    first_poll_days = excluded.first_poll_days, overlap_seconds = excluded.overlap_seconds,
    budget_usd = excluded.budget_usd, source = excluded.source, source_file = excluded.source_file,
    removed_at = null, parked_at = null, parked_reason = null,
    next_due_at = least(known.next_due_at, now()
        + case when known.parked_at is null then excluded.interval_seconds else 0 end * interval '1 second')
where (known.kind, known.spec, known.interval_seconds, known.is_enabled, known.page_size, known.first_poll_days,
        known.overlap_seconds, known.budget_usd, known.source, known.removed_at)
    is distinct from (excluded.kind, excluded.spec, excluded.interval_seconds, excluded.is_enabled,
        excluded.page_size, excluded.first_poll_days, excluded.overlap_seconds, excluded.budget_usd, excluded.source,
        null)
"""
MOVED = """
update pipeline.rules set source_file = %(source_file)s
where name = any(%(names)s) and source_file <> %(source_file)s
"""
ADOPT = """
update pipeline.rules set source = 'file', source_file = %(file)s where source is null and name = any(%(names)s)
"""
LEFT = """
update pipeline.rules set is_enabled = false, removed_at = now()
where source = 'file' and source_file = any(%(files)s) and name <> all(%(names)s) and removed_at is null
returning name
"""
BROUGHT = """
select name from pipeline.rules
where removed_at is null and (source_file = %(file)s or (source is null and name = any(%(names)s))) order by name
"""
ADD = """
insert into pipeline.rules as known (name, kind, spec, interval_seconds, is_enabled, page_size, first_poll_days,
    overlap_seconds, budget_usd, source)
values (%(name)s, %(kind)s, %(spec)s, %(interval_seconds)s, %(is_enabled)s, %(page_size)s, %(first_poll_days)s,
    %(overlap_seconds)s, %(budget_usd)s, 'command')
on conflict (name) do update set kind = excluded.kind, spec = excluded.spec,
    interval_seconds = excluded.interval_seconds, is_enabled = excluded.is_enabled, page_size = excluded.page_size,
    first_poll_days = excluded.first_poll_days, overlap_seconds = excluded.overlap_seconds,
    budget_usd = excluded.budget_usd, source = excluded.source, source_file = null,
    removed_at = null, parked_at = null, parked_reason = null, next_due_at = least(known.next_due_at, now())
where known.removed_at is not null
"""
REMOVE = """
update pipeline.rules set is_enabled = false, removed_at = now() where name = %s and removed_at is null
"""
STRAY = """
select name, source_file from pipeline.rules
where source is distinct from 'command' and source_file is distinct from %s and is_enabled order by name
"""


class NotYours(ValueError):
    """A file or a command governs the rule; the text says which, and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Seeded:
    """What a rules file changed: how many rules are new or edited, and the names of those it no longer holds."""

    changed: int
    left: list[str]


def seed(dsn: str, path: Path, *, instead_of: Sequence[Path] = ()) -> Seeded:
    """Write the rules of a file into the table. Raises BadRules; then only a notice is changed, which says why.

    The file governs its own rules: those it names are set as it says; those it no longer names stop, keep their checkpoints,
    and resume from there when it names them again. The same applies to rules of the files in `instead_of`. The file
    adopts rules it names that have no recorded source. Rules of other files and of commands are not touched.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            rules = read_rules(path)
            with connection.transaction():
                seeded = _seed(connection, rules, path, instead_of)
                notices.take_down(connection, FILE_NOTICE)
                _note_strays(connection, path)
        except BadRules as bad:
            notices.post(connection, FILE_NOTICE, f"{bad}; the existing rules stay as they are")
            raise
    return seeded


def _seed(
    connection: psycopg.Connection, rules: Sequence[Rule], path: Path, instead_of: Sequence[Path]
) -> Seeded:
    connection.execute("select pg_advisory_xact_lock(%s)", (SEED_LOCK,))
    names = [rule.name for rule in rules]
    taken = connection.execute(
        "select name from pipeline.rules where source = 'command' and removed_at is null and name = any(%s) order by name",
        (names,),
    ).fetchall()
    if taken:
        name = taken[0][0]
        raise BadRules(
            f"{path}: rule {names.index(name) + 1} ({name}): name: a command made a rule of this name; choose another"
            f" name, or hand that rule over to the file: twitter-pipeline rules accept {name}"
        )
    source = {"source": "file", "source_file": str(path.absolute())}
    with connection.cursor() as cursor:
        cursor.executemany(UPSERT, [rule.columns() | source for rule in rules])
        changed = max(cursor.rowcount, 0)
    connection.execute(MOVED, source | {"names": names})
    for file in instead_of:
        connection.execute(
            ADOPT, {"file": str(file.absolute()), "names": [rule.name for rule in read_rules(file)]}
        )
    files = [str(file.absolute()) for file in (path, *instead_of)]
    left = connection.execute(LEFT, {"files": files, "names": names}).fetchall()
    return Seeded(changed, sorted(name for (name,) in left))


def _note_strays(connection: psycopg.Connection, path: Path) -> None:
    """Post a notice about rules of other files, or without a recorded file; they run until an operator decides."""
    strays = connection.execute(STRAY, (str(path.absolute()),)).fetchall()
    if not strays:
        notices.take_down(connection, STRAY_NOTICE)
        return
    shown = [f"{name} ({f'of {file}' if file else 'of no known file'})" for name, file in strays]
    notices.post(
        connection,
        STRAY_NOTICE,
        f"{path} does not name {len(strays)} rules that are still running; add them there, or stop them with"
        f" twitter-pipeline rules remove NAME: {', '.join(shown)}",
    )


def brought_by(connection: psycopg.Connection, file: Path) -> list[str]:
    """Names of the rules that a file created, or may have created before files were recorded. Never writes.

    Raises BadRules when the file cannot be read.
    """
    values = {"file": str(file.absolute()), "names": [rule.name for rule in read_rules(file)]}
    return [name for (name,) in connection.execute(BROUGHT, values).fetchall()]


def add(connection: psycopg.Connection, rule: Rule) -> None:
    """Add a rule by command; a removed rule of this name comes back with its checkpoints.

    Raises NotYours if a rule of this name exists.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (SEED_LOCK,))
        is_made = connection.execute(ADD, rule.columns()).rowcount > 0
    if not is_made:
        source, file = _governor(connection, rule.name)
        owner = f"the rules file {file}" if file else "a command" if source else "an earlier version"
        raise NotYours(f"rule {rule.name}: {owner} made a rule of this name; choose another name")


def remove(connection: psycopg.Connection, name: str, rules_file: Path | None = None) -> bool:
    """Stop a rule for good; its checkpoints and tweets stay. False for a rule that was already removed.

    Raises LookupError, and NotYours for a rule that `rules_file`, the file in use, names: it would soon be back.
    """
    _, file = _governor(connection, name)
    if rules_file is not None and file == str(rules_file.absolute()) and _names(rules_file, name):
        raise NotYours(f"rule {name}: {file} names it; delete it there and run `make up`")
    done = connection.execute(REMOVE, (name,)).rowcount > 0
    if rules_file is not None:
        _note_strays(connection, rules_file)
    return done


def accept(connection: psycopg.Connection, name: str) -> bool:
    """Hand a rule that a command made over to the rules file: a file that names it adopts it when next read.

    False for a rule that no command made. Raises LookupError.
    """
    _governor(connection, name)
    return (
        connection.execute(
            "update pipeline.rules set source = null where name = %s and source = 'command'", (name,)
        ).rowcount
        > 0
    )


def _governor(connection: psycopg.Connection, name: str) -> tuple[str | None, str | None]:
    """Source and file of a rule. Raises LookupError."""
    row = connection.execute(
        "select source, source_file from pipeline.rules where name = %s", (name,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no rule {name!r} in pipeline.rules")
    return row


def _names(file: Path, name: str) -> bool:
    """Whether the file names the rule; true too for an existing file that cannot be read, because it might."""
    try:
        return any(rule.name == name for rule in read_rules(file))
    except BadRules:
        return file.exists()
