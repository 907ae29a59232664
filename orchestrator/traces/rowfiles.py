"""Rows in a run's folder, as streams of tables of bounded size.

Finished tables are Parquet. Commits and scratch files, which few read and often only once, are Arrow's own
format: the columns as they lie in memory, several times as fast to write and to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc
from pyarrow.dataset import Dataset, dataset

from orchestrator.errors import RunDirectoryError
from orchestrator.traces.arrow import conform, plain
from orchestrator.traces.storage import FileRecord, Sink, Storage

ARROW, PARQUET = ".arrow", ".parquet"

_BATCH_BYTES = 4 << 20
"""Of rows that are written at once; what is read from Parquet is measured before its compression."""

_BATCH_ROWS = 1 << 15


def write(folder: Storage, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> FileRecord:
    """Writes an Arrow file, durably; returns what a marker must say of it."""
    with writer(folder, name, schema) as (file, sink):
        for table in regrouped(tables, _BATCH_BYTES):
            append(file, table)
    return sink.record()


@contextmanager
def writer(folder: Storage, name: str, schema: pa.Schema) -> Iterator[tuple[pa.RecordBatchFileWriter, Sink]]:
    """A new Arrow file to be written piece by piece. It holds text: one dictionary would have to fit all."""
    with folder.create(name) as sink, ipc.new_file(sink, plain(schema)) as file:
        yield file, sink


def append(file: pa.RecordBatchFileWriter, table: pa.Table) -> None:
    """Writes rows as one batch, or several if they are very many."""
    rows = max(1, _BATCH_BYTES * table.num_rows // max(table.nbytes, 1))
    file.write_table(conform(table, plain(table.schema)).combine_chunks(), rows)


def read(folder: Storage, names: Iterable[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of files in order, as small tables of ``schema``.

    Raises:
        RunDirectoryError: a file is damaged.
    """
    for name in names:
        batches = _read_arrow if name.endswith(ARROW) else _read_parquet
        try:
            for batch in batches(folder, name, schema.names):
                yield conform(pa.Table.from_batches([batch]), schema)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and not _is_of_content(folder, error):
                raise
            raise RunDirectoryError(
                f"{folder.path(name)} is damaged; a commit is computed anew if the sweep is run again, "
                "a finished part must be restored from a copy"
            ) from error


def _is_of_content(folder: Storage, error: OSError) -> bool:
    """Whether pyarrow could not make sense of a local file's bytes. What the system refuses has a number."""
    return not (folder.filesystem or isinstance(error, FileNotFoundError) or error.errno)


def check(folder: Storage, names: Iterable[str], schema: pa.Schema) -> None:
    """Reads files through. Raises RunDirectoryError if one is missing or damaged; the message names it."""
    for name in names:
        if folder.size(name) is None:
            raise RunDirectoryError(
                f"{folder.path(name)} is missing, although it is listed; restore it from a copy"
            )
        for _ in read(folder, [name], schema):
            pass


def _read_arrow(folder: Storage, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _opened(folder, name) as source:
        file = ipc.open_file(source)
        wanted = [place for place, column in enumerate(file.schema.names) if column in columns]
        if len(wanted) < len(file.schema):
            file = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=wanted))
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _opened(folder: Storage, name: str) -> pa.NativeFile:
    source = folder.source(name)
    return folder.filesystem.open_input_file(source) if folder.filesystem else pa.OSFile(source)


def _read_parquet(folder: Storage, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    far = folder.filesystem is not None  # a request for each column would take its time there
    with pq.ParquetFile(folder.source(name), filesystem=folder.filesystem, pre_buffer=far) as file:
        present = set(file.schema_arrow.names)
        wanted = [column for column in columns if column in present]
        yield from file.iter_batches(_batch_rows(file.metadata), columns=wanted)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


def columns(folder: Storage, names: Iterable[str]) -> frozenset[str]:
    """Names of the columns that all of these files have; none if there are no files."""
    found = [frozenset(_columns(folder, name)) for name in names]
    return frozenset.intersection(*found) if found else frozenset()


def _columns(folder: Storage, name: str) -> list[str]:
    if name.endswith(ARROW):
        with _opened(folder, name) as source:
            return list(ipc.open_file(source).schema.names)
    with pq.ParquetFile(folder.source(name), filesystem=folder.filesystem) as file:
        return list(file.schema_arrow.names)


def count(folder: Storage, names: Iterable[str]) -> int:
    """Number of rows in files of a table."""
    return joined(folder, names, pa.schema([])).count_rows()


def memory(folder: Storage, names: Iterable[str]) -> int:
    """Bytes that the rows of files take in memory, estimated."""
    return sum(_memory(folder, name) for name in names)


def _memory(folder: Storage, name: str) -> int:
    if name.endswith(ARROW):
        return folder.size(name) or 0
    with pq.ParquetFile(folder.source(name), filesystem=folder.filesystem) as file:
        first = next(file.iter_batches(1024), None)
        return 0 if first is None else first.nbytes * file.metadata.num_rows // first.num_rows


def joined(folder: Storage, names: Iterable[str], schema: pa.Schema) -> Dataset:
    """Files as an Arrow dataset: only what is asked for is fetched."""
    kinds: dict[str, list[str]] = {"parquet": [], "ipc": []}
    for name in names:
        kinds["ipc" if name.endswith(ARROW) else "parquet"].append(folder.source(name))
    return dataset([dataset(files, schema, kind, folder.filesystem) for kind, files in kinds.items()])


def regrouped(tables: Iterable[pa.Table], least: int) -> Iterator[pa.Table]:
    """Joins tables until they take ``least`` bytes together; what is left at the end may be less."""
    pending: list[pa.Table] = []
    size = 0
    for table in tables:
        pending.append(table)
        size += table.nbytes
        if size >= least:
            yield pa.concat_tables(pending)
            pending, size = [], 0
    if pending:
        yield pa.concat_tables(pending)
