"""Parquet: the columns of the other formats with native types, compressed with zstd.

Ids are 64-bit integers, times are UTC timestamps, lists are lists, null is null. Memory is needed for one row group of
GROUP tweets at a time.

pandas turns an integer column with nulls into doubles, which hold only 53 bits of an id. pandas metadata in the schema
makes it use nullable types instead; other readers ignore that metadata.
"""

import json
from typing import BinaryIO

import pyarrow as pa
from psycopg import sql
from pyarrow import parquet

from twitter_pipeline.exports.rows import Exported, Progress, Rows
from twitter_pipeline.serving.columns import EXPORTED, Column, Kind

GROUP = 5_000
PANDAS_DTYPES = {pa.int64(): ("int64", "Int64"), pa.bool_(): ("bool", "boolean")}
"""pandas' name for a type, and its nullable type that loses nothing."""
TYPES = {
    Kind.TEXT: pa.string(),
    Kind.ID: pa.int64(),
    Kind.COUNT: pa.int64(),
    Kind.FLAG: pa.bool_(),
    Kind.MILLISECONDS: pa.timestamp("ms", "UTC"),
    Kind.MICROSECONDS: pa.timestamp("us", "UTC"),
    Kind.TEXTS: pa.list_(pa.string()),
    Kind.IDS: pa.list_(pa.int64()),
    Kind.INTEGERS: pa.list_(pa.int64()),
}
CASTS = {
    Kind.ID: "{}::bigint",
    Kind.COUNT: "{}::bigint",
    Kind.IDS: "{}::bigint[]",
    Kind.MILLISECONDS: "{}::timestamptz",
    Kind.MICROSECONDS: "{}::timestamptz",
}
"""How a row's cell, in which ids and times are text, becomes a value for pyarrow."""


def schema() -> pa.Schema:
    """Names and types, in column order."""
    fields = [pa.field(column.name, TYPES[column.kind]) for column in EXPORTED]
    return pa.schema(fields, metadata={"pandas": json.dumps(_for_pandas(fields))})


def _for_pandas(fields: list[pa.Field]) -> dict[str, object]:
    """pandas metadata (see its developer guide, "Storing pandas DataFrame objects in Apache Parquet format")."""
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": PANDAS_DTYPES[field.type][0],
            "numpy_type": PANDAS_DTYPES[field.type][1],
            "metadata": None,
        }
        for field in fields
        if field.type in PANDAS_DTYPES
    ]
    return {"index_columns": [], "column_indexes": [], "columns": columns}


def _cell(column: Column) -> sql.Composable:
    return sql.SQL(CASTS.get(column.kind, "{}")).format(sql.Identifier(column.name))


def write(rows: Rows, output: BinaryIO, progress: Progress) -> Exported:
    """One row per tweet, in row groups of GROUP."""
    exported, kinds = Exported(), schema()
    progress(exported)
    query = sql.SQL("select {cells} from ({rows}) tweet").format(
        cells=sql.SQL(", ").join(map(_cell, EXPORTED)), rows=rows.query
    )
    with (
        rows.connection.transaction(),
        rows.connection.cursor("export") as cursor,
        parquet.ParquetWriter(output, kinds, compression="zstd") as writer,
    ):
        cursor.itersize = GROUP
        cursor.execute(query, rows.values)
        while group := cursor.fetchmany(GROUP):
            columns = [
                pa.array(values, kind)
                for values, kind in zip(zip(*group, strict=True), kinds.types, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=kinds))
            exported.tweets += len(group)
            exported.size_bytes = output.tell()
            progress(exported)
    exported.size_bytes = output.tell()
    return exported
