"""The writer of a run: one driver at a time holds the run, and each of its commits is atomic."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.errors import RunDirectoryWarning
from orchestrator.runs.arrow import to_arrow
from orchestrator.runs.commits import is_marked, merge, read_ended, read_states, write_commit
from orchestrator.runs.compaction import PlannedKeys, compact
from orchestrator.runs.control import Control
from orchestrator.runs.keys import KEYS, key_table
from orchestrator.runs.manifest import RUN, SWEEP, RunInfo, Snapshot, due_for_merge, same_content, snapshot
from orchestrator.runs.opening import check_list, check_parts, examine, lost_commits, tidy
from orchestrator.runs.storage.base import RESUME, Hold, Storage, explained
from orchestrator.runs.storage.opening import storage
from orchestrator.tables.rows import KeyColumn, KeyValue, Rows, SavedState, unite
from orchestrator.tables.schema import TABLES


class RunWriter:
    """The only writer of a run directory.

    Attributes:
        lost: numbers of the commits that were damaged, or that followed a damaged one. They were removed, and
            their trials go on from their last intact state.

    Example::

        keys = [KeyColumn.of("model.layers", [2, 4])]
        with RunWriter.open(path, name="depth", sweep=text, record="{}", keys=keys, versions={}) as run:
            run.commit(rows, {trial: (4,)}, {trial: SavedState(step=10, vector=vector)})
            run.commit(last_rows, {}, {})
            run.compact([(trial, (4,))])
    """

    def __init__(self, folder: Storage, lock: Hold, info: RunInfo, keys: int, sweep: str) -> None:
        """Cleans up the run and updates its markers; callers use ``open``."""
        self._folder = folder
        self._lock = lock
        self._info = info
        self._keys = info.keys[:keys]
        self._sweep = hashlib.sha256(sweep.encode()).hexdigest()
        self._run = snapshot(folder, same_content)
        check_list(folder, self._run)
        check_parts(folder, self._run)
        self.lost = lost_commits(folder, self._run)
        tidy(folder, self._run)
        _update(folder, RUN, info.dump())
        _update(folder, SWEEP, sweep.encode())
        self._merge()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str,
        sweep: str,
        record: str,
        keys: Sequence[KeyColumn],
        versions: Mapping[str, str],
        mixed_versions: bool = False,
    ) -> Self:
        """Opens the run at ``path`` (directory or URI) for writing: a new run, or one to complete or grow.

        Cleans up after a killed driver: removes damaged or unmarked commits and unlisted parts.

        Args:
            name: name of the sweep.
            sweep: text of the sweep file, as resolved.
            record: what the traces keep, as canonical JSON.
            keys: the swept keys; ``commit`` takes the values of a trial in this order.
            versions: versions of the package and of the libraries that compute.
            mixed_versions: whether the run may hold results of other versions.

        Raises:
            RunDirectoryError: the directory cannot be used, or is in use; nothing was changed.
        """
        folder = storage(path)
        requested = RunInfo(name, record, dict(versions), tuple(keys))
        with explained(folder.root, "make it usable, or name another directory"):
            examine(folder, requested, mixed_versions)
            folder.make()
            lock = folder.hold()
            try:
                old = examine(folder, requested, mixed_versions)  # again: the run was not locked before
                for caution in folder.cautions():
                    warnings.warn(caution, RunDirectoryWarning, stacklevel=2)
                info = replace(requested, keys=unite(requested.keys, old.keys if old else ()))
                return cls(folder, lock, info, len(requested.keys), sweep)
            except BaseException:
                lock.release()
                raise

    @staticmethod
    def check(path: str | os.PathLike[str], name: str, record: str, versions: Mapping[str, str]) -> None:
        """Raises RunDirectoryError if ``open`` would refuse the directory; changes nothing."""
        folder = storage(path)
        with explained(folder.root, "make it usable, or name another directory"):
            examine(folder, RunInfo(name, record, dict(versions), ()), mixed_versions=False)

    @property
    def control(self) -> Control:
        """Requests to the driver, and its progress file."""
        return Control(self._folder)

    def ended(self) -> NDArray[np.uint64]:
        """Returns the ids of the ended trials as sorted numbers (``int(trial, 16)``): uint64 [trials]."""
        return read_ended(self._folder, self._run.files("trials"))

    def failed(self) -> NDArray[np.uint64]:
        """Returns the ids of the failed trials as sorted numbers: uint64 [trials]."""
        return read_ended(self._folder, self._run.files("trials"), "failed")

    def states(self) -> dict[str, SavedState]:
        """Returns the last state of each unfinished trial that has one, by id."""
        return read_states(self._folder, self._run)

    def commit(
        self, rows: Rows, keys: Mapping[str, Sequence[KeyValue]], states: Mapping[str, SavedState]
    ) -> None:
        """Commits rows and the states after them, atomically and durably.

        Args:
            rows: rows of some steps; a row of ``trials`` ends its trial.
            keys: values of the swept keys of each trial that has no rows in the run yet.
            states: states of all trials in ``rows`` that have not ended.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
            ValueError: a trial with rows neither ends nor has a state, so a restart would write its rows
                twice; or columns do not fit the tables.
        """
        tables = _tables(rows)
        _check_resumable(tables, states)
        if keys:
            tables[KEYS] = key_table(self._keys, keys.items())
        if not (tables or states):
            return
        with explained(self._folder.root, RESUME):
            self._lock.check()
            commit = write_commit(self._folder, self._run.last, tables, states)
            self._run = replace(self._run, commits=(*self._run.commits, commit))
            self._merge()

    def take_back(self, trials: Sequence[str], plan: PlannedKeys) -> None:
        """Removes all rows of ended trials, so that these trials can be run again.

        Changes the commits first, then the finished parts, each in one step. After an interruption in
        between, some of the trials are removed, each of them completely.

        Args:
            trials: ids of the ended trials.
            plan: all trials of the sweep, as for ``compact``.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        if not trials:
            return
        dropped = np.array([int(trial, 16) for trial in trials], np.uint64)
        with explained(self._folder.root, RESUME):
            self._lock.check()
            if self._run.commits:
                merged = merge(self._folder, self._run.commits, self._info.keys, dropped)
                self._run = replace(self._run, commits=(merged,))
            if self._run.complete:
                parts = replace(self._run, commits=())
                complete = compact(self._folder, parts, self._info, self._sweep, plan, dropped=dropped)
                self._run = replace(self._run, complete=complete)
                tidy(self._folder, self._run)

    def mark(self, not_current: NDArray[np.uint64], plan: PlannedKeys) -> None:
        """Updates the column ``current`` of `trials`, which tells whether the plan names an ended trial.

        Changes the finished parts first, then the commits, each in one step and only if they need it. Of the
        finished tables only `trials` is rewritten, or all of them if their pages have no checksums yet.
        Commits are rewritten as a whole.

        Args:
            not_current: sorted numbers of the ended trials that the plan does not name, uint64 [trials].
            plan: all trials of the sweep, as for ``compact``; read only if the finished parts change.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        with explained(self._folder.root, RESUME):
            self._lock.check()
            parts = replace(self._run, commits=())
            if parts.complete and not is_marked(self._folder, parts, not_current):
                sweep = parts.complete.sweep  # the other tables keep the swept keys of that sweep
                tables = ("trials",) if parts.complete.hashed else tuple(TABLES)
                complete = compact(self._folder, parts, self._info, sweep, plan, tables=tables)
                self._run = replace(self._run, complete=complete)
                tidy(self._folder, self._run)
            commits = replace(self._run, complete=None)
            if not is_marked(self._folder, commits, not_current):
                merged = merge(self._folder, commits.commits, self._info.keys, not_current=not_current)
                self._run = replace(self._run, commits=(merged,))

    @property
    def compacted(self) -> bool:
        """Whether all rows are in finished parts, written for this sweep: ``compact`` has nothing to do."""
        complete = self._run.complete
        written = complete is not None and complete.hashed and complete.sweep == self._sweep
        return written and not self._run.commits

    def compact(self, plan: PlannedKeys) -> None:
        """Finishes the run: sorts all rows of ended trials into parts that any tool can read.

        Does nothing if there is nothing new since the last compaction.

        Args:
            plan: each trial of the sweep with the values of its swept keys; read once.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        if self.compacted:
            return
        with explained(self._folder.root, RESUME):
            self._lock.check()
            complete = compact(self._folder, self._run, self._info, self._sweep, plan)
            self._run = Snapshot(complete, ())
            tidy(self._folder, self._run)

    def close(self) -> None:
        """Releases the run for other drivers."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _merge(self) -> None:
        while tail := due_for_merge(self._run.commits):
            merged = merge(self._folder, tail, self._info.keys)
            self._run = replace(self._run, commits=(*self._run.commits[: -len(tail)], merged))


def _tables(rows: Rows) -> dict[str, pa.Table]:
    """Returns the Arrow tables of all tables that have rows."""
    if unknown := rows.keys() - TABLES.keys():
        raise ValueError(f"no such tables: {sorted(unknown)}")
    data = {table: to_arrow(table, rows) for table in TABLES if table in rows}
    return {table: rows for table, rows in data.items() if rows.num_rows}


def _check_resumable(tables: Mapping[str, pa.Table], states: Mapping[str, SavedState]) -> None:
    ids = {table: set(data["trial"].chunk(0).dictionary.to_pylist()) for table, data in tables.items()}
    if orphans := set().union(*ids.values()) - ids.get("trials", set()) - states.keys():
        raise ValueError(f"rows of trials that neither end nor have a state: {sorted(orphans)}")


def _update(folder: Storage, name: str, content: bytes) -> None:
    if folder.read(name) != content:
        folder.replace(name, content)
