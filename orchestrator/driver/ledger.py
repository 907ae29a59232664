"""What has come back but is not committed yet."""

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
    """Collects rows, states and key values until the next commit takes them.

    Args:
        versions: of what computes, as JSON.

    Attributes:
        keys: values of the swept keys of the trials that have come back for the first time, by trial.
        states: of the trials that go on, by trial.
        bytes: size of the rows.
    """

    def __init__(self, versions: str) -> None:
        self._versions = versions
        self._parts: list[RowArrays] = []
        self.keys: dict[str, tuple[Any, ...]] = {}
        self.states: dict[str, SavedState] = {}
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, work: Work, chunk: Chunk) -> None:
        """Takes in a chunk: its rows, and the state of the trials that go on."""
        rows = dict(chunk.rows)
        if "trials" in rows:
            rows["trials"] = self._completed(rows["trials"], work, _diverged(rows["trials"]))
        self._parts.append(rows)
        self.bytes += sum(_size(column) for table in rows.values() for column in table.values())
        self._note_keys(work)
        for trial in work.pack.ids:
            self.states.pop(trial, None)
        rest = chunk.pack
        if rest is not None and rest.vectors is not None:
            self.states |= {
                trial: SavedState(rest.step, vector)
                for trial, vector in zip(rest.ids, rest.vectors, strict=True)
            }

    def fail(self, failed: Failed) -> None:
        """Takes in trials that failed."""
        self._end(failed.work, "failed", failed.error)

    def cancel(self, work: Work) -> None:
        """Takes in trials that were stopped on request."""
        self._end(work, "cancelled", None)

    def _end(self, work: Work, status: str, error: str | None) -> None:
        table = ended_rows(work.pack, status)
        table = self._completed(table, work, np.full(len(table["trial"]), error, object))
        self._parts.append({"trials": table})
        self._note_keys(work)
        for trial in work.pack.ids:
            self.states.pop(trial, None)

    def _completed(self, table: ColumnArrays, work: Work, error: NDArray[np.object_]) -> ColumnArrays:
        """The columns of ``trials`` that only the driver knows."""
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

    def _note_keys(self, work: Work) -> None:
        if work.pack.step == 0:  # of a trial that had begun they are in an earlier commit
            self.keys |= {trial: entry.keys for trial, entry in work.planned.items()}

    def take(self) -> tuple[RowArrays, dict[str, tuple[Any, ...]], dict[str, SavedState]]:
        """Everything since the last commit: rows by table, key values of new trials and states by trial."""
        taken = join_rows(self._parts), self.keys, self.states
        self._parts, self.keys, self.states, self.bytes = [], {}, {}, 0
        return taken


def _diverged(table: ColumnArrays) -> NDArray[np.object_]:
    """What ended each of some trials that no error ended."""
    rows = zip(table["status"], table["steps"], strict=True)
    messages = [f"non-finite: in step {int(n) - 1}" if status == "diverged" else None for status, n in rows]
    return np.array(messages, object)


def _size(column: NDArray[Any]) -> int:
    """Memory of a column in bytes, its texts included."""
    texts = column if column.dtype == object else ()
    return column.nbytes + sum(len(text) for text in texts if text is not None)


def _iso(seconds: float) -> str | None:
    return None if math.isnan(seconds) else f"{np.datetime64(int(seconds * 1000), 'ms')}Z"
