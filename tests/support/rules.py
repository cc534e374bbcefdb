"""Rules that a test inserts itself."""

from typing import Any

import psycopg


def rule(connection: psycopg.Connection, name: str, **columns: Any) -> None:
    """Add a rule that searches for coffee, with columns of its own."""
    given = {"name": name, "kind": "search", "spec": '{"query": "coffee"}', **columns}
    names, places = ", ".join(given), ", ".join(f"%({column})s" for column in given)
    connection.execute(f"insert into pipeline.rules ({names}) values ({places})".encode(), given)
