"""The digest of a run: equal results have equal digests, however they were computed and stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.runs.arrow import order_by, trial_numbers
from orchestrator.runs.reader import Run
from orchestrator.tables.schema import SORT, TABLES

_ROWS = 1 << 16
"""Rows hashed per block. Part of the definition of the digest, as each block begins with its null mask."""

_CELLS = 1 << 24
"""Most values of a table that are in memory at once, unless one column has more."""

_LARGE = {pa.string(): pa.large_string(), pa.list_(pa.int64()): pa.large_list(pa.int64())}
"""Types with 64-bit offsets, for columns of more than 2 GiB."""


@dataclass(frozen=True)
class Digest:
    """SHA-256 over the deterministic columns, hexadecimal.

    Attributes:
        tables: table -> digest of its swept keys and deterministic columns.
        total: digest of the digests of all tables.
    """

    tables: dict[str, str]
    total: str


def digest(run: Run) -> Digest:
    """Computes the digest of a run from its values, with the rows of each table in order of its sort key.

    The order of rows and columns does not affect the digest, nor do files, row groups and dictionaries. Rows
    of ended trials that are not repeatable are left out. At most ``_CELLS`` values are in memory, or one
    column.
    """
    ended = run.read("trials", ["trial", "repeatable"])
    unrepeatable = trial_numbers(ended.filter(pc.invert(ended["repeatable"]))["trial"])
    tables = {table: _table(run, table, unrepeatable) for table in TABLES}
    return Digest(tables, hashlib.sha256("".join(tables.values()).encode()).hexdigest())


def _table(run: Run, table: str, unrepeatable: NDArray[np.uint64]) -> str:
    """Computes the digest of one table without the rows of unrepeatable trials."""
    left_out = {column.name for column in TABLES[table] if not column.deterministic}
    keys = run.read(table, SORT[table])
    order = order_by(keys, SORT[table])
    order = order.filter(pa.array(~np.isin(trial_numbers(keys["trial"]), unrepeatable)).take(order))
    sha = hashlib.sha256()
    for name, column in _columns(run, table, sorted(set(run.schema(table).names) - left_out), len(keys)):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        values = column.cast(_LARGE.get(kind, kind)).combine_chunks()
        sha.update(f"{name} {kind} {len(order)}\n".encode())
        for start in range(0, len(order), _ROWS):
            for content in _bytes(values.take(order.slice(start, _ROWS))):
                sha.update(content)
    return sha.hexdigest()


def _columns(run: Run, table: str, names: list[str], rows: int) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yields columns by name; reads as many at once as there is memory for."""
    size = max(1, _CELLS // max(rows, 1))
    for start in range(0, len(names), size):
        read = run.read(table, names[start : start + size])
        yield from zip(read.column_names, read.columns, strict=True)


def _bytes(column: pa.Array) -> Iterator[bytes]:
    """Yields the bytes of a column, little-endian: which values are valid, their lengths, the values."""
    yield column.is_valid().cast(pa.uint8()).to_numpy().tobytes()
    if pa.types.is_large_list(column.type):
        yield _numbers(pc.list_value_length(column))
        yield _numbers(pc.list_flatten(column))
    elif pa.types.is_large_string(column.type):
        yield _numbers(pc.binary_length(column))
        yield "".join(text or "" for text in column.to_pylist()).encode()
    else:
        yield _numbers(column)


def _numbers(column: pa.Array) -> bytes:
    values = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    array = values.fill_null(0).to_numpy(zero_copy_only=False)
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
