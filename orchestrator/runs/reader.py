"""Reading a run, finished or not, also beside the driver that writes it."""

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
from orchestrator.runs.arrow import conform, plain, put, table_schema
from orchestrator.runs.commits import read_ended
from orchestrator.runs.keys import KEYS, Swept, committed_keys, key_schema, read_keyed
from orchestrator.runs.listed import Checked, check_listed
from orchestrator.runs.manifest import RUN, SWEEP, UNHASHED, RunInfo, Snapshot, snapshot
from orchestrator.runs.opening import check_list
from orchestrator.runs.storage.base import RowFile, explained
from orchestrator.runs.storage.opening import storage
from orchestrator.tables.rows import KeyColumn

Loaded = TypeVar("Loaded")

_AGAIN = "remove the cause, then read it again"


class Run:
    """A run directory, read through its lists: what is not marked or listed is not seen.

    Tables are read anew each time; while a run goes on they hold the rows of unfinished trials as well.
    Finished parts are sorted; rows of commits follow in the order in which they came. They are whole: trials
    that the sweep no longer names are in them, with false in the column ``current`` of ``trials``.

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

    @property
    def trials(self) -> pa.Table:
        """One row per trial that has ended; ``current`` says whether the sweep still names it."""
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
        """One row per trial and component of its trained parameters, where they were recorded."""
        return self.read("parameters")

    @property
    def keys(self) -> tuple[KeyColumn, ...]:
        """The swept keys, in the order of the sweep file; a column each in every table."""
        return self._info().keys

    @property
    def sweep(self) -> str:
        """Text of the sweep file, as resolved."""
        return (self._folder.read(SWEEP) or b"").decode()

    @property
    def finished(self) -> bool:
        """Whether all rows are in the finished parts, so that their folders may be read directly."""
        run = self._snapshot()
        return run.complete is not None and not run.commits

    def assign(self, circuit: Any, trial: str | None = None) -> Any:
        """A copy of a circuit with trained values in the place of its parameters; see ``trained.assign``."""
        from orchestrator.runs.trained import assign

        return assign(self, circuit, trial)

    def count(self, status: str) -> int:
        """Number of current trials that ended in this way."""
        trials = self.read("trials", ["status", "current"])
        ended = pc.and_(pc.equal(trials["status"], status), trials["current"])
        return int(pc.sum(ended, min_count=0).as_py())

    def ended(self) -> NDArray[np.uint64]:
        """Sorted ids, as numbers (``int(trial, 16)``), of the trials that have ended: uint64 [trials]."""
        return self._loaded("trials", lambda run: read_ended(self._folder, run.files("trials")))

    def others(self, most: int) -> list[str]:
        """Configurations, as JSON, of at most so many trials that are not current."""
        chosen = (
            ~pc.field("current") & pc.field("configuration").is_valid()
        )  # null: before there was this column

        def load(run: Snapshot) -> list[str]:
            rows = self._dataset("trials", run).scanner(["configuration"], filter=chosen).head(most)
            return [str(text) for text in rows["configuration"].to_pylist()]

        return self._loaded("trials", load)

    @property
    def local(self) -> bool:
        """Whether the files are in a directory, where any tool opens them by their paths."""
        return self._folder.filesystem is None

    def files(self, table: str) -> list[str]:
        """Paths, or URIs, of the files that hold ``table`` now: finished Parquet, then commits in Arrow."""
        return [self._folder.path(file.name) for file in self._snapshot().files(table)]

    def dataset(self, table: str) -> tuple[Dataset, pa.Table]:
        """The files of ``table`` as they are now, as an Arrow dataset: only what is asked for is fetched.

        It checks the pages that it reads. Text has no dictionaries there.

        Returns:
            The dataset, in which rows of commits have null for the swept keys; and the swept keys of all
            trials that have rows in commits, each under the key's own name.
        """
        keys = self.keys
        return self._loaded(
            table, lambda run: (self._dataset(table, run), committed_keys(self._folder, run, keys))
        )

    def schema(self, table: str) -> pa.Schema:
        """Arrow schema of ``table``, swept keys included."""
        return table_schema(table, self._info().keys)

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of ``table``; all columns, or those named.

        A merge or a compaction may remove a file that was just listed: its rows are then in the new list.
        """
        keys = self.keys
        schema = table_schema(table, keys)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])

        def load(run: Snapshot) -> pa.Table:
            pieces = list(read_keyed(self._folder, run, table, keys, schema))
            return pa.concat_tables([schema.empty_table(), *pieces]).unify_dictionaries()

        return _true_where_unsaid(self._loaded(table, load))

    def of_trials(self, table: str, trials: Sequence[str]) -> pa.Table:
        """The rows of ``table`` that belong to these trials; no others are kept in memory."""
        chosen, keys = pc.field("trial").isin(list(trials)), self.keys
        schema = table_schema(table, keys)

        def load(run: Snapshot) -> pa.Table:
            rows = conform(self._dataset(table, run).to_table(filter=chosen), plain(schema))
            return Swept.of(committed_keys(self._folder, run, keys)).attach(table, keys, rows)

        return _true_where_unsaid(conform(self._loaded(table, load), schema))

    def columns(self, table: str) -> frozenset[str]:
        """Columns that all files of ``table`` have: older versions have fewer, commits no swept keys."""
        return self._loaded(table, lambda run: rowfiles.columns(self._folder, run.files(table)))

    def check(self, table: str) -> None:
        """Reads all files of ``table``, and the swept keys, to find what is wrong where a reader has failed.

        Raises:
            RunDirectoryError: a file is missing or damaged; the message names it.
        """
        self._loaded(table, lambda run: self._check(table, run))

    def check_files(self) -> Checked:
        """Hashes every file that the run lists, finished or not.

        Raises:
            RunDirectoryError: ``run.json`` or the list of finished parts is damaged.
        """
        with explained(self._folder.root, _AGAIN):
            return check_listed(self._folder)

    def _check(self, table: str, run: Snapshot) -> None:
        keys = self.keys
        rowfiles.check(self._folder, run.files(table), table_schema(table, keys))
        rowfiles.check(self._folder, run.files(KEYS), key_schema(keys))

    def _loaded(self, table: str, load: Callable[[Snapshot], Loaded]) -> Loaded:
        with explained(self._folder.root, _AGAIN):
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
                    raise RunDirectoryError(f"{self._folder.path(table)}: {reason}; {_AGAIN}") from error

    def _dataset(self, table: str, run: Snapshot) -> Dataset:
        return rowfiles.joined(self._folder, run.files(table), plain(self.schema(table)))

    def _snapshot(self) -> Snapshot:
        with explained(self._folder.root, _AGAIN):
            run = snapshot(self._folder)
            check_list(self._folder, run)
            return run

    def _info(self) -> RunInfo:
        with explained(self._folder.root, "name the directory of a run"):
            info = RunInfo.load(self._folder)
        if info is None:
            missing = self.local and not self._folder.root.exists()
            reason = "there is no such directory" if missing else f"there is no {RUN} in it"
            raise RunDirectoryError(f"{self._folder.root} is no run: {reason}")
        return info


def _files(table: str, run: Snapshot) -> list[RowFile]:
    """What reading a table needs."""
    return run.files(table) + run.files(KEYS)


def _true_where_unsaid(rows: pa.Table) -> pa.Table:
    """Rows of any table; in those of `trials` from before there were these columns, they are true."""
    for name in ("current", "repeatable"):
        if name in rows.column_names:
            rows = put(rows, name, rows[name].fill_null(True))
    return rows
