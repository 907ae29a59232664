"""Files of rows, written and read as streams of tables of bounded size.

Finished tables are in Parquet. Commits and scratch files, which have few readers, are in Arrow's own format:
columns as they are in memory, several times as fast to write and to read.

Damage is noticed when a file is read. Parquet pages have checksums, and the hash of a Parquet footer is in
the list of parts. The file of a commit has no checksums inside, so it is hashed when it is opened.
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
from orchestrator.runs.arrow import conform, plain_text
from orchestrator.runs.storage.base import Fingerprint, RowFile, Sink, Storage

ARROW, PARQUET = ".arrow", ".parquet"

_BATCH_BYTES = 4 << 20
"""Size of a batch of rows that is written or read; in Parquet files, the size before compression."""

_BATCH_ROWS = 1 << 15
"""Most rows per batch read from Parquet."""

_FOOTER_BYTES = 1 << 16
"""Size of the first read from the end of a Parquet file; most footers fit."""

_WHOLE_BYTES = 8 << 20
"""Largest file of a commit that is read as a whole."""

_FORMATS = {
    "parquet": ParquetFileFormat(
        default_fragment_scan_options=ParquetFragmentScanOptions(page_checksum_verification=True)
    ),
    "ipc": "ipc",
}
"""Format of the files of a dataset, by kind."""


def write(folder: Storage, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> Fingerprint:
    """Writes an Arrow file durably; returns its fingerprint, for a marker."""
    with writer(folder, name, schema) as (file, sink):
        for table in regrouped(tables, _BATCH_BYTES):
            append(file, table)
    return sink.fingerprint()


@contextmanager
def writer(folder: Storage, name: str, schema: pa.Schema) -> Iterator[tuple[pa.RecordBatchFileWriter, Sink]]:
    """Opens a new Arrow file that is written in pieces.

    Text has no dictionaries in it: the pieces would have to share one dictionary.
    """
    with folder.create(name) as sink, ipc.new_file(sink, plain_text(schema)) as file:
        yield file, sink


def append(file: pa.RecordBatchFileWriter, table: pa.Table) -> None:
    """Writes rows as one batch, or as several if they exceed the size of a batch."""
    rows = max(1, _BATCH_BYTES * table.num_rows // max(table.nbytes, 1))
    file.write_table(conform(table, plain_text(table.schema)).combine_chunks(), rows)


def read(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields the rows of files in order, as small tables of ``schema``.

    Raises:
        RunDirectoryError: a file is damaged.
    """
    for file in files:
        batches = _read_arrow if file.name.endswith(ARROW) else _read_parquet
        with naming_damage(folder, file):
            for batch in batches(folder, file, schema.names):
                yield conform(pa.Table.from_batches([batch]), schema)


@contextmanager
def naming_damage(folder: Storage, file: RowFile) -> Iterator[None]:
    """Turns pyarrow's errors about a damaged file into a RunDirectoryError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and not _is_damage(folder, file, error):
            raise
        raise _damaged(folder, file) from error


def _damaged(folder: Storage, file: RowFile) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder.path(file.name)} is damaged; a commit is computed again when the sweep is run again, "
        "a finished part must be restored from a copy"
    )


def _is_damage(folder: Storage, file: RowFile, error: OSError) -> bool:
    """Returns whether an error means damaged content.

    Errors of the operating system have a number. Errors of a store do not tell, so the file is hashed.
    """
    if isinstance(error, FileNotFoundError) or error.errno:
        return False
    return folder.filesystem is None or folder.fingerprint(file.name) != file.fingerprint


def check(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> None:
    """Reads files to their end. Raises RunDirectoryError, naming the file, if one is missing or damaged."""
    for file in files:
        if folder.size(file.name) is None:
            raise RunDirectoryError(
                f"{folder.path(file.name)} is missing, although it is listed; restore it from a copy"
            )
        for _ in read(folder, [file], schema):
            pass


def _read_arrow(folder: Storage, file: RowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _open_checked(folder, file) as source:
        content = ipc.open_file(source)
        indices = [index for index, column in enumerate(content.schema.names) if column in columns]
        if len(indices) < len(content.schema):
            content = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=indices))
        for number in range(content.num_record_batches):
            yield content.get_batch(number)


def _open_checked(folder: Storage, file: RowFile) -> pa.NativeFile:
    """Opens an Arrow file after checking its hash; a small file is read only once for both."""
    if file.fingerprint is None:
        return _open(folder, file)
    if file.fingerprint.size > _WHOLE_BYTES:
        _check_content(folder, file)
        return _open(folder, file)
    with _open(folder, file) as source:
        content = source.read()
    if Fingerprint(len(content), hashlib.sha256(content).hexdigest()) != file.fingerprint:
        raise _damaged(folder, file)
    return pa.BufferReader(content)


def _check_content(folder: Storage, file: RowFile) -> None:
    if file.fingerprint and (actual := folder.fingerprint(file.name)) != file.fingerprint:
        if actual is None:
            raise FileNotFoundError(file.name)
        raise _damaged(folder, file)


def _open(folder: Storage, file: RowFile) -> pa.NativeFile:
    source = folder.source(file.name)
    return folder.filesystem.open_input_file(source) if folder.filesystem else pa.OSFile(source)


def _read_parquet(folder: Storage, file: RowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _open_parquet(folder, file) as content:
        present = set(content.schema_arrow.names)
        names = [column for column in columns if column in present]
        rows = 0
        for batch in content.iter_batches(_batch_rows(content.metadata), columns=names):
            rows += batch.num_rows
            _check_text(batch)
            yield batch
        if rows != content.metadata.num_rows:
            raise _damaged(folder, file)


def _check_text(batch: pa.RecordBatch) -> None:
    """Raises ArrowInvalid if an index of a text column is beyond the end of its dictionary.

    The length of a dictionary is in a page header, which no checksum covers. Other damage of a header is
    noticed, as the header no longer fits the page or the rows.
    """
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column.validate(full=True)


@contextmanager
def _open_parquet(folder: Storage, file: RowFile) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file after checking its footer; pages are checked when they are read."""
    remote = folder.filesystem is not None  # buffered there, as a request per column would be slow
    with _open(folder, file) as source:
        metadata = pq.read_metadata(pa.BufferReader(_footer(folder, file, source)))
        with pq.ParquetFile(
            source, metadata=metadata, pre_buffer=remote, page_checksum_verification=True
        ) as content:
            yield content


def _footer(folder: Storage, file: RowFile, source: pa.NativeFile) -> bytes:
    """Reads the footer of a Parquet file (metadata, their length, "PAR1") and checks its hash."""
    size = source.size()
    end = source.read_at(min(size, _FOOTER_BYTES), max(0, size - _FOOTER_BYTES))
    length = int.from_bytes(end[-8:-4], "little") + 8
    if not 8 < length <= size:
        raise _damaged(folder, file)
    footer = end[-length:] if length <= len(end) else source.read_at(length, size - length)
    expected = file.fingerprint.footer if file.fingerprint else ""
    if expected and hashlib.sha256(footer).hexdigest() != expected:
        raise _damaged(folder, file)
    return bytes(footer)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


def columns(folder: Storage, files: Iterable[RowFile]) -> frozenset[str]:
    """Returns the names of the columns that all of these files have; none if there are no files."""
    names = [frozenset(_columns(folder, file)) for file in files]
    return frozenset.intersection(*names) if names else frozenset()


def _columns(folder: Storage, file: RowFile) -> list[str]:
    with naming_damage(folder, file):
        if file.name.endswith(ARROW):
            with _open_checked(folder, file) as source:
                return list(ipc.open_file(source).schema.names)
        with _open_parquet(folder, file) as content:
            return list(content.schema_arrow.names)


def count(folder: Storage, files: Iterable[RowFile]) -> int:
    """Counts the rows in files of a table."""
    return as_dataset(folder, files, pa.schema([])).count_rows()


def memory(folder: Storage, files: Iterable[RowFile]) -> int:
    """Estimates the size of the rows of files in memory, in bytes."""
    return sum(_memory(folder, file) for file in files)


def _memory(folder: Storage, file: RowFile) -> int:
    if file.name.endswith(ARROW):
        return folder.size(file.name) or 0
    with naming_damage(folder, file), _open_parquet(folder, file) as content:
        first = next(content.iter_batches(1024), None)
        return 0 if first is None else first.nbytes * content.metadata.num_rows // first.num_rows


def as_dataset(folder: Storage, files: Iterable[RowFile], schema: pa.Schema) -> Dataset:
    """Opens files as an Arrow dataset, which checks the pages that it reads and reads only what a query
    needs.

    Text columns have no dictionaries: an index beyond the end of a dictionary is then noticed.
    """
    kinds: dict[str, list[str]] = {"parquet": [], "ipc": []}
    for file in files:
        kinds["ipc" if file.name.endswith(ARROW) else "parquet"].append(folder.source(file.name))
        _check_hashes(folder, file)
    return dataset(
        [dataset(names, schema, _FORMATS[kind], folder.filesystem) for kind, names in kinds.items()]
    )


def _check_hashes(folder: Storage, file: RowFile) -> None:
    """Checks the hashes that Arrow's dataset does not check: of an Arrow file, of a Parquet footer."""
    with naming_damage(folder, file):
        if file.name.endswith(ARROW):
            _check_content(folder, file)
        else:
            with _open(folder, file) as source:
                _footer(folder, file, source)


def regrouped(tables: Iterable[pa.Table], min_bytes: int) -> Iterator[pa.Table]:
    """Joins consecutive tables into tables of at least ``min_bytes``; the last one may be smaller."""
    pending: list[pa.Table] = []
    size = 0
    for table in tables:
        pending.append(table)
        size += table.nbytes
        if size >= min_bytes:
            yield pa.concat_tables(pending)
            pending, size = [], 0
    if pending:
        yield pa.concat_tables(pending)
