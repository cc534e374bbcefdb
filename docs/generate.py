"""Generates docs/dags.md, data-dictionary.md and metrics.md, and the columns in soda/*.yml, from the code.

Airflow parses the Dags with default settings; the tables are read from a real PostgreSQL to which the migrations were
applied. With `--check` nothing is written, and the exit status is 1 if a file has drifted.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from twitter_pipeline.deployment import roles
from twitter_pipeline.metrics.catalogue import CATALOGUE
from twitter_pipeline.quality.skeleton import contract
from twitter_pipeline.settings import Settings
from twitter_pipeline.stack.postgresql import PostgreSQL
from twitter_pipeline.stack.servers import RunningServer, free_port
from twitter_pipeline.warehouse import model
from twitter_pipeline.warehouse.migrations import migrate
from twitter_pipeline.warehouse.model import Merge

DOCS = Path(__file__).resolve().parent
MADE_BY = "<!-- Made by `make docs`; edit the code instead. -->\n"

TABLES = """
select relnamespace::regnamespace::text, oid, relname, obj_description(oid, 'pg_class'), relkind = 'v' from pg_class
where relkind in ('r', 'v') and relnamespace::regnamespace::text in ('twitter', 'pipeline')
order by relnamespace::regnamespace::text desc, relname
"""
COLUMNS = """
select attname, format_type(atttypid, atttypmod), attnotnull, coalesce(attnum = any(primary_key.conkey), false),
    col_description(attrelid, attnum)
from pg_attribute
left join pg_constraint primary_key on primary_key.conrelid = attrelid and primary_key.contype = 'p'
where attrelid = %s and attnum > 0 and not attisdropped
order by attnum
"""
RULES_OF_A_TABLE = """
select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s and contype in ('c', 'f', 'u') order by conname
"""
INDEXES = """
select regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX (.*) ON .* USING (.*)$', '\\1\\2: \\3')
from pg_index where indrelid = %s and not indisprimary order by indexrelid::regclass::text
"""
FUNCTIONS = """
select oid::regprocedure::text, obj_description(oid, 'pg_proc') from pg_proc
where pronamespace::regnamespace::text in ('twitter', 'pipeline') order by 1
"""


def default_environment(home: Path) -> dict[str, str]:
    """The environment in which Dags are parsed: every default set explicitly, nothing specific to this machine."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    defaults = {variable: default for variable, default in Settings.defaults().items() if default}
    return (
        kept
        | defaults
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PIPELINE_HOME": str(home / "pipeline"),
        }
    )


def parsed_dags(home: Path) -> list[Any]:
    """The Dags as Airflow sees them. Must be called before anything else imports Airflow."""
    environment = default_environment(home)
    os.environ.clear()
    os.environ.update(environment)
    folder = DOCS.parent / "dags"
    sys.path.append(str(folder))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(folder)
    if bag.import_errors:
        raise SystemExit("\n".join(bag.import_errors.values()))
    return [bag.dags[name] for name in sorted(bag.dags)]


def page_of_dags(dags: list[Any]) -> str:
    """docs/dags.md."""
    lines = [
        MADE_BY,
        "# Dags",
        "",
        "With default settings. A failed task sends a message to the SNS topic `pipeline-alerts`. The text after *Red?*",
        "says what to do; [operations](operations.md) has the details.",
    ]
    for dag in dags:
        lines += [
            "",
            f"## {dag.dag_id}",
            "",
            dag.doc_md.strip(),
            "",
            "| | |",
            "|---|---|",
            f"| file | [dags/{Path(dag.fileloc).name}](../dags/{Path(dag.fileloc).name}) |",
            f"| started by | {_schedule(dag)} |",
            f"| at once | {dag.max_active_runs} {'run' if dag.max_active_runs == 1 else 'runs'}, each at most {_span(dag.dagrun_timeout)} |",
            f"| tags | {', '.join(sorted(dag.tags))} |",
            "",
            "| task | what it does | after | retries | at most | produces |",
            "|---|---|---|---|---|---|",
        ]
        for task in dag.topological_sort():
            after = ", ".join(f"`{name}`" for name in sorted(task.upstream_task_ids))
            produces = ", ".join(f"asset `{asset.name}`" for asset in task.outlets)
            name = f"`{task.task_id}`" + (" (mapped)" if task.is_mapped else "")
            lines.append(
                f"| {name} | {_purpose(task)} | {after} | {task.retries} | {_span(task.execution_timeout)} | {produces} |"
            )
    return "\n".join(lines) + "\n"


def _schedule(dag: Any) -> str:
    if dag.schedule is None:
        return "hand, or another Dag"
    if isinstance(dag.schedule, timedelta):
        return f"the clock, every {_span(dag.schedule)}"
    condition = getattr(dag.timetable, "asset_condition", None)
    if condition is None:
        return f"the clock, `{dag.timetable.expression}` ({dag.timetable.timezone})"
    ways = [
        f"doorbell `{watcher.name}` ({type(watcher.trigger).__name__}) on asset `{asset.name}`"
        for asset in condition.objects
        for watcher in asset.watchers
    ]
    ways += [f"asset `{asset.name}`" for asset in condition.objects if not asset.watchers]
    if (sweep := getattr(dag.timetable, "timetable", None)) is not None:
        ways.append(f"the clock, `{sweep.expression}` ({sweep.timezone})")
    return "; ".join(ways)


def _purpose(task: Any) -> str:
    """The first line of our own docstring: that of the task's function if it has one, else that of its operator."""
    of_class = task.operator_class if task.is_mapped else type(task)
    documented = getattr(task, "python_callable", None) or of_class
    return str(task.doc_md or documented.__doc__ or "").strip().splitlines()[0]


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def page_of_tables(folder: Path) -> str:
    """docs/data-dictionary.md, from a database created for this purpose."""
    server = PostgreSQL(folder / "data", free_port(), "superuser", durable=False)
    with RunningServer(server, folder / "log"):
        with psycopg.connect(server.superuser_dsn(), autocommit=True) as superuser:
            for role in roles.PIPELINE_ROLES:
                roles.create_role(superuser, role, role)
            roles.create_tweets_database(superuser, "tweets")
        migrate(server.dsn("tweets", "pipeline_migrator", "pipeline_migrator"))
        with psycopg.connect(server.superuser_dsn("tweets")) as connection:
            return "\n".join(_tables(connection)) + "\n"


def _tables(connection: psycopg.Connection) -> Iterator[str]:
    yield MADE_BY
    yield "# Data dictionary"
    yield ""
    yield "Schema `twitter` is for readers: role `pipeline_reader` may select from all of it. Schema `pipeline` holds"
    yield "the pipeline's own state. Times are UTC, ids are 64-bit, null means unknown and never 0. [Naming](naming.md)"
    yield "explains the suffixes."
    yield ""
    yield "How a column of schema `twitter` merges when a tweet is observed again ([why](decisions/0004-versions-per-group-of-columns.md)):"
    yield ""
    yield "- **fixed**: once known, it stays"
    yield "- **grown**: the longer list wins"
    yield "- **newest** (*version*): the newest observation that stated it wins, for all columns of that version together"
    yield "- **any**, **all**: true once one observation says so; true only while every observation does"
    yield ""
    yield f"{', '.join(f'`{table.name}`' for table in model.DERIVED)} are derived from `tweets.entities` ([why](decisions/0016-a-set-of-entities-is-one-value.md))."
    merges = {table.name: _merges(table) for table in model.IN_LOADING_ORDER}
    for schema, oid, name, comment, is_view in connection.execute(TABLES).fetchall():
        merge = merges.get(name, {}) if schema == "twitter" else {}
        has_merges = any(merge.values())
        columns = connection.execute(COLUMNS, (oid,)).fetchall()
        has_notes = any(note for *_, note in columns)
        heads = ["column", "type"] + ["null"] * (not is_view) + ["merges"] * has_merges + ["note"] * has_notes
        yield ""
        yield f"## {schema}.{name}{' (view)' if is_view else ''}"
        if comment:
            yield ""
            yield comment
        yield ""
        yield f"| {' | '.join(heads)} |"
        yield f"|{'---|' * len(heads)}"
        for column, kind, not_null, is_key, note in columns:
            cells = [f"**{column}** (key)" if is_key else column, kind]
            cells += ["" if not_null else "yes"] * (not is_view)
            cells += [merge.get(column, "")] * has_merges + [note or ""] * has_notes
            yield f"| {' | '.join(cells)} |"
        rules = [
            f"- `{rule}`"
            for query in (RULES_OF_A_TABLE, INDEXES)
            for (rule,) in connection.execute(query, (oid,))
        ]
        if rules:
            yield ""
            yield from rules
    yield ""
    yield "## Functions"
    yield ""
    for signature, comment in connection.execute(FUNCTIONS).fetchall():
        yield f"- `{signature}`: {comment}"


def _merges(table: model.Table) -> Mapping[str, str]:
    """How each column merges, in the words from the top of the page; empty for a derived table."""
    versions = {name: version for version, names in table.groups.items() for name in (*names, version)}
    words = {Merge.KEY: "", Merge.DATABASE: ""}
    return {
        column.name: f"newest (*{versions[column.name]}*)"
        if column.merge is Merge.NEWEST
        else words.get(column.merge, column.merge.value)
        for column in (() if table.is_derived else table.described)
    }


def page_of_metrics() -> str:
    """docs/metrics.md."""
    lines = [
        MADE_BY,
        "# Metrics",
        "",
        "The pipeline's own metrics, by their names in Prometheus. They are sent over StatsD; a timer becomes a summary in",
        "seconds (`_count`, `_sum`, quantiles 0.5, 0.95 and 0.99). Airflow's own metrics (`airflow_*`) use the same path:",
        "see its documentation. Alerts are in [operations](operations.md#alerts).",
        "",
        "| metric | kind | unit | labels | meaning |",
        "|---|---|---|---|---|",
    ]
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.series}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


def contracts() -> dict[str, str]:
    """The contracts for the tables in schema `twitter`, by file: columns from the model, checks unchanged."""
    names = {f"soda/{table.name}.yml": table for table in model.TABLES}
    return {name: contract(table, (DOCS.parent / name).read_text("utf-8")) for name, table in names.items()}


def main() -> None:
    """Write the files, or report which of them differ from what the code generates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page has drifted")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        files = {
            "docs/dags.md": page_of_dags(parsed_dags(Path(scratch) / "airflow")),
            "docs/data-dictionary.md": page_of_tables(Path(scratch)),
            "docs/metrics.md": page_of_metrics(),
        }
    files |= contracts()
    drifted = []
    for name, text in files.items():
        path = DOCS.parent / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        drifted.append(name)
        if not check:
            path.write_text(text, "utf-8")
    if check and drifted:
        raise SystemExit(f"{' and '.join(drifted)} differ from the code; run: make docs")
    sys.stdout.write(f"{'written' if drifted else 'up to date'}: {', '.join(drifted or files)}\n")


if __name__ == "__main__":
    main()
