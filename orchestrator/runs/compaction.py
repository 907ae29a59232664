"""Compaction: sorts the rows of a run into finished parts and attaches the swept keys of the sweep.

This is an external sort by ranges of trial ids. Ids are hashes, so ranges of equal width hold about equally
many rows. A range that does not fit in memory is cut again. However large the run is, a row is read and
written once per cut and once for its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.runs import rowfiles
from orchestrator.runs.arrow import conform, order_by, plain_text, replace_column, table_schema, trial_numbers
from orchestrator.runs.commits import NO_TRIALS
from orchestrator.runs.keys import KEYS, SweptKeys, key_schema, key_table
from orchestrator.runs.manifest import COMPLETE, SCRATCH, Complete, RunInfo, Snapshot
from orchestrator.runs.parts import PART_BYTES, write_parts
from orchestrator.runs.storage.base import RowFile, Storage
from orchestrator.tables.rows import KeyColumn, KeyValue
from orchestrator.tables.schema import SORT, TABLES

MEMORY_BYTES = 4 << 20
"""Most memory for the rows of one table in one range; sorting them needs about four times as much."""

_PLAN_ROWS = 1 << 12
"""Trials of the plan that are in memory as Python objects at the same time."""

MAX_PIECES = 64
"""Most pieces per cut, and so most files that are open at the same time."""

_INDEX = "index in the plan"
"""Scratch column: index of the trial in the plan; null if the plan does not name the trial.

No swept key has a name with spaces, so none collides with this one.
"""

PlannedKeys = Iterable[tuple[str, Sequence[KeyValue]]]
"""Each trial of the sweep with the values of its swept keys."""

Files = Mapping[str, Sequence[RowFile]]
"""Table -> its files."""


def compact(
    folder: Storage,
    run: Snapshot,
    info: RunInfo,
    sweep: str,
    plan: PlannedKeys,
    memory_bytes: int = MEMORY_BYTES,
    part_bytes: int = PART_BYTES,
    dropped: NDArray[np.uint64] = NO_TRIALS,
    tables: Sequence[str] = tuple(TABLES),
) -> Complete:
    """Sorts all rows of ended trials into a new generation of parts and lists these parts.

    Rows of a trial without a row in `trials` are left out. The state of such a trial is removed with the
    commits, so the trial would start again from step 0. A trial that ``plan`` does not name keeps its swept
    keys and is no longer current.

    Args:
        sweep: SHA-256 of the sweep file whose swept keys all tables have afterwards.
        memory_bytes: most memory for the rows of one table in one range.
        part_bytes: approximate size of a file of a finished table.
        dropped: numbers of ended trials whose rows are left out as well.
        tables: the tables that get new parts, `trials` among them; the others keep their parts.
    """
    compaction = _Compaction(folder, info.keys, dropped, memory_bytes, tables)
    _release_memory()
    folder.delete(SCRATCH)
    try:
        return _write(folder, run, info, sweep, compaction.rows(run, plan), part_bytes, tables)
    except OSError:
        with suppress(OSError):  # the next attempt starts over, but a full disk needs the space
            folder.delete(SCRATCH)
        raise


def _write(
    folder: Storage,
    run: Snapshot,
    info: RunInfo,
    sweep: str,
    rows: Iterable[tuple[str, pa.Table]],
    part_bytes: int,
    tables: Sequence[str],
) -> Complete:
    generation = run.complete.generation + 1 if run.complete else 1
    schemas = {table: table_schema(table, info.keys) for table in tables}
    conforming = ((table, conform(data, schemas[table])) for table, data in rows)
    kept = {
        name: fingerprint for name, fingerprint in run.parts.items() if PurePath(name).parts[0] not in tables
    }
    written = write_parts(folder, generation, schemas, conforming, part_bytes)
    complete = Complete(generation, run.last, sweep, kept | written)
    folder.replace(COMPLETE, complete.dump(info))
    return complete


@dataclass(frozen=True)
class _Compaction:
    folder: Storage
    keys: tuple[KeyColumn, ...]
    dropped: NDArray[np.uint64]
    memory_bytes: int
    tables: Sequence[str]

    def rows(self, run: Snapshot, plan: PlannedKeys) -> Iterator[tuple[str, pa.Table]]:
        """Yields the sorted rows of each table, in portions that fit in memory."""
        files = {table: run.files(table) for table in self.tables}
        files[KEYS] = [self.write_keys(plan), *run.files(KEYS)]  # the plan comes first: its keys win
        for piece in self.ranges(files, 0, 1 << 64):
            yield from self._sorted_piece(piece)
            _release_memory()

    def write_keys(self, plan: PlannedKeys) -> RowFile:
        """Streams the swept keys of the plan into a scratch file, as they may not fit in memory."""
        name = f"{SCRATCH}/{KEYS}{rowfiles.ARROW}"
        rowfiles.write(self.folder, name, self._schema(KEYS), self._key_tables(plan))
        return RowFile(name)

    def ranges(self, files: Files, low: int, width: int) -> Iterator[Files]:
        """Cuts the rows of trials low … low + width - 1 into ranges that fit in memory; yields them in order.

        The rows of one trial always stay together. Ranges without ended trials are left out.
        """
        size = max(rowfiles.memory(self.folder, names) for names in files.values())
        trials = rowfiles.count(self.folder, files["trials"])
        if trials and (size <= self.memory_bytes or trials == 1 or width == 1):
            yield files
        elif trials:
            yield from self._cut(files, low, width, size)

    def _cut(self, files: Files, low: int, width: int, size: int) -> Iterator[Files]:
        pieces = min(MAX_PIECES, 1 + 2 * size // self.memory_bytes)  # about half full, as ids scatter
        step = -(-width // pieces)
        folder_name = f"{SCRATCH}/{low:016x}-{width:x}"
        for table, names in files.items():
            self._scatter(table, names, low, step, folder_name)
        for piece in range(pieces):
            yield from self.ranges(self._pieces(folder_name, piece), low + piece * step, step)
        self.folder.delete(folder_name)

    def _sorted_piece(self, files: Files) -> Iterator[tuple[str, pa.Table]]:
        swept = SweptKeys.of(self._read(files, KEYS))
        ended = np.setdiff1d(trial_numbers(self._read(files, "trials")["trial"]), self.dropped)
        for table in self.tables:
            yield table, self._sorted(table, self._read(files, table), swept, ended)

    def _sorted(self, table: str, data: pa.Table, swept: SweptKeys, ended: NDArray[np.uint64]) -> pa.Table:
        order = order_by(data, SORT[table]).to_numpy()
        kept = np.isin(trial_numbers(data["trial"]), ended)
        rows = swept.attach(table, self.keys, data.take(order[kept[order]]))
        return _mark(rows, swept) if table == "trials" else rows

    def _scatter(self, table: str, names: Sequence[RowFile], low: int, step: int, folder_name: str) -> None:
        schema = self._schema(table)
        rows = rowfiles.read(self.folder, names, schema)
        with ExitStack() as stack:
            files = {}
            for block in rowfiles.regrouped(rows, self.memory_bytes // 4):
                pieces = (trial_numbers(block["trial"]) - np.uint64(low)) // np.uint64(step)
                for piece, data in _split(block, pieces):
                    if piece not in files:
                        name = f"{folder_name}/{piece:02d}/{table}{rowfiles.ARROW}"
                        files[piece], _ = stack.enter_context(rowfiles.writer(self.folder, name, schema))
                    rowfiles.append(files[piece], data)
                _release_memory()

    def _pieces(self, folder_name: str, piece: int) -> Files:
        present = self.folder.names(f"{folder_name}/{piece:02d}")
        named = {table: f"{table}{rowfiles.ARROW}" for table in (*self.tables, KEYS)}
        return {
            table: [RowFile(f"{folder_name}/{piece:02d}/{name}")] if name in present else []
            for table, name in named.items()
        }

    def _key_tables(self, plan: PlannedKeys) -> Iterator[pa.Table]:
        trials, first = iter(plan), 0
        while chunk := list(islice(trials, _PLAN_ROWS)):
            swept = key_table(self.keys[: len(chunk[0][1])], chunk)
            indices = pa.array(range(first, first + len(chunk)))
            yield conform(swept.append_column(_INDEX, indices), self._schema(KEYS))
            first += len(chunk)

    def _read(self, files: Files, table: str) -> pa.Table:
        schema = self._schema(table)
        return pa.concat_tables([schema.empty_table(), *rowfiles.read(self.folder, files[table], schema)])

    def _schema(self, table: str) -> pa.Schema:
        # Plain text in scratch files: each piece of a table would repeat its dictionary in full.
        if table == KEYS:
            return key_schema(self.keys).append(pa.field(_INDEX, pa.int64()))
        return plain_text(table_schema(table, self.keys))


def _mark(trials: pa.Table, swept: SweptKeys) -> pa.Table:
    """Sets ``index`` and ``current`` in rows of `trials`, as the plan has them."""
    index = swept.table[_INDEX].take(swept.find(trials["trial"]))
    return replace_column(replace_column(trials, "index", index), "current", index.is_valid())


def _split(data: pa.Table, pieces: NDArray[np.uint64]) -> Iterator[tuple[int, pa.Table]]:
    order = np.argsort(pieces, kind="stable")
    data, pieces = data.take(pa.array(order)), pieces[order]
    numbers, starts = np.unique(pieces, return_index=True)
    for piece, start, stop in zip(numbers, starts, [*starts[1:], len(pieces)], strict=True):
        yield int(piece), data.slice(start, stop - start)


def _release_memory() -> None:
    """Returns unused memory to the system; Arrow's allocator would keep some 50 MB."""
    pa.default_memory_pool().release_unused()
