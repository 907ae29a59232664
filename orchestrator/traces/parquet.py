"""Parquet in and out of a run's folder, as streams of tables of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.traces.arrow import conform
from orchestrator.traces.storage import FileRecord, Sink, Storage

GROUP_ROWS = 1 << 17
"""Rows of a row group, at least, where there are as many."""

_BATCH_BYTES = 2 << 20
"""Of rows that are read at once, as they are encoded before their compression."""

_BATCH_ROWS = 1 << 15


def write(folder: Storage, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> FileRecord:
    """Writes a file that is not kept for long, durably; returns what a marker must say of it."""
    with writer(folder, name, schema, quick=True) as (file, sink):
        for table in regrouped(tables, GROUP_ROWS, lambda table: table.num_rows):
            append(file, table)
    return sink.record()


def append(file: pq.ParquetWriter, table: pa.Table) -> None:
    """Writes rows as a row group, or several if there are very many."""
    file.write_table(table.unify_dictionaries(), row_group_size=8 * GROUP_ROWS)


@contextmanager
def writer(
    folder: Storage, name: str, schema: pa.Schema, quick: bool = False
) -> Iterator[tuple[pq.ParquetWriter, Sink]]:
    """A new file to be written piece by piece; each piece is a row group.

    Args:
        quick: whether it may be somewhat larger if only that takes less time.
    """
    repeating = [field.name for field in schema if field.type != pa.float64()]  # a statistic rarely does
    options = {"compression": "lz4" if quick else "zstd", "use_dictionary": repeating}
    with folder.create(name) as sink, pq.ParquetWriter(sink, schema, **options) as file:
        yield file, sink


def read(folder: Storage, names: Iterable[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of files in order, as small tables of ``schema``."""
    for name in names:
        far = folder.filesystem is not None  # a request for each column would take its time there
        with pq.ParquetFile(folder.source(name), filesystem=folder.filesystem, pre_buffer=far) as file:
            present = set(file.schema_arrow.names)
            wanted = [name for name in schema.names if name in present]
            for batch in file.iter_batches(_batch_rows(file.metadata), columns=wanted):
                yield conform(pa.Table.from_batches([batch]), schema)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


def count(folder: Storage, names: Iterable[str]) -> int:
    """Number of rows in files."""
    return sum(pq.read_metadata(folder.source(name), filesystem=folder.filesystem).num_rows for name in names)


def memory(folder: Storage, names: Iterable[str], schema: pa.Schema) -> int:
    """Bytes that the rows of files take as tables of ``schema``, estimated from the first rows of each."""
    total = 0.0
    for name in names:
        with pq.ParquetFile(folder.source(name), filesystem=folder.filesystem) as file:
            if first := next(file.iter_batches(1024), None):
                sample = conform(pa.Table.from_batches([first]), schema)
                total += sample.nbytes / sample.num_rows * file.metadata.num_rows
    return round(total)


def regrouped(
    tables: Iterable[pa.Table], least: int, measure: Callable[[pa.Table], int]
) -> Iterator[pa.Table]:
    """Joins tables until they measure ``least`` together; what is left at the end may be less."""
    pending: list[pa.Table] = []
    size = 0
    for table in tables:
        pending.append(table)
        size += measure(table)
        if size >= least:
            yield pa.concat_tables(pending)
            pending, size = [], 0
    if pending:
        yield pa.concat_tables(pending)
