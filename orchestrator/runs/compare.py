"""Compares rows that were computed again with those in a run, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.runs.arrow import conform, order_by, table_schema, to_arrow
from orchestrator.runs.reader import Run
from orchestrator.tables.rows import Rows
from orchestrator.tables.schema import SORT, TABLES

_ORDER = ("steps", "gradients", "parameters", "trials")
"""Order of the tables among differences in one step: the whole gradient before its groups."""


@dataclass(frozen=True)
class Difference:
    """The first value of a trial that differs.

    Attributes:
        position: the row in its table, e.g. ``step 3, group layer0``; "" for the single row of `trials`.
        column: name of the column; "rows" if one side has more rows than the other.
        committed, computed: the value in the run, and the value computed now.
    """

    trial: str
    table: str
    position: str
    column: str
    committed: str
    computed: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"trial {self.trial}", self.table, self.position) if part)
        return f"{where}, column {self.column}: {self.committed} in the run, {self.computed} now"


@dataclass(frozen=True)
class _Mismatch:
    row: int
    step: float
    column: str
    values: tuple[Any, Any]


def committed(run: Run, trials: Sequence[str]) -> dict[str, pa.Table]:
    """Returns all rows of these trials in a run, by table; keeps no other rows in memory.

    Columns that an older version did not write are left out.
    """
    return {table: _recorded_columns(run, table, run.of_trials(table, trials)) for table in TABLES}


def _recorded_columns(run: Run, table: str, rows: pa.Table) -> pa.Table:
    kept = run.columns(table) or frozenset(rows.column_names)
    return rows.select([name for name in rows.column_names if name in kept])


def first_difference(trial: str, held: Mapping[str, pa.Table], rows: Rows) -> Difference | None:
    """Compares the deterministic columns of one trial bit by bit.

    Args:
        held: tables of the run, as ``committed`` returns them.
        rows: rows of the same trial, computed again.

    Returns:
        The difference in the earliest step, there in the first table and column. None if all bits are equal.
    """
    differences = []
    for rank, table in enumerate(_ORDER):
        old = held[table].filter(pc.equal(held[table]["trial"].cast(pa.string()), trial))
        old = _sorted(table, conform(old, _subschema(table_schema(table), old.column_names)))
        new = _sorted(table, _computed(table, rows))
        if (first := _first_mismatch(table, old, new)) is not None:
            longer = old if old.num_rows > new.num_rows else new
            differences.append((first.step, rank, table, _position(table, longer, first.row), first))
    if not differences:
        return None
    _, _, table, position, first = min(differences, key=lambda entry: entry[:2])
    return Difference(trial, table, position, first.column, *map(_text, first.values))


def _subschema(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name in names])


def _computed(table: str, rows: Rows) -> pa.Table:
    return to_arrow(table, rows) if table in rows else table_schema(table).empty_table()


def _sorted(table: str, data: pa.Table) -> pa.Table:
    return data.take(order_by(data, SORT[table]))


def _first_mismatch(table: str, old: pa.Table, new: pa.Table) -> _Mismatch | None:
    """Returns the mismatch in the first row that has one; None if both tables are equal."""
    common = min(old.num_rows, new.num_rows)
    row, column = common, ""
    promised = (column.name for column in TABLES[table] if column.deterministic)
    for name in (name for name in promised if name in old.column_names):
        old_bits, new_bits = _bits(old[name])[:row], _bits(new[name])[:row]
        position = next(
            (k for k, pair in enumerate(zip(old_bits, new_bits, strict=True)) if pair[0] != pair[1]), row
        )
        if position < row:
            row, column = position, name
    if column:
        values = old[column][row].as_py(), new[column][row].as_py()
    elif old.num_rows != new.num_rows:
        column, values = "rows", (old.num_rows, new.num_rows)
    else:
        return None
    longer = old if old.num_rows > new.num_rows else new
    step = longer["step"][row].as_py() if "step" in longer.column_names else math.inf
    return _Mismatch(row, step, column, values)


def _bits(column: pa.ChunkedArray) -> list[Any]:
    """Returns values that are equal if their bits are: floats as bit patterns, so -0.0 is not 0.0."""
    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    present = column.is_valid().to_numpy()
    patterns = column.fill_null(0.0).to_numpy().view(np.int64)
    return [bits if valid else None for bits, valid in zip(patterns.tolist(), present, strict=True)]


def _position(table: str, data: pa.Table, row: int) -> str:
    named = [name for name in SORT[table] if name != "trial"]
    return ", ".join(f"{name} {data[name][row].as_py()}" for name in named)


def _text(value: Any) -> str:
    return "null" if value is None else repr(value)
