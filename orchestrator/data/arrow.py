"""Columns from the bytes of a Parquet or CSV file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.data.columns import Columns, ColumnValues
from orchestrator.errors import InputError

_SEPARATORS = (",", ";", "\t", "|", " ")
_LONGEST_HEADER = 1 << 20
_INTEGER = re.compile(r"\s*[+-]?\d{1,999}\s*")


@dataclass(frozen=True)
class Dialect:
    """The format of a CSV file: column separator and decimal point."""

    separator: str = ","
    decimal: str = "."


def read_parquet(content: bytes, dialect: Dialect) -> Columns:  # noqa: ARG001 - one signature for all
    """Returns the columns of a Parquet file; index columns are those named in pandas' metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(pa.BufferReader(content)).read()
    entries = (table.schema.pandas_metadata or {}).get("index_columns", ())
    index = frozenset(name for name in entries if isinstance(name, str))  # a RangeIndex is a mapping
    return Columns(tuple(table.column_names), lambda name: _values(table.column(name)), index)


def read_csv(content: bytes, dialect: Dialect) -> Columns:
    """Returns the columns of a CSV file with a header, in UTF-8.

    An empty field, ``NA``, ``null``, ``nan`` and the like are missing values; in quotes they are text.

    Raises:
        InputError: at ``data.separator``, if the header contains another separator only.
        ValueError: the content is UTF-16.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16, must be UTF-8")
    _check_separator(content, dialect.separator)
    table = _csv_table(content, dialect)

    def values(name: str) -> ColumnValues:
        column = _values(table.column(name))
        return _exact_integers(column, content, dialect, name) if _beyond_int64(column) else column

    return Columns(tuple(table.column_names), values)


def csv_text(content: bytes, dialect: Dialect, name: str) -> list[str]:
    """Returns the text of a CSV file's column as written, row by row."""
    return list(_csv_table(content, dialect, name).column(name).to_pylist())


def _csv_table(content: bytes, dialect: Dialect, text: str | None = None) -> Any:
    """Parses a CSV file; with ``text``, only the column of that name, as text."""
    import pyarrow as pa
    from pyarrow import csv

    converted = csv.ConvertOptions(
        strings_can_be_null=text is None,
        quoted_strings_can_be_null=False,
        decimal_point=dialect.decimal,
        include_columns=None if text is None else [text],
        column_types=None if text is None else {text: pa.string()},
    )
    parsed = csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True)

    def read(threads: bool) -> Any:
        options = csv.ReadOptions(use_threads=threads)
        return csv.read_csv(pa.BufferReader(content), options, parsed, converted)

    try:
        return read(threads=True)
    except pa.ArrowInvalid:
        return _read_naming_row(read)


def _read_naming_row(read: Any) -> Any:
    """Reads in one thread, in which pyarrow's message names the row of a malformed line."""
    try:
        return read(threads=False)
    except Exception as error:
        row = re.search(r"Row #(\d+): ", str(error))
        if row is None:
            raise
        raise ValueError(str(error).replace(row[0], f"data row {int(row[1]) - 1}: ")) from error


def _check_separator(content: bytes, separator: str) -> None:
    """Refuses a header that contains a common separator, but not the configured one."""
    header = content[:_LONGEST_HEADER].lstrip(b"\xef\xbb\xbf\r\n").splitlines()[:1]
    line = header[0].decode(errors="replace") if header else ""
    if not line.replace("\t", " ").isprintable():
        return  # not text
    used = next((other for other in _SEPARATORS if other in line), None)
    if used is not None and separator not in line:
        raise InputError.at(
            "data.separator",
            f"is {json.dumps(separator)}, which the header {line[:40]!r} does not contain; "
            f"set separator: {json.dumps(used)}",
        )


def _values(column: Any) -> ColumnValues:
    """Converts an Arrow column to ``ColumnValues``."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        # decoded first: otherwise a missing entry would become one of the dictionary's values
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_decimal(kind):
        return _decimals(column)
    if pa.types.is_null(kind) or (pa.types.is_boolean(kind) and column.null_count):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    return np.asarray(column.to_numpy())


def _decimals(column: Any) -> ColumnValues:
    """Converts decimals of scale 0 without gaps to whole numbers, others to the nearest float64."""
    import pyarrow as pa

    if column.type.scale > 0 or column.null_count:
        return np.asarray(column.cast(pa.string()).cast(pa.float64()).to_numpy())
    return _whole_numbers([int(value) for value in column.to_pylist()])


def _whole_numbers(values: list[int]) -> ColumnValues:
    """Returns an int64 array if all values fit, else an object array of Python integers."""
    fits = all(-(2**63) <= value < 2**63 for value in values)
    return np.array(values, np.int64 if fits else object)


def _beyond_int64(column: ColumnValues) -> bool:
    """Returns whether pyarrow may have read whole numbers as float64 because they exceed int64."""
    if column.dtype.kind != "f" or not np.isfinite(column).all():
        return False
    return bool(len(column) and np.abs(column).max() >= 2.0**63)


def _exact_integers(column: ColumnValues, content: bytes, dialect: Dialect, name: str) -> ColumnValues:
    """Returns the column as Python integers if its text is whole numbers, else unchanged."""
    text = csv_text(content, dialect, name)
    return _whole_numbers([int(value) for value in text]) if all(map(_INTEGER.fullmatch, text)) else column
