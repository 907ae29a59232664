"""Writes the files of finished tables: few, of a size that suits other tools, however small the portions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.runs.rowfiles import PARQUET
from orchestrator.runs.storage.base import Fingerprint, Sink, Storage

PART_BYTES = 128 << 20
"""A file of this size or more takes no further rows."""

_GROUP_BYTES = 8 << 20
"""Waiting rows are written as a row group when they have this size in memory."""

_GROUP_ROWS = 1 << 20
"""Most rows per row group."""

_LEVEL = -3
"""Compression level of zstd. Statistics hardly compress: level 1 saves 6 % and takes a quarter longer."""


def write_parts(
    folder: Storage,
    generation: int,
    schemas: Mapping[str, pa.Schema],
    rows: Iterable[tuple[str, pa.Table]],
    part_bytes: int = PART_BYTES,
) -> dict[str, Fingerprint]:
    """Writes the files of one generation.

    Args:
        schemas: schema of each table; a table without rows gets an empty file, except `parameters`.
        rows: pairs of a table's name and its next rows, which have the table's schema.
        part_bytes: approximate size of a file.

    Returns:
        The fingerprints of the files, by name.

    Raises:
        OSError: writing failed; the files of this generation are removed, as far as the disk allows.
    """
    try:
        with ExitStack() as stack:
            parts = {
                table: stack.enter_context(_Parts(folder, table, schema, generation, part_bytes))
                for table, schema in schemas.items()
            }
            for table in [table for table in schemas if table != "parameters"]:
                parts[table].add(schemas[table].empty_table())
            for table, data in rows:
                if data.num_rows:
                    parts[table].add(data)
    except OSError:
        with suppress(OSError):
            _delete(folder, schemas, _prefix(generation))
        raise
    return {name: fingerprint for table in parts.values() for name, fingerprint in table.finished.items()}


def _prefix(generation: int) -> str:
    return f"part-{generation:04d}-"


def _delete(folder: Storage, tables: Iterable[str], prefix: str) -> None:
    for table in tables:
        for name in folder.names(table):
            if name.startswith(prefix):
                folder.delete(f"{table}/{name}")


class _Parts:
    """Writes the rows of one table, in order, into files. Leaving the context finishes the last file.

    Attributes:
        finished: fingerprints of the finished files, by name.
    """

    def __init__(
        self, folder: Storage, table: str, schema: pa.Schema, generation: int, part_bytes: int
    ) -> None:
        self._folder, self._schema, self._part_bytes = folder, schema, part_bytes
        self._prefix = f"{table}/{_prefix(generation)}"
        self._waiting: list[pa.Table] = []
        self._open: tuple[str, pq.ParquetWriter, Sink] | None = None
        self._stack = ExitStack()
        self.finished: dict[str, Fingerprint] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write()
            self._finish()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(self, rows: pa.Table) -> None:
        """Adds rows. An empty table creates a file as well, if there is none yet."""
        self._waiting.append(rows)
        if sum(table.nbytes for table in self._waiting) >= _GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        if self._open is None:
            name = f"{self._prefix}{len(self.finished):05d}{PARQUET}"
            self._open = name, *self._stack.enter_context(_writer(self._folder, name, self._schema))
        _, file, sink = self._open
        file.write_table(pa.concat_tables(self._waiting).unify_dictionaries(), row_group_size=_GROUP_ROWS)
        self._waiting = []
        if sink.fingerprint().size >= self._part_bytes:
            self._finish()

    def _finish(self) -> None:
        if self._open:
            name, _, sink = self._open
            sink.begin_footer()
            self._stack.close()
            self.finished[name], self._open = sink.fingerprint(), None


@contextmanager
def _writer(folder: Storage, name: str, schema: pa.Schema) -> Iterator[tuple[pq.ParquetWriter, Sink]]:
    """Opens a new Parquet file that is written in pieces, each of them a row group."""
    repeating = [field.name for field in schema if field.type != pa.float64()]  # statistics rarely repeat
    options = {
        "compression": "zstd",
        "compression_level": _LEVEL,
        "use_dictionary": repeating,
        "write_page_checksum": True,  # the hash of the footer is in the list of parts
    }
    with folder.create(name) as sink, pq.ParquetWriter(sink, schema, **options) as file:
        yield file, sink
