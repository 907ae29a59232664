"""The digest of a run: equal for equal results, however they were computed and stored."""

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

_ROWS = 1 << 16  # hashed at a time; part of the definition, as each piece begins with what is null

_LARGE = {pa.string(): pa.large_string(), pa.list_(pa.int64()): pa.large_list(pa.int64())}  # beyond 2 GiB


@dataclass(frozen=True)
class Digest:
    """SHA-256, hexadecimal, over the deterministic columns.

    Attributes:
        tables: table -> digest of its swept keys and deterministic columns.
        total: digest of those.
    """

    tables: dict[str, str]
    total: str


def digest(run: Run) -> Digest:
    """Digest of values, sorted by each table's sort key; one column at a time is in memory.

    Neither the order of rows and columns nor files, row groups and dictionaries take part, nor any row of a
    trial that has ended and is not repeatable.
    """
    ended = run.read("trials", ["trial", "repeatable"])
    others = trial_numbers(ended.filter(pc.invert(ended["repeatable"]))["trial"])
    tables = {table: _table(run, table, others) for table in TABLES}
    return Digest(tables, hashlib.sha256("".join(tables.values()).encode()).hexdigest())


def _table(run: Run, table: str, others: NDArray[np.uint64]) -> str:
    """That of one table, without the rows of these trials."""
    left_out = {column.name for column in TABLES[table] if not column.deterministic}
    keys = run.read(table, SORT[table])
    order = order_by(keys, SORT[table])
    order = order.filter(pa.array(~np.isin(trial_numbers(keys["trial"]), others)).take(order))
    sha = hashlib.sha256()
    for name in sorted(set(run.schema(table).names) - left_out):
        column = run.read(table, [name])[name]
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        values = column.cast(_LARGE.get(kind, kind)).combine_chunks()
        sha.update(f"{name} {kind} {len(order)}\n".encode())
        for start in range(0, len(order), _ROWS):
            for content in _bytes(values.take(order.slice(start, _ROWS))):
                sha.update(content)
    return sha.hexdigest()


def _bytes(column: pa.Array) -> Iterator[bytes]:
    """A column's content, little-endian: which values are there, how long they are, what they are."""
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
