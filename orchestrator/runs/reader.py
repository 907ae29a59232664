"""Reads a run, finished or not, also while a driver writes it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.dataset import Dataset

from orchestrator.errors import RunDirectoryError, RunDirectoryWarning
from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import STATE, conform, plain_text, replace_column, table_schema
from orchestrator.runs.commits import read_ended, read_states
from orchestrator.runs.integrity import CheckedFiles, check_listed
from orchestrator.runs.keys import KEYS, SweptKeys, committed_keys, key_schema, read_with_keys
from orchestrator.runs.manifest import RUN, SWEEP, UNHASHED, RunInfo, Snapshot, snapshot
from orchestrator.runs.opening import check_list
from orchestrator.runs.storage.base import RowFile, explained
from orchestrator.runs.storage.opening import storage
from orchestrator.tables.rows import KeyColumn, SavedState

Loaded = TypeVar("Loaded")

_REMEDY = "remove the cause, then read the run again"


class Run:
    """A run directory, read through its markers: unmarked commits and unlisted parts are ignored.

    Tables are read again at each access. While a run goes on, they include the rows of unfinished trials.
    Finished parts are sorted. Rows of commits follow, in the order of the commits. Tables also include trials
    that the sweep no longer names; the column ``current`` of ``trials`` is false for these.

    Args:
        path: the directory, or the URI of a folder on an object store.

    Raises:
        RunDirectoryError: there is no run.

    Example::

        Run("runs/depth").steps.to_pandas().groupby("model.layers").gradient_norm.mean()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = storage(path)
        if self._info().format == UNHASHED:
            warnings.warn(
                f"{self._folder.root} is of format {UNHASHED}: nothing in it is checked, so damage may be "
                "read as data",
                RunDirectoryWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        """Returns the address, the ended trials by status and the swept keys, or why they cannot be read."""
        try:
            counted = self.read("trials", ["status"])["status"].value_counts().to_pylist()
            keys = ", ".join(key.name for key in self.keys)
        except RunDirectoryError as error:
            return f"<Run {error}>"
        by_status = sorted((row["values"], row["counts"]) for row in counted)
        ended = ", ".join(f"{count:,} {status}" for status, count in by_status)
        return f"<Run {self._folder.root}: {ended or 'no trial has ended'}; swept: {keys or 'nothing'}>"

    @property
    def trials(self) -> pa.Table:
        """One row per ended trial; ``current`` tells whether the sweep still names the trial."""
        return self.read("trials")

    @property
    def steps(self) -> pa.Table:
        """One row per trial and recorded step."""
        return self.read("steps")

    @property
    def gradients(self) -> pa.Table:
        """One row per trial, recorded step and group."""
        return self.read("gradients")

    @property
    def parameters(self) -> pa.Table:
        """One row per trial and component of its trained parameters, where the trial recorded them."""
        return self.read("parameters")

    @property
    def keys(self) -> tuple[KeyColumn, ...]:
        """The swept keys, in the order of the sweep file. Each is a column of every table."""
        return self._info().keys

    @property
    def sweep(self) -> str:
        """Text of the sweep file, as resolved."""
        return (self._folder.read(SWEEP) or b"").decode()

    @property
    def finished(self) -> bool:
        """Whether all rows are in finished parts, so that other tools may read the folders directly."""
        run = self._snapshot()
        return run.complete is not None and not run.commits

    def assign(self, circuit: Any, trial: str | None = None) -> Any:
        """Returns a copy of a circuit with trained values for its parameters; see ``trained.assign``."""
        from orchestrator.runs.trained import assign

        return assign(self, circuit, trial)

    def count(self, status: str) -> int:
        """Counts the current trials that ended with this status."""
        trials = self.read("trials", ["status", "current"])
        ended = pc.and_(pc.equal(trials["status"], status), trials["current"])
        return int(pc.sum(ended, min_count=0).as_py())

    def ended(self) -> NDArray[np.uint64]:
        """Returns the ids of the ended trials as sorted numbers (``int(trial, 16)``): uint64 [trials]."""
        return self._load("trials", lambda run: read_ended(self._folder, run.files("trials")))

    def states(self) -> dict[str, SavedState]:
        """Returns the last state of each unfinished trial that has one, by id."""
        return self._load("state", lambda run: read_states(self._folder, run))

    def others(self, most: int) -> list[str]:
        """Returns the configurations, as JSON, of at most ``most`` trials that are not current."""
        # rows of older versions have no value in `current` and are not chosen
        chosen = ~pc.field("current") & pc.field("configuration").is_valid()

        def load(run: Snapshot) -> list[str]:
            rows = self._dataset("trials", run).scanner(["configuration"], filter=chosen).head(most)
            return [str(text) for text in rows["configuration"].to_pylist()]

        return self._load("trials", load)

    @property
    def local(self) -> bool:
        """Whether the run is in a local directory, where any tool can open its files by path."""
        return self._folder.filesystem is None

    def files(self, table: str) -> list[str]:
        """Returns paths or URIs of the current files of ``table``: finished Parquet, then Arrow commits."""
        return [self._folder.path(file.name) for file in self._snapshot().files(table)]

    def dataset(self, table: str) -> tuple[Dataset, pa.Table]:
        """Opens the current files of ``table`` as an Arrow dataset, which reads only what a query needs.

        The dataset checks the pages that it reads. Its text columns have no dictionaries.

        Returns:
            The dataset, and a table of swept keys. In the dataset, rows of commits have null swept keys. The
            table has the swept keys of all trials with rows in commits, each under the key's own name.
        """
        keys = self.keys
        return self._load(
            table, lambda run: (self._dataset(table, run), committed_keys(self._folder, run, keys))
        )

    def schema(self, table: str) -> pa.Schema:
        """Returns the Arrow schema of ``table``, swept keys included."""
        return table_schema(table, self._info().keys)

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Reads the rows of ``table``: all columns, or ``columns``.

        A merge or a compaction may remove a listed file in the meantime. The table is then read again, from
        the new files.
        """
        keys = self.keys
        schema = table_schema(table, keys)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])

        def load(run: Snapshot) -> pa.Table:
            pieces = list(read_with_keys(self._folder, run, table, keys, schema))
            return pa.concat_tables([schema.empty_table(), *pieces]).unify_dictionaries()

        return _fill_flags(self._load(table, load))

    def of_trials(self, table: str, trials: Sequence[str]) -> pa.Table:
        """Reads the rows of ``table`` that belong to these trials; keeps no other rows in memory."""
        chosen, keys = pc.field("trial").isin(list(trials)), self.keys
        schema = table_schema(table, keys)

        def load(run: Snapshot) -> pa.Table:
            rows = conform(self._dataset(table, run).to_table(filter=chosen), plain_text(schema))
            return SweptKeys.of(committed_keys(self._folder, run, keys)).attach(table, keys, rows)

        return _fill_flags(conform(self._load(table, load), schema))

    def columns(self, table: str) -> frozenset[str]:
        """Returns the columns that all files of ``table`` have.

        Files of older versions have fewer columns, and files of commits have no swept keys.
        """
        return self._load(table, lambda run: rowfiles.columns(self._folder, run.files(table)))

    def check(self, table: str) -> None:
        """Reads all files of ``table``, and the swept keys, to find the file that made a reader fail.

        Raises:
            RunDirectoryError: a file is missing or damaged; the message names it.
        """
        self._load(table, lambda run: self._check(table, run))

    def check_files(self) -> CheckedFiles:
        """Hashes every file that the run lists, finished or not.

        Raises:
            RunDirectoryError: ``run.json`` or the list of finished parts is damaged.
        """
        with explained(self._folder.root, _REMEDY):
            return check_listed(self._folder)

    def _check(self, table: str, run: Snapshot) -> None:
        keys = self.keys
        rowfiles.check(self._folder, run.files(table), STATE if table == "state" else self.schema(table))
        rowfiles.check(self._folder, run.files(KEYS), key_schema(keys))

    def _load(self, table: str, load: Callable[[Snapshot], Loaded]) -> Loaded:
        with explained(self._folder.root, _REMEDY):
            while True:
                run = self._snapshot()
                try:
                    return load(run)
                except (pa.ArrowException, OSError, RunDirectoryError) as error:
                    if _files(table, run) != _files(table, self._snapshot()):
                        continue
                    if isinstance(error, RunDirectoryError):
                        raise
                    self._check(table, run)
                    reason = str(error).splitlines()[0]
                    raise RunDirectoryError(f"{self._folder.path(table)}: {reason}; {_REMEDY}") from error

    def _dataset(self, table: str, run: Snapshot) -> Dataset:
        return rowfiles.as_dataset(self._folder, run.files(table), plain_text(self.schema(table)))

    def _snapshot(self) -> Snapshot:
        with explained(self._folder.root, _REMEDY):
            run = snapshot(self._folder)
            check_list(self._folder, run)
            return run

    def _info(self) -> RunInfo:
        with explained(self._folder.root, "name the directory of a run"):
            info = RunInfo.load(self._folder)
        if info is None:
            missing = self.local and not self._folder.root.exists()
            reason = "there is no such directory" if missing else f"there is no {RUN} in it"
            raise RunDirectoryError(f"{self._folder.root} is not a run: {reason}")
        return info


def _files(table: str, run: Snapshot) -> list[RowFile]:
    """Returns the files that are needed to read a table."""
    return run.files(table) + run.files(KEYS)


def _fill_flags(rows: pa.Table) -> pa.Table:
    """Fills ``current`` and ``repeatable`` with true where an older version wrote no such column."""
    for name in ("current", "repeatable"):
        if name in rows.column_names:
            rows = replace_column(rows, name, rows[name].fill_null(True))
    return rows
