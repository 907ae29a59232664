"""Swept keys: in commits a table of their own with a row per trial, in finished tables columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import TYPES, conform, plain, put, trial_numbers
from orchestrator.runs.manifest import Snapshot
from orchestrator.runs.storage.base import Storage
from orchestrator.tables.rows import KeyColumn, KeyValue

KEYS = "keys"
"""Name of that table. The commit that brings the first rows of a trial has the trial's row of it."""

_TRIAL = pa.field("trial", pa.string())


def key_schema(keys: Iterable[KeyColumn]) -> pa.Schema:
    """Schema of a table of trials and their swept keys, each under its own name."""
    return pa.schema([_TRIAL, *((key.name, TYPES[key.type]) for key in keys)])


def key_table(keys: Sequence[KeyColumn], trials: Iterable[tuple[str, Sequence[KeyValue]]]) -> pa.Table:
    """Trials and the values of ``keys``, in that order, as a table of ``key_schema``."""
    names, values = zip(*trials, strict=True)
    columns = [
        pa.array([key.convert(row[position]) for row in values], TYPES[key.type])
        for position, key in enumerate(keys)
    ]
    return pa.table([pa.array(names, pa.string()), *columns], schema=key_schema(keys))


def committed_keys(folder: Storage, run: Snapshot, keys: Iterable[KeyColumn]) -> pa.Table:
    """The swept keys of all trials that have rows in commits."""
    schema = key_schema(keys)
    return pa.concat_tables([schema.empty_table(), *rowfiles.read(folder, run.files(KEYS), schema)])


@dataclass(frozen=True)
class Swept:
    """The swept keys of some trials, found by the trial.

    Attributes:
        numbers: of the trials, sorted, uint64 [trials].
        table: the keys, in this order.
    """

    numbers: NDArray[np.uint64]
    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """From a table with a column ``trial``; of a trial that is there twice, the first row counts."""
        numbers = trial_numbers(table["trial"])
        order = np.argsort(numbers, kind="stable")
        return cls(numbers[order], table.take(pa.array(order)))

    def find(self, trials: pa.ChunkedArray) -> pa.Array:
        """Where each trial is in ``table``, int64 [rows]; null if it is not there."""
        wanted = trial_numbers(trials)
        if not len(self.numbers):
            return pa.nulls(len(wanted), pa.int64())
        position = np.searchsorted(self.numbers, wanted).clip(max=len(self.numbers) - 1)
        return pa.array(position, mask=self.numbers[position] != wanted)

    def attach(self, table: str, keys: Iterable[KeyColumn], rows: pa.Table) -> pa.Table:
        """Rows of ``table``, text as text, with the keys of the trials found here; other rows keep theirs."""
        position = self.find(rows["trial"])
        for key in keys:
            if (name := key.column(table)) and name in rows.column_names:
                values = self.table[key.name].take(position)
                rows = put(rows, name, pc.if_else(position.is_valid(), values, rows[name]))
        return rows


def read_keyed(
    folder: Storage, run: Snapshot, table: str, keys: Sequence[KeyColumn], schema: pa.Schema
) -> Iterator[pa.Table]:
    """The rows of ``table``, as small tables of ``schema``, with the swept keys of those that are in commits.

    Args:
        schema: some columns of ``table_schema``.
    """
    wanted = {key.column(table) for key in keys} & set(schema.names)
    if not (wanted and run.commits):
        yield from rowfiles.read(folder, run.files(table), schema)
        return
    swept = Swept.of(committed_keys(folder, run, keys))
    others = [field for field in plain(schema) if field.name != "trial"]
    for rows in rowfiles.read(folder, run.files(table), pa.schema([_TRIAL, *others])):
        yield conform(swept.attach(table, keys, rows), schema)
