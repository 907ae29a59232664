"""Whether rows that were computed again have the bits of those that a run holds."""

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
"""What differs first in time is named first; of one step, the whole gradient before its groups."""


@dataclass(frozen=True)
class Difference:
    """The first value of a trial that is not the same.

    Attributes:
        position: the row in its table, e.g. ``step 3, group layer0``; "" for the one row of `trials`.
        column: its name; "rows" if one side has rows that the other has not.
        committed, computed: the value in the run, and now.
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
class _Found:
    row: int
    step: float
    column: str
    values: tuple[Any, Any]


def committed(run: Run, trials: Sequence[str]) -> dict[str, pa.Table]:
    """All that a run holds of these trials, by table; nothing else is fetched.

    A column that a version before this one did not record is left out.
    """
    return {table: _kept(run, table, run.of_trials(table, trials)) for table in TABLES}


def _kept(run: Run, table: str, rows: pa.Table) -> pa.Table:
    kept = run.columns(table) or frozenset(rows.column_names)
    return rows.select([name for name in rows.column_names if name in kept])


def first_difference(trial: str, held: Mapping[str, pa.Table], rows: Rows) -> Difference | None:
    """Compares the deterministic columns of one trial bit by bit.

    Args:
        held: as ``committed`` returns it.
        rows: of the same trial, computed again.

    Returns:
        The difference in the earliest step; of that, the first table and column. None if all is equal.
    """
    found = []
    for rank, table in enumerate(_ORDER):
        old = held[table].filter(pc.equal(held[table]["trial"].cast(pa.string()), trial))
        old = _sorted(table, conform(old, _part(table_schema(table), old.column_names)))
        new = _sorted(table, _computed(table, rows))
        if (first := _first(table, old, new)) is not None:
            longer = old if old.num_rows > new.num_rows else new
            found.append((first.step, rank, table, _position(table, longer, first.row), first))
    if not found:
        return None
    _, _, table, position, first = min(found, key=lambda entry: entry[:2])
    return Difference(trial, table, position, first.column, *map(_shown, first.values))


def _part(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name in names])


def _computed(table: str, rows: Rows) -> pa.Table:
    return to_arrow(table, rows) if table in rows else table_schema(table).empty_table()


def _sorted(table: str, data: pa.Table) -> pa.Table:
    return data.take(order_by(data, SORT[table]))


def _first(table: str, old: pa.Table, new: pa.Table) -> _Found | None:
    """The difference in the first row that has one."""
    common = min(old.num_rows, new.num_rows)
    row, column = common, ""
    promised = (column.name for column in TABLES[table] if column.deterministic)
    for name in (name for name in promised if name in old.column_names):
        one, other = _bits(old[name])[:row], _bits(new[name])[:row]
        position = next((k for k, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), row)
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
    return _Found(row, step, column, values)


def _bits(column: pa.ChunkedArray) -> list[Any]:
    """Values that are equal where the bits are: numbers by their pattern, so that -0.0 is not 0.0."""
    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    present = column.is_valid().to_numpy()
    patterns = column.fill_null(0.0).to_numpy().view(np.int64)
    return [bits if there else None for bits, there in zip(patterns.tolist(), present, strict=True)]


def _position(table: str, data: pa.Table, row: int) -> str:
    named = [name for name in SORT[table] if name != "trial"]
    return ", ".join(f"{name} {data[name][row].as_py()}" for name in named)


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)
