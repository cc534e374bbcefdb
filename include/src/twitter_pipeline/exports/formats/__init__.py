"""The formats of an export, a module each. A module has `write(rows, output, progress)` and is imported when it is
asked for: pyarrow alone takes longer to load than a small export."""

from importlib import import_module
from typing import BinaryIO, Literal, Protocol, cast

from twitter_pipeline.exports.rows import Exported, Progress, Rows

Format = Literal["csv", "jsonl", "parquet"]
MODULES: dict[Format, str] = {name: f"{__name__}.{name}" for name in ("csv", "jsonl", "parquet")}


class Writer(Protocol):
    """Writes rows in one format and returns how much that was; `progress` is called every few thousand of them."""

    def __call__(self, rows: Rows, output: BinaryIO, progress: Progress) -> Exported: ...


def writer(name: Format) -> Writer:
    """The writer of a format."""
    return cast(Writer, import_module(MODULES[name]).write)
