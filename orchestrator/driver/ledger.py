"""Rows, states and swept keys that came back but are not committed yet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.driver.scheduler import Failed, Work
from orchestrator.tables.rows import SavedState
from orchestrator.training.ended import ended_rows
from orchestrator.training.loop import Chunk
from orchestrator.training.recorder import ColumnArrays, RowArrays, join_rows


class Ledger:
    """Collects rows, states and swept keys until the next commit takes them.

    Args:
        versions: versions of the libraries that compute, as JSON.

    Attributes:
        keys: values of the swept keys, by trial, of trials that came back for the first time.
        states: saved states, by trial, of trials that go on.
        bytes: size of the rows.
    """

    def __init__(self, versions: str) -> None:
        self._versions = versions
        self._rows: list[RowArrays] = []
        self.keys: dict[str, tuple[Any, ...]] = {}
        self.states: dict[str, SavedState] = {}
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, work: Work, chunk: Chunk) -> None:
        """Adds a chunk: its rows, and the states of the trials that go on."""
        rows = dict(chunk.rows)
        if "trials" in rows:
            rows["trials"] = self._completed(rows["trials"], work, _errors(rows["trials"]))
        self._rows.append(rows)
        self.bytes += sum(_column_bytes(column) for table in rows.values() for column in table.values())
        self._add_keys(work)
        for trial in work.pack.ids:
            self.states.pop(trial, None)
        pack = chunk.pack
        if pack is not None and pack.vectors is not None:
            self.states |= {
                trial: SavedState(pack.step, vector)
                for trial, vector in zip(pack.ids, pack.vectors, strict=True)
            }

    def fail(self, failed: Failed) -> None:
        """Adds trials that failed."""
        self._end(failed.work, "failed", failed.error)

    def cancel(self, work: Work) -> None:
        """Adds trials that were cancelled on request."""
        self._end(work, "cancelled", None)

    def _end(self, work: Work, status: str, error: str | None) -> None:
        table = ended_rows(work.pack, status)
        table = self._completed(table, work, np.full(len(table["trial"]), error, object))
        self._rows.append({"trials": table})
        self._add_keys(work)
        for trial in work.pack.ids:
            self.states.pop(trial, None)

    def _completed(self, table: ColumnArrays, work: Work, error: NDArray[np.object_]) -> ColumnArrays:
        """Returns rows of ``trials`` with the columns that only the driver knows."""
        count = len(table["trial"])
        planned = [work.planned[str(trial)] for trial in table["trial"]]
        return {
            **table,
            "error": error,
            "index": np.array([trial.index for trial in planned]),
            "current": np.ones(count, bool),
            "attempts": np.full(count, work.attempts),
            "pack": np.full(count, work.number),
            "started_at": np.array([_iso(seconds) for seconds in table["started_at"]], object),
            "versions": np.full(count, self._versions, object),
        }

    def _add_keys(self, work: Work) -> None:
        if work.pack.step == 0:  # those of a begun trial are in an earlier commit
            self.keys |= {trial: entry.keys for trial, entry in work.planned.items()}

    def take(self) -> tuple[RowArrays, dict[str, tuple[Any, ...]], dict[str, SavedState]]:
        """Returns and removes all rows by table, and all keys and states by trial."""
        taken = join_rows(self._rows), self.keys, self.states
        self._rows, self.keys, self.states, self.bytes = [], {}, {}, 0
        return taken


def _errors(table: ColumnArrays) -> NDArray[np.object_]:
    """Returns the column ``error`` of trials that are done or have diverged."""
    rows = zip(table["status"], table["steps"], strict=True)
    messages = [f"non-finite: in step {int(n) - 1}" if status == "diverged" else None for status, n in rows]
    return np.array(messages, object)


def _column_bytes(column: NDArray[Any]) -> int:
    """Memory of a column in bytes, including its texts."""
    texts = column if column.dtype == object else ()
    return column.nbytes + sum(len(text) for text in texts if text is not None)


def _iso(seconds: float) -> str | None:
    return None if math.isnan(seconds) else f"{np.datetime64(int(seconds * 1000), 'ms')}Z"
