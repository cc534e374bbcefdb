"""The same tweets as Parquet: the columns of the other formats with types of their own, compressed by zstd.

Ids are 64-bit integers here, times are timestamps in UTC, lists are lists, null is null. Row groups of GROUP tweets
are what memory is needed for.

pandas makes doubles of a column of integers that has a null in it, and a double holds 53 bits of an id. Its own
metadata in the schema tell it to take its nullable types instead; other readers pass over them.
"""

import json
from collections.abc import Callable
from typing import BinaryIO

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import parquet

from twitter_pipeline.exports.tweets import COLUMNS, LISTS, TWEETS, Exported, Filters

GROUP = 5_000
PANDAS_DTYPES = {pa.int64(): ("int64", "Int64"), pa.bool_(): ("bool", "boolean")}
"""What pandas calls a type, and the type of its own that can be null and loses nothing."""
TIMES = {"created_at": pa.timestamp("ms", "UTC"), "metrics_observed_at": pa.timestamp("us", "UTC")}


def schema() -> pa.Schema:
    """Names and types, in the order of COLUMNS."""
    fields = [pa.field(name, _type(name)) for name in COLUMNS]
    return pa.schema(fields, metadata={"pandas": json.dumps(_for_pandas(fields))})


def _for_pandas(fields: list[pa.Field]) -> dict[str, object]:
    """pandas' metadata (its developer guide, "Storing pandas DataFrame objects in Apache Parquet format")."""
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


def _type(name: str) -> pa.DataType:
    if name in TIMES:
        return TIMES[name]
    if name in LISTS:
        return pa.list_(pa.string())
    if name == "possibly_sensitive":
        return pa.bool_()
    return pa.int64() if name == "id" or name.endswith(("_id", "_count")) else pa.string()


def _cell(name: str) -> sql.Composable:
    column = sql.Identifier(name)
    if name in TIMES:
        return sql.SQL("{}::timestamptz").format(column)
    return sql.SQL("{}::bigint").format(column) if _type(name) == pa.int64() else column


def export_parquet(
    connection: psycopg.Connection,
    output: BinaryIO,
    filters: Filters,
    progress: Callable[[Exported], None] = lambda exported: None,
) -> Exported:
    """Write every collected tweet that passes the filters, by ascending id, as of one moment. Never writes to the
    database."""
    exported, kinds = Exported(), schema()
    progress(exported)
    query = sql.SQL("select {cells} from ({tweets}) tweet").format(
        cells=sql.SQL(", ").join(map(_cell, COLUMNS)), tweets=sql.SQL(TWEETS)
    )
    with (
        connection.transaction(),
        connection.cursor("export") as cursor,
        parquet.ParquetWriter(output, kinds, compression="zstd") as writer,
    ):
        cursor.itersize = GROUP
        cursor.execute(query, filters.parameters())
        while rows := cursor.fetchmany(GROUP):
            columns = [
                pa.array(values, kind)
                for values, kind in zip(zip(*rows, strict=True), kinds.types, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=kinds))
            exported.tweets += len(rows)
            exported.size_bytes = output.tell()
            progress(exported)
    exported.size_bytes = output.tell()
    return exported
