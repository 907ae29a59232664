"""How a run grows: commits of rows and states, merged sixteen at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import STATE, TEXT, put, states_to_arrow, table_schema, trial_numbers
from orchestrator.runs.keys import KEYS, key_schema
from orchestrator.runs.manifest import COMPLETE, Commit, Snapshot, commit_numbers
from orchestrator.runs.storage.base import RowFile, Storage
from orchestrator.tables.rows import KeyColumn, SavedState
from orchestrator.tables.schema import TABLES

_TRIAL = pa.schema([("trial", TEXT)])
_STATUS = pa.schema([("trial", TEXT), ("status", pa.string())])
_CURRENT = pa.schema([("trial", TEXT), ("current", pa.bool_())])
NO_TRIALS = np.empty(0, np.uint64)
"""No trials, by number."""


def write_commit(
    folder: Storage, follows: int, tables: Mapping[str, pa.Table], states: Mapping[str, SavedState]
) -> Commit:
    """Writes a commit after commit number ``follows``; the new one counts once this returns."""
    contents = {table: (data.schema, [data]) for table, data in tables.items()}
    return _write(folder, Commit(_next(folder, follows), follows, 0, (), {}), contents, states)


def merge(
    folder: Storage,
    commits: Sequence[Commit],
    keys: Iterable[KeyColumn],
    gone: NDArray[np.uint64] = NO_TRIALS,
    others: NDArray[np.uint64] | None = None,
) -> Commit:
    """Joins commits that follow each other into one, then removes them.

    Rows pass through in pieces; states that are superseded, or of ended trials, are left behind.

    Args:
        gone: numbers of ended trials whose rows are left behind as well.
        others: sorted numbers of the ended trials that are not current; None: as the rows say.
    """
    joined = Snapshot(None, tuple(commits))
    schemas = {table: table_schema(table) for table in TABLES} | {KEYS: key_schema(keys)}
    schemas = {table: schema for table, schema in schemas.items() if joined.files(table)}
    rows = {table: rowfiles.read(folder, joined.files(table), schema) for table, schema in schemas.items()}
    if others is not None and "trials" in rows:
        rows["trials"] = (_marked(table, others) for table in rows["trials"])
    contents = {table: (schema, without(rows[table], gone)) for table, schema in schemas.items()}
    follows, level = commits[0].follows, commits[0].level + 1
    replaces = tuple(commit.number for commit in commits)
    merged = Commit(_next(folder, follows), follows, level, replaces, {})
    merged = _write(folder, merged, contents, read_states(folder, joined))
    for commit in commits:
        folder.delete(commit.folder)
    return merged


def read_states(folder: Storage, run: Snapshot) -> dict[str, SavedState]:
    """The newest state of every trial that has one and has not ended."""
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
    """Sorted numbers of the trials in files of `trials`, or of those that ended so, uint64 [trials]."""
    tables = rowfiles.read(folder, files, _TRIAL if status is None else _STATUS)
    if status is not None:
        tables = (table.filter(pc.equal(table["status"], status)) for table in tables)
    pieces = [trial_numbers(table["trial"]) for table in tables]
    return np.sort(np.concatenate([np.empty(0, np.uint64), *pieces]))


def is_marked(folder: Storage, run: Snapshot, others: NDArray[np.uint64]) -> bool:
    """Whether the rows of `trials` say of exactly these ended trials, by sorted number, that they are not
    current. A row from before there was this column says that its trial is."""
    return all(
        np.array_equal(table["current"].fill_null(True).to_numpy(), ~_among(table["trial"], others))
        for table in rowfiles.read(folder, run.files("trials"), _CURRENT)
    )


def _marked(trials: pa.Table, others: NDArray[np.uint64]) -> pa.Table:
    """Rows of `trials`: those of ``others`` are not current and have no index, the rest are.

    What becomes current again gets its index when the tables are finished, from the plan.
    """
    current = pa.array(~_among(trials["trial"], others))
    indices = pc.if_else(current, trials["index"], pa.scalar(None, pa.int64()))
    return put(put(trials, "index", indices), "current", current)


def _among(trials: pa.ChunkedArray, numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which trials are among these sorted numbers, bool [rows]."""
    wanted = trial_numbers(trials)
    if not len(numbers):
        return np.zeros(len(wanted), bool)
    return numbers[np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)] == wanted


def without(tables: Iterable[pa.Table], gone: NDArray[np.uint64]) -> Iterator[pa.Table]:
    """Tables without the rows of some trials, given by number; none that is empty."""
    for table in tables:
        kept = table
        if len(gone):
            kept = table.filter(pa.array(~np.isin(trial_numbers(table["trial"]), gone)))
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
        named = {f"{table}{rowfiles.ARROW}": content for table, content in tables.items()}
        files = {
            name: rowfiles.write(folder, f"{commit.folder}/{name}", *content)
            for name, content in named.items()
        }
        commit = replace(commit, files=files)
        folder.replace(f"{commit.folder}/{COMPLETE}", commit.dump())
    except OSError:
        with suppress(OSError):  # it would not count, but a full disk needs the room
            folder.delete(commit.folder)
        raise
    return commit


def _next(folder: Storage, follows: int) -> int:
    return max([follows, *commit_numbers(folder)]) + 1
