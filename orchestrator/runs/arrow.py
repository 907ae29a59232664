"""Rows as Arrow tables.

Their columns are those of ``tables.schema``. Finished tables also have the swept keys, next to the trial's
id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.tables.rows import KeyColumn, Rows, SavedState
from orchestrator.tables.schema import SORT, TABLES

TEXT = pa.dictionary(pa.int32(), pa.string())
"""Arrow type of trial ids and of text swept keys: a dictionary, as few values fill many rows."""

_ID = re.compile("[0-9a-f]{16}")

TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "int64 list": pa.list_(pa.int64()),
}
"""Arrow type of each column type."""

STATE = pa.schema([("trial", pa.string()), ("step", pa.int64()), ("vector", pa.list_(pa.float64()))])
"""Schema of the table of saved states of unfinished trials."""


def table_schema(table: str, keys: Iterable[KeyColumn] = ()) -> pa.Schema:
    """Returns the schema of ``table``: trial, swept keys, other columns in the order of ``TABLES``."""
    types = {**TYPES, "string": TEXT}
    swept = [(name, types[key.type]) for key in keys if (name := key.column(table))]
    own = [(column.name, TYPES[column.type]) for column in TABLES[table] if column.name != "trial"]
    return pa.schema([("trial", TEXT), *swept, *own])


def to_arrow(table: str, rows: Rows) -> pa.Table:
    """Returns the rows of one table as an Arrow table, without swept keys.

    Raises:
        ValueError: the table has no such column, a column of its sort key is missing, or a trial's id is
            not 16 hexadecimal digits.
    """
    columns = rows[table]
    unknown = columns.keys() - {column.name for column in TABLES[table]}
    if unknown or not columns.keys() >= set(SORT[table]):
        raise ValueError(f"{table}: unknown columns {sorted(unknown)}, or not all of {SORT[table]} given")
    trials = _array(columns["trial"], "string").dictionary_encode()
    ids = trials.dictionary.to_pylist()
    if trials.null_count or not all(map(_ID.fullmatch, ids)):
        raise ValueError(f"{table}: a trial's id must be 16 hexadecimal digits")
    arrays = {c.name: _array(columns[c.name], c.type) for c in TABLES[table] if c.name in columns}
    return conform(pa.table({**arrays, "trial": trials}), table_schema(table))


def states_to_arrow(states: Mapping[str, SavedState]) -> pa.Table:
    """Returns saved states as a table of schema ``STATE``."""
    vectors = [np.asarray(state.vector, np.float64) for state in states.values()]
    steps = [state.step for state in states.values()]
    return pa.table([list(states), steps, pa.array(vectors, STATE.field("vector").type)], schema=STATE)


def conform(data: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns ``data`` with the columns and types of ``schema``; missing columns are null."""
    if data.schema.equals(schema):
        return data
    present = set(data.column_names)
    columns = [
        _convert(data.column(field.name), field.type)
        if field.name in present
        else pa.nulls(data.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def replace_column(data: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Returns ``data`` with the column ``name`` replaced by ``column``."""
    index = data.column_names.index(name)
    return data.set_column(index, data.schema.field(name), column)


def plain_text(schema: pa.Schema) -> pa.Schema:
    """Returns ``schema`` with plain text instead of dictionaries of text."""
    return pa.schema([field.with_type(pa.string()) if field.type == TEXT else field for field in schema])


def trial_numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """Returns trial ids as numbers, uint64 [rows]. They sort in the same order as the ids."""
    if isinstance(column, pa.ChunkedArray):
        chunks = [trial_numbers(chunk) for chunk in column.chunks]
        return np.concatenate(chunks) if chunks else np.empty(0, np.uint64)
    if not pa.types.is_dictionary(column.type):
        return trial_numbers(column.dictionary_encode())
    digits = "".join(column.dictionary.to_pylist())
    numbers = np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)
    return numbers[column.indices.to_numpy()]


def order_by(data: pa.Table, names: Sequence[str]) -> pa.Array:
    """Returns the indices that sort the rows of ``data`` by the columns ``names``."""
    columns = {
        name: trial_numbers(data.column(name)) if name == "trial" else data.column(name) for name in names
    }
    return pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in names])


def _array(values: NDArray[Any] | Sequence[Any], type_: str) -> pa.Array:
    if type_ == "int64 list" and isinstance(values, np.ndarray):
        offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(values.shape[1])
        return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), pa.int64()))
    if isinstance(values, np.ndarray) and values.dtype.kind in "SU":
        return _text_array(values)
    return pa.array(values, TYPES[type_], from_pandas=True)


def _text_array(values: NDArray[np.str_] | NDArray[np.bytes_]) -> pa.Array:
    """Converts NumPy text, whose items are padded with zeros, in whole-array steps.

    Arrow's own conversion goes letter by letter.
    """
    unit = np.dtype(np.uint8 if values.dtype.kind == "S" else np.uint32)
    codes = np.ascontiguousarray(values).view(unit).reshape(len(values), values.itemsize // unit.itemsize)
    if unit != np.uint8 and codes.size and codes.max() > 127:
        return _text_array(np.char.encode(values.astype(np.str_), "utf-8"))
    stops = np.cumsum(np.strings.str_len(values), dtype=np.int32)
    offsets = np.concatenate([np.zeros(1, np.int32), stops])
    used = codes[codes != 0].astype(np.uint8)
    if len(used) != (stops[-1] if len(stops) else 0):  # a text with zeros inside
        return pa.array(values.astype(np.str_), pa.string())
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(used))


def _convert(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if column.type == type_:
        return column
    if type_ in (TEXT, pa.string()) and pa.types.is_primitive(column.type):
        key = KeyColumn("", "string")  # numbers written when all values of this key were numbers
        texts = [key.convert(value) for value in column.to_pylist()]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    return column.dictionary_encode() if type_ == TEXT else column.cast(type_)
