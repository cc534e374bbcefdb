"""The export formats, one module each. A module has `write(rows, output, progress)` and is imported only when needed:
loading pyarrow alone takes longer than a small export."""

from importlib import import_module
from typing import BinaryIO, Literal, Protocol, cast

from twitter_pipeline.exports.rows import Exported, Progress, Rows

Format = Literal["csv", "jsonl", "parquet"]
MODULES: dict[Format, str] = {name: f"{__name__}.{name}" for name in ("csv", "jsonl", "parquet")}


class Writer(Protocol):
    """Writes rows in one format and returns how much was written; `progress` is called every few thousand rows."""

    def __call__(self, rows: Rows, output: BinaryIO, progress: Progress) -> Exported: ...


def writer(name: Format) -> Writer:
    """The writer for a format."""
    return cast(Writer, import_module(MODULES[name]).write)
