"""Swept keys: in commits a separate table with one row per trial, in finished tables columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import TYPES, conform, plain_text, replace_column, trial_numbers
from orchestrator.runs.manifest import Snapshot
from orchestrator.runs.storage.base import Storage
from orchestrator.tables.rows import KeyColumn, KeyValue

KEYS = "keys"
"""Name of the table of swept keys. A trial's row is in the commit with the first rows of the trial."""

_TRIAL = pa.field("trial", pa.string())


def key_schema(keys: Iterable[KeyColumn]) -> pa.Schema:
    """Returns the schema of a table of trials and their swept keys, each key under its own name."""
    return pa.schema([_TRIAL, *((key.name, TYPES[key.type]) for key in keys)])


def key_table(keys: Sequence[KeyColumn], trials: Iterable[tuple[str, Sequence[KeyValue]]]) -> pa.Table:
    """Returns a table of ``key_schema``.

    Args:
        trials: pairs of a trial and its values of ``keys``, in the order of the keys.
    """
    names, values = zip(*trials, strict=True)
    columns = [
        pa.array([key.convert(row[position]) for row in values], TYPES[key.type])
        for position, key in enumerate(keys)
    ]
    return pa.table([pa.array(names, pa.string()), *columns], schema=key_schema(keys))


def committed_keys(folder: Storage, run: Snapshot, keys: Iterable[KeyColumn]) -> pa.Table:
    """Reads the swept keys of all trials that have rows in commits."""
    schema = key_schema(keys)
    return pa.concat_tables([schema.empty_table(), *rowfiles.read(folder, run.files(KEYS), schema)])


@dataclass(frozen=True)
class SweptKeys:
    """The swept keys of some trials, with a lookup by trial.

    Attributes:
        numbers: sorted numbers of the trials, uint64 [trials].
        table: the swept keys, one row per trial in the order of ``numbers``.
    """

    numbers: NDArray[np.uint64]
    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """Sorts a table with a column ``trial``. If a trial has two rows, the first one counts."""
        numbers = trial_numbers(table["trial"])
        order = np.argsort(numbers, kind="stable")
        return cls(numbers[order], table.take(pa.array(order)))

    def find(self, trials: pa.ChunkedArray) -> pa.Array:
        """Returns the row of each trial in ``table``, int64 [rows]; null if the trial has none."""
        ids = trial_numbers(trials)
        if not len(self.numbers):
            return pa.nulls(len(ids), pa.int64())
        position = np.searchsorted(self.numbers, ids).clip(max=len(self.numbers) - 1)
        return pa.array(position, mask=self.numbers[position] != ids)

    def attach(self, table: str, keys: Iterable[KeyColumn], rows: pa.Table) -> pa.Table:
        """Fills in the swept keys of ``rows``, which belong to ``table`` and have text without dictionaries.

        Rows of trials that are unknown here keep their swept keys.
        """
        position = self.find(rows["trial"])
        for key in keys:
            if (name := key.column(table)) and name in rows.column_names:
                values = self.table[key.name].take(position)
                rows = replace_column(rows, name, pc.if_else(position.is_valid(), values, rows[name]))
        return rows


def read_with_keys(
    folder: Storage, run: Snapshot, table: str, keys: Sequence[KeyColumn], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yields the rows of ``table`` as small tables of ``schema``; rows from commits get their swept keys.

    Args:
        schema: a selection of the columns of ``table_schema``.
    """
    key_columns = {key.column(table) for key in keys} & set(schema.names)
    if not (key_columns and run.commits):
        yield from rowfiles.read(folder, run.files(table), schema)
        return
    swept = SweptKeys.of(committed_keys(folder, run, keys))
    other_fields = [field for field in plain_text(schema) if field.name != "trial"]
    for rows in rowfiles.read(folder, run.files(table), pa.schema([_TRIAL, *other_fields])):
        yield conform(swept.attach(table, keys, rows), schema)
