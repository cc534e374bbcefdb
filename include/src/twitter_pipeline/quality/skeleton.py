"""The part of a table's contract that follows from the model: its columns with their types and limits.

`make docs` writes it into soda/<table>.yml, above the checks written by hand.
"""

from collections.abc import Iterator

from twitter_pipeline.warehouse.model import Column, Table

CHECKS = "checks:\n"
"""Where the part written by hand begins."""


class NoChecks(ValueError):
    """A contract without checks written by hand: it would verify next to nothing."""


def contract(table: Table, written: str) -> str:
    """The contract of a table: columns from the model, then the checks in `written`. Raises NoChecks."""
    _, begin, checks = f"\n{written}".partition(f"\n{CHECKS}")
    if not begin:
        raise NoChecks(f"soda/{table.name}.yml has no line {CHECKS.strip()!r} with checks below it")
    return "\n".join([*_columns(table), CHECKS.rstrip(), checks])


def _columns(table: Table) -> Iterator[str]:
    yield "# Columns by twitter_pipeline/warehouse/model (`make docs`); the checks at the end are written by hand."
    yield f"dataset: pipeline_postgres/tweets/twitter/{table.name}"
    yield "columns:"
    for column in table.described:
        yield f"  - name: {column.name}"
        yield f"    data_type: {column.type.contract}"
        yield from _checks(table, column)


def _checks(table: Table, column: Column) -> Iterator[str]:
    limits = {**column.type.limits, **column.limits}
    if column.is_null and not limits:
        return
    yield "    checks:"
    if not column.is_null:
        yield "      - missing:"
    if table.key == (column.name,):
        yield "      - duplicate:"
    if limits:
        yield "      - invalid:"
        yield from (f"          {name}: {value}" for name, value in limits.items())
