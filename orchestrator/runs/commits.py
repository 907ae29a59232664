"""Commits of rows and states, by which a run grows; sixteen at a time are merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import STATE, TEXT, replace_column, states_to_arrow, table_schema, trial_numbers
from orchestrator.runs.keys import KEYS, key_schema
from orchestrator.runs.manifest import COMPLETE, Commit, Snapshot, commit_numbers
from orchestrator.runs.storage.base import RowFile, Storage
from orchestrator.tables.rows import KeyColumn, SavedState
from orchestrator.tables.schema import TABLES

_TRIAL = pa.schema([("trial", TEXT)])
_STATUS = pa.schema([("trial", TEXT), ("status", pa.string())])
_CURRENT = pa.schema([("trial", TEXT), ("current", pa.bool_())])
NO_TRIALS = np.empty(0, np.uint64)
"""An empty set of trial numbers."""


def write_commit(
    folder: Storage, follows: int, tables: Mapping[str, pa.Table], states: Mapping[str, SavedState]
) -> Commit:
    """Writes a commit that follows commit number ``follows``. It counts as soon as this returns."""
    contents = {table: (data.schema, [data]) for table, data in tables.items()}
    return _write(folder, Commit(_next_number(folder, follows), follows, 0, (), {}), contents, states)


def merge(
    folder: Storage,
    commits: Sequence[Commit],
    keys: Iterable[KeyColumn],
    dropped: NDArray[np.uint64] = NO_TRIALS,
    not_current: NDArray[np.uint64] | None = None,
) -> Commit:
    """Merges consecutive commits into one, then removes them.

    Rows are streamed in pieces. Superseded states and the states of ended trials are dropped.

    Args:
        dropped: numbers of ended trials whose rows are dropped as well.
        not_current: sorted numbers of the ended trials that are not current; None: keep the column
            ``current`` as it is.
    """
    source = Snapshot(None, tuple(commits))
    schemas = {table: table_schema(table) for table in TABLES} | {KEYS: key_schema(keys)}
    schemas = {table: schema for table, schema in schemas.items() if source.files(table)}
    rows = {table: rowfiles.read(folder, source.files(table), schema) for table, schema in schemas.items()}
    if not_current is not None and "trials" in rows:
        rows["trials"] = (_mark(table, not_current) for table in rows["trials"])
    contents = {table: (schema, without_trials(rows[table], dropped)) for table, schema in schemas.items()}
    follows, level = commits[0].follows, commits[0].level + 1
    replaces = tuple(commit.number for commit in commits)
    merged = Commit(_next_number(folder, follows), follows, level, replaces, {})
    merged = _write(folder, merged, contents, read_states(folder, source))
    for commit in commits:
        folder.delete(commit.folder)
    return merged


def read_states(folder: Storage, run: Snapshot) -> dict[str, SavedState]:
    """Returns the newest state of each unfinished trial that has one."""
    states = {}
    for piece in rowfiles.read(folder, run.files("state"), STATE):
        steps, vectors = piece["step"].to_pylist(), piece["vector"].combine_chunks()
        for row, trial in enumerate(piece["trial"].to_pylist()):
            states[trial] = SavedState(steps[row], vectors[row].values.to_numpy().copy())
    if states:
        for piece in rowfiles.read(folder, run.files("trials"), _TRIAL):
            for trial in states.keys() & set(piece["trial"].to_pylist()):
                del states[trial]
    return states


def read_ended(folder: Storage, files: Iterable[RowFile], status: str | None = None) -> NDArray[np.uint64]:
    """Returns the sorted numbers of the trials in files of `trials`: uint64 [trials].

    Args:
        status: only trials that ended with this status; None: all.
    """
    tables = rowfiles.read(folder, files, _TRIAL if status is None else _STATUS)
    if status is not None:
        tables = (table.filter(pc.equal(table["status"], status)) for table in tables)
    pieces = [trial_numbers(table["trial"]) for table in tables]
    return np.sort(np.concatenate([np.empty(0, np.uint64), *pieces]))


def is_marked(folder: Storage, run: Snapshot, not_current: NDArray[np.uint64]) -> bool:
    """Returns whether the column ``current`` of `trials` is false for exactly these trials.

    Older versions wrote no such column: their trials count as current.

    Args:
        not_current: sorted numbers of the ended trials that are not current, uint64 [trials].
    """
    return all(
        np.array_equal(table["current"].fill_null(True).to_numpy(), ~_is_in(table["trial"], not_current))
        for table in rowfiles.read(folder, run.files("trials"), _CURRENT)
    )


def _mark(trials: pa.Table, not_current: NDArray[np.uint64]) -> pa.Table:
    """Sets ``current`` in rows of `trials`: false for ``not_current``, which also lose their index.

    A trial that becomes current again gets its index from the plan when the tables are finished.
    """
    current = pa.array(~_is_in(trials["trial"], not_current))
    indices = pc.if_else(current, trials["index"], pa.scalar(None, pa.int64()))
    return replace_column(replace_column(trials, "index", indices), "current", current)


def _is_in(trials: pa.ChunkedArray, numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Returns which trials are among these sorted numbers, bool [rows]."""
    ids = trial_numbers(trials)
    if not len(numbers):
        return np.zeros(len(ids), bool)
    return numbers[np.searchsorted(numbers, ids).clip(max=len(numbers) - 1)] == ids


def without_trials(tables: Iterable[pa.Table], dropped: NDArray[np.uint64]) -> Iterator[pa.Table]:
    """Yields tables without the rows of the trials with these numbers; skips empty tables."""
    for table in tables:
        kept = table
        if len(dropped):
            kept = table.filter(pa.array(~np.isin(trial_numbers(table["trial"]), dropped)))
        if kept.num_rows:
            yield kept


def _write(
    folder: Storage,
    commit: Commit,
    tables: Mapping[str, tuple[pa.Schema, Iterable[pa.Table]]],
    states: Mapping[str, SavedState],
) -> Commit:
    if states:
        tables = {**tables, "state": (STATE, [states_to_arrow(states)])}
    try:
        by_name = {f"{table}{rowfiles.ARROW}": content for table, content in tables.items()}
        files = {
            name: rowfiles.write(folder, f"{commit.folder}/{name}", *content)
            for name, content in by_name.items()
        }
        commit = replace(commit, files=files)
        folder.replace(f"{commit.folder}/{COMPLETE}", commit.dump())
    except OSError:
        with suppress(OSError):  # an unmarked commit does not count, but a full disk needs the space
            folder.delete(commit.folder)
        raise
    return commit


def _next_number(folder: Storage, follows: int) -> int:
    return max([follows, *commit_numbers(folder)]) + 1
