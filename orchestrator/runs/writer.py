"""The writer of a run: one driver holds it, and what it commits is kept whole or not at all."""

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
from orchestrator.runs.manifest import RUN, SWEEP, RunInfo, Snapshot, due, same_content, snapshot
from orchestrator.runs.opening import check_list, check_parts, examine, lost_commits, tidy
from orchestrator.runs.storage.base import SAFE, Hold, Storage, explained
from orchestrator.runs.storage.opening import storage
from orchestrator.tables.rows import KeyColumn, KeyValue, Rows, SavedState, unite
from orchestrator.tables.schema import TABLES


class RunWriter:
    """The one writer of a run directory.

    Attributes:
        lost: numbers of the commits that were found damaged, or that came after a damaged one; they were
            swept away, and their trials go on from their last intact state.

    Example::

        keys = [KeyColumn.of("model.layers", [2, 4])]
        with RunWriter.open(path, name="depth", sweep=text, record="{}", keys=keys, versions={}) as run:
            run.commit(rows, {trial: (4,)}, {trial: SavedState(step=10, vector=vector)})
            run.commit(last_rows, {}, {})
            run.compact([(trial, (4,))])
    """

    def __init__(self, folder: Storage, lock: Hold, info: RunInfo, keys: int, sweep: str) -> None:
        """Use ``open``."""
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
        """Takes hold of the run at ``path`` (directory or URI): a new one, or one to be completed or grown.

        Finishes what a killed driver left: damaged or unmarked commits and unlisted parts are removed.

        Args:
            name: of the sweep.
            sweep: text of the sweep file, as resolved.
            record: what the traces keep, as canonical JSON.
            keys: the swept keys; the values of a trial come in this order.
            versions: of the package and of the libraries that compute.
            mixed_versions: whether the run may hold results of other versions.

        Raises:
            RunDirectoryError: the directory cannot be used, or is in use; nothing was changed.
        """
        folder = storage(path)
        wanted = RunInfo(name, record, dict(versions), tuple(keys))
        with explained(folder.root, "make it usable, or name another directory"):
            examine(folder, wanted, mixed_versions)
            folder.make()
            lock = folder.hold()
            try:
                old = examine(folder, wanted, mixed_versions)  # again: it may have changed before we held it
                for caution in folder.cautions():
                    warnings.warn(caution, RunDirectoryWarning, stacklevel=2)
                info = replace(wanted, keys=unite(wanted.keys, old.keys if old else ()))
                return cls(folder, lock, info, len(wanted.keys), sweep)
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
        """Where the driver finds requests and says how far it is."""
        return Control(self._folder)

    def ended(self) -> NDArray[np.uint64]:
        """Sorted ids, as numbers (``int(trial, 16)``), of the trials that have ended: uint64 [trials]."""
        return read_ended(self._folder, self._run.files("trials"))

    def failed(self) -> NDArray[np.uint64]:
        """Sorted numbers of those of them that failed, uint64 [trials]."""
        return read_ended(self._folder, self._run.files("trials"), "failed")

    def states(self) -> dict[str, SavedState]:
        """The last state of each trial that has begun and not ended, by id."""
        return read_states(self._folder, self._run)

    def commit(
        self, rows: Rows, keys: Mapping[str, Sequence[KeyValue]], states: Mapping[str, SavedState]
    ) -> None:
        """Adds rows and the states that go with them, durably: all of it is there afterwards, or none.

        Args:
            rows: of some steps; a row of ``trials`` ends its trial.
            keys: values of the swept keys of every trial of which the run holds no rows yet.
            states: of every trial in ``rows`` that has not ended.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
            ValueError: rows of a trial that neither ends nor has a state, which would come twice after a
                restart; or columns that do not fit the tables.
        """
        tables = _tables(rows)
        _check_resumable(tables, states)
        if keys:
            tables[KEYS] = key_table(self._keys, keys.items())
        if not (tables or states):
            return
        with explained(self._folder.root, SAFE):
            self._lock.check()
            commit = write_commit(self._folder, self._run.last, tables, states)
            self._run = replace(self._run, commits=(*self._run.commits, commit))
            self._merge()

    def take_back(self, trials: Sequence[str], plan: PlannedKeys) -> None:
        """Removes all rows of trials that have ended, so that they can be run again.

        Commits and finished parts change one after the other, each in one step: where this is interrupted,
        some trials may be gone already, each of them wholly.

        Args:
            plan: as for ``compact``.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        if not trials:
            return
        gone = np.array([int(trial, 16) for trial in trials], np.uint64)
        with explained(self._folder.root, SAFE):
            self._lock.check()
            if self._run.commits:
                merged = merge(self._folder, self._run.commits, self._info.keys, gone)
                self._run = replace(self._run, commits=(merged,))
            if self._run.complete:
                parts = replace(self._run, commits=())
                complete = compact(self._folder, parts, self._info, self._sweep, plan, gone=gone)
                self._run = replace(self._run, complete=complete)
                tidy(self._folder, self._run)

    def mark(self, others: NDArray[np.uint64], plan: PlannedKeys) -> None:
        """Says in `trials` which ended trials the plan names, where the rows do not say so yet.

        Finished parts and commits change one after the other, each in one step. Of what is finished only
        `trials` is written anew (all tables if their pages have no checksums yet), of commits all that they
        hold.

        Args:
            others: sorted numbers of the ended trials that the plan does not name.
            plan: as for ``compact``; not gone through where the rows are right.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        with explained(self._folder.root, SAFE):
            self._lock.check()
            parts = replace(self._run, commits=())
            if parts.complete and not is_marked(self._folder, parts, others):
                sweep = parts.complete.sweep  # its swept keys are still those of the other tables
                tables = ("trials",) if parts.complete.hashed else tuple(TABLES)
                complete = compact(self._folder, parts, self._info, sweep, plan, tables=tables)
                self._run = replace(self._run, complete=complete)
                tidy(self._folder, self._run)
            commits = replace(self._run, complete=None)
            if not is_marked(self._folder, commits, others):
                merged = merge(self._folder, commits.commits, self._info.keys, others=others)
                self._run = replace(self._run, commits=(merged,))

    def compact(self, plan: PlannedKeys) -> None:
        """Finishes the run: all rows of ended trials, sorted, in parts that any tool reads.

        Does nothing if nothing came since the last time.

        Args:
            plan: every trial of the sweep with the values of its swept keys; gone through once.

        Raises:
            RunDirectoryError: the disk is full or fails, or another driver has taken over.
        """
        complete = self._run.complete
        if complete and complete.hashed and complete.sweep == self._sweep and not self._run.commits:
            return
        with explained(self._folder.root, SAFE):
            self._lock.check()
            complete = compact(self._folder, self._run, self._info, self._sweep, plan)
            self._run = Snapshot(complete, ())
            tidy(self._folder, self._run)

    def close(self) -> None:
        """Gives the run free for another driver."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _merge(self) -> None:
        while tail := due(self._run.commits):
            merged = merge(self._folder, tail, self._info.keys)
            self._run = replace(self._run, commits=(*self._run.commits[: -len(tail)], merged))


def _tables(rows: Rows) -> dict[str, pa.Table]:
    """The tables that have rows."""
    if unknown := rows.keys() - TABLES.keys():
        raise ValueError(f"no such tables: {sorted(unknown)}")
    data = {table: to_arrow(table, rows) for table in TABLES if table in rows}
    return {table: rows for table, rows in data.items() if rows.num_rows}


def _check_resumable(tables: Mapping[str, pa.Table], states: Mapping[str, SavedState]) -> None:
    named = {table: set(data["trial"].chunk(0).dictionary.to_pylist()) for table, data in tables.items()}
    if orphans := set().union(*named.values()) - named.get("trials", set()) - states.keys():
        raise ValueError(f"rows of trials that neither end nor have a state: {sorted(orphans)}")


def _update(folder: Storage, name: str, content: bytes) -> None:
    if folder.read(name) != content:
        folder.replace(name, content)
