"""Rules that a test puts into the books itself."""

from typing import Any

import psycopg


def rule(books: psycopg.Connection, name: str, **columns: Any) -> None:
    """Add a rule that searches for coffee, with columns of its own."""
    given = {"name": name, "kind": "search", "spec": '{"query": "coffee"}', **columns}
    names, places = ", ".join(given), ", ".join(f"%({column})s" for column in given)
    books.execute(f"insert into pipeline.rules ({names}) values ({places})".encode(), given)
