"""Rows in a run's folder, as streams of tables of bounded size.

Finished tables are Parquet. Commits and scratch files, which few read and often only once, are Arrow's own
format: the columns as they lie in memory, several times as fast to write and to read.

Nothing is read that was not written: pages of Parquet have checksums, its footer has a hash in the list of
parts, and a commit's file, which has no checksums inside, is hashed when it is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc
from pyarrow.dataset import Dataset, ParquetFileFormat, ParquetFragmentScanOptions, dataset

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.arrow import conform, plain
from orchestrator.runs.storage.base import FileRecord, RowFile, Sink, Storage

ARROW, PARQUET = ".arrow", ".parquet"

_BATCH_BYTES = 4 << 20
"""Of rows that are written at once; what is read from Parquet is measured before its compression."""

_BATCH_ROWS = 1 << 15

_FOOTER_BYTES = 1 << 16
"""Read at once from the end of a Parquet file: most footers fit."""

_AT_ONCE_BYTES = 8 << 20
"""A commit's file up to this size is read as a whole."""

_FORMATS = {
    "parquet": ParquetFileFormat(
        default_fragment_scan_options=ParquetFragmentScanOptions(page_checksum_verification=True)
    ),
    "ipc": "ipc",
}
"""How the files of a dataset are read."""


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


def read(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of files in order, as small tables of ``schema``.

    Raises:
        RunDirectoryError: a file is damaged.
    """
    for file in files:
        batches = _read_arrow if file.name.endswith(ARROW) else _read_parquet
        with named(folder, file):
            for batch in batches(folder, file, schema.names):
                yield conform(pa.Table.from_batches([batch]), schema)


@contextmanager
def named(folder: Storage, file: RowFile) -> Iterator[None]:
    """Turns what pyarrow says of a damaged file into a RunDirectoryError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and not _is_of_content(folder, file, error):
            raise
        raise _damaged(folder, file) from error


def _damaged(folder: Storage, file: RowFile) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder.path(file.name)} is damaged; a commit is computed anew if the sweep is run again, "
        "a finished part must be restored from a copy"
    )


def _is_of_content(folder: Storage, file: RowFile, error: OSError) -> bool:
    """Whether pyarrow could not make sense of a file's bytes. What the system refuses has a number; of a
    store only the file itself can tell."""
    if isinstance(error, FileNotFoundError) or error.errno:
        return False
    return folder.filesystem is None or folder.record(file.name) != file.record


def check(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> None:
    """Reads files through. Raises RunDirectoryError if one is missing or damaged; the message names it."""
    for file in files:
        if folder.size(file.name) is None:
            raise RunDirectoryError(
                f"{folder.path(file.name)} is missing, although it is listed; restore it from a copy"
            )
        for _ in read(folder, [file], schema):
            pass


def _read_arrow(folder: Storage, file: RowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _checked(folder, file) as source:
        content = ipc.open_file(source)
        wanted = [place for place, column in enumerate(content.schema.names) if column in columns]
        if len(wanted) < len(content.schema):
            content = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=wanted))
        for number in range(content.num_record_batches):
            yield content.get_batch(number)


def _checked(folder: Storage, file: RowFile) -> pa.NativeFile:
    """An Arrow file whose hash is the listed one; a small one is fetched once and for all."""
    if file.record is None:
        return _opened(folder, file)
    if file.record.size > _AT_ONCE_BYTES:
        _check_content(folder, file)
        return _opened(folder, file)
    if (content := folder.read(file.name)) is None:
        raise FileNotFoundError(file.name)
    if FileRecord(len(content), hashlib.sha256(content).hexdigest()) != file.record:
        raise _damaged(folder, file)
    return pa.BufferReader(content)


def _check_content(folder: Storage, file: RowFile) -> None:
    if file.record and (found := folder.record(file.name)) != file.record:
        if found is None:
            raise FileNotFoundError(file.name)
        raise _damaged(folder, file)


def _opened(folder: Storage, file: RowFile) -> pa.NativeFile:
    source = folder.source(file.name)
    return folder.filesystem.open_input_file(source) if folder.filesystem else pa.OSFile(source)


def _read_parquet(folder: Storage, file: RowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _parquet(folder, file) as content:
        present = set(content.schema_arrow.names)
        wanted = [column for column in columns if column in present]
        rows = 0
        for batch in content.iter_batches(_batch_rows(content.metadata), columns=wanted):
            rows += batch.num_rows
            _check_text(batch)
            yield batch
        if rows != content.metadata.num_rows:
            raise _damaged(folder, file)


def _check_text(batch: pa.RecordBatch) -> None:
    """Raises ArrowInvalid if text is not in its dictionary: how long that is stands in a page's header, which
    no checksum covers. What else stands there is noticed when it does not fit the page or the rows."""
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column.validate(full=True)


@contextmanager
def _parquet(folder: Storage, file: RowFile) -> Iterator[pq.ParquetFile]:
    """A Parquet file, its footer checked, that checks its pages."""
    far = folder.filesystem is not None  # a request for each column would take its time there
    with _opened(folder, file) as source:
        metadata = pq.read_metadata(pa.BufferReader(_footer(folder, file, source)))
        with pq.ParquetFile(
            source, metadata=metadata, pre_buffer=far, page_checksum_verification=True
        ) as content:
            yield content


def _footer(folder: Storage, file: RowFile, source: pa.NativeFile) -> bytes:
    """Metadata, their length and "PAR1", as they were written."""
    size = source.size()
    end = source.read_at(min(size, _FOOTER_BYTES), max(0, size - _FOOTER_BYTES))
    length = int.from_bytes(end[-8:-4], "little") + 8
    if not 8 < length <= size:
        raise _damaged(folder, file)
    footer = end[-length:] if length <= len(end) else source.read_at(length, size - length)
    known = file.record.footer if file.record else ""
    if known and hashlib.sha256(footer).hexdigest() != known:
        raise _damaged(folder, file)
    return bytes(footer)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


def columns(folder: Storage, files: Iterable[RowFile]) -> frozenset[str]:
    """Names of the columns that all of these files have; none if there are no files."""
    found = [frozenset(_columns(folder, file)) for file in files]
    return frozenset.intersection(*found) if found else frozenset()


def _columns(folder: Storage, file: RowFile) -> list[str]:
    with named(folder, file):
        if file.name.endswith(ARROW):
            with _checked(folder, file) as source:
                return list(ipc.open_file(source).schema.names)
        with _parquet(folder, file) as content:
            return list(content.schema_arrow.names)


def count(folder: Storage, files: Iterable[RowFile]) -> int:
    """Number of rows in files of a table."""
    return joined(folder, files, pa.schema([])).count_rows()


def memory(folder: Storage, files: Iterable[RowFile]) -> int:
    """Bytes that the rows of files take in memory, estimated."""
    return sum(_memory(folder, file) for file in files)


def _memory(folder: Storage, file: RowFile) -> int:
    if file.name.endswith(ARROW):
        return folder.size(file.name) or 0
    with named(folder, file), _parquet(folder, file) as content:
        first = next(content.iter_batches(1024), None)
        return 0 if first is None else first.nbytes * content.metadata.num_rows // first.num_rows


def joined(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> Dataset:
    """Files as an Arrow dataset that checks what it reads: only what is asked for is fetched.

    Text is text there, without dictionaries: what is not in its dictionary is then noticed.
    """
    kinds: dict[str, list[str]] = {"parquet": [], "ipc": []}
    for file in files:
        kinds["ipc" if file.name.endswith(ARROW) else "parquet"].append(folder.source(file.name))
        _check_opened(folder, file)
    return dataset(
        [dataset(names, schema, _FORMATS[kind], folder.filesystem) for kind, names in kinds.items()]
    )


def _check_opened(folder: Storage, file: RowFile) -> None:
    """Checks of a file what its own format does not."""
    with named(folder, file):
        if file.name.endswith(ARROW):
            _check_content(folder, file)
        else:
            with _opened(folder, file) as source:
                _footer(folder, file, source)


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
