"""The statements in sql/, and how their `:names` become a driver's placeholders."""

import re
from collections.abc import Callable
from functools import cache
from importlib import resources

_PLACE = re.compile(r"(?<![:\w]):([a-z_]+)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

IN_ORDER = """
set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off;
set local enable_hashjoin = off; set local enable_mergejoin = off
"""
"""For a statement whose index provides its order: the index is walked from its end, whatever the statistics say.

A planner that expects fewer rows than the limit reads and sorts all of them; before the first `analyze`, or with stale
statistics, that may be millions.
"""


@cache
def statement(name: str) -> str:
    """The text of a file in sql/, as written."""
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")


def filled(name: str, **parts: str) -> str:
    """The text of a file with its comments `/* name */` replaced by `parts`. Raises KeyError if one is missing."""
    text = statement(name)
    for part, sql in parts.items():
        if (mark := f"/* {part} */") not in text:
            raise KeyError(f"{name}.sql has no {mark}")
        text = text.replace(mark, sql)
    return text


def places(text: str, place: Callable[[str], str]) -> str:
    """A statement with each `:name` replaced and its comments removed, since they may mention :names too."""
    return _PLACE.sub(lambda match: place(match[1]), _COMMENT.sub("", text))


def for_psycopg(text: str) -> bytes:
    """A statement with its `:names` in psycopg's form."""
    return places(text.replace("%", "%%"), lambda name: f"%({name})s").encode()
