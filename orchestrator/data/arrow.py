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
_WHOLE = re.compile(r"\s*[+-]?\d{1,999}\s*")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written: what separates its columns, and the decimal point of its numbers."""

    separator: str = ","
    decimal: str = "."


def read_parquet(content: bytes, dialect: Dialect) -> Columns:  # noqa: ARG001 - one signature for all
    """The columns of a Parquet file; its index columns are those that pandas' metadata name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(pa.BufferReader(content)).read()
    named = (table.schema.pandas_metadata or {}).get("index_columns", ())
    index = frozenset(name for name in named if isinstance(name, str))  # a RangeIndex is a mapping, no column
    return Columns(tuple(table.column_names), lambda name: _values(table.column(name)), index)


def read_csv(content: bytes, dialect: Dialect) -> Columns:
    """The columns of a CSV file with a header, in UTF-8.

    Nothing, ``NA``, ``null``, ``nan`` and the like are missing values; between quotes they are text.

    Raises:
        InputError: at ``data.separator``, another one separates the columns.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16, must be UTF-8")
    _check_separator(content, dialect.separator)
    table = _csv(content, dialect)

    def values(name: str) -> ColumnValues:
        found = _values(table.column(name))
        return _exact(found, content, dialect, name) if _beyond_int64(found) else found

    return Columns(tuple(table.column_names), values)


def csv_text(content: bytes, dialect: Dialect, name: str) -> list[str]:
    """What stands in a column of a CSV file, row by row."""
    return list(_csv(content, dialect, name).column(name).to_pylist())


def _csv(content: bytes, dialect: Dialect, text: str | None = None) -> Any:
    """The table; with ``text``, that column alone, as it is written."""
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
        return _naming_the_row(read)


def _naming_the_row(read: Any) -> Any:
    """The table; a line that does not fit is named by its row, which pyarrow knows in one thread only."""
    try:
        return read(threads=False)
    except Exception as error:
        row = re.search(r"Row #(\d+): ", str(error))
        if row is None:
            raise
        raise ValueError(str(error).replace(row[0], f"data row {int(row[1]) - 1}: ")) from error


def _check_separator(content: bytes, separator: str) -> None:
    """Refuses a header that holds a separator, but not the one that was asked for."""
    header = content[:_LONGEST_HEADER].lstrip(b"\xef\xbb\xbf\r\n").splitlines()[:1]
    line = header[0].decode(errors="replace") if header else ""
    if not line.replace("\t", " ").isprintable():
        return  # no text
    there = next((other for other in _SEPARATORS if other in line), None)
    if there is not None and separator not in line:
        raise InputError.at(
            "data.separator",
            f"is {json.dumps(separator)}, which the header {line[:40]!r} does not hold; "
            f"set separator: {json.dumps(there)}",
        )


def _values(column: Any) -> ColumnValues:
    """A column of Arrow's as ``ColumnValues`` says."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        # decoded first: a missing entry of a dictionary would come out as one of its values
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_decimal(kind):
        return _decimals(column)
    if pa.types.is_null(kind) or (pa.types.is_boolean(kind) and column.null_count):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    return np.asarray(column.to_numpy())


def _decimals(column: Any) -> ColumnValues:
    """Decimals without digits after the point as whole numbers, others as the nearest float64."""
    import pyarrow as pa

    if column.type.scale > 0 or column.null_count:
        return np.asarray(column.cast(pa.string()).cast(pa.float64()).to_numpy())
    return _whole_numbers([int(value) for value in column.to_pylist()])


def _whole_numbers(values: list[int]) -> ColumnValues:
    """int64 where it can hold them, else Python integers."""
    held = all(-(2**63) <= value < 2**63 for value in values)
    return np.array(values, np.int64 if held else object)


def _beyond_int64(column: ColumnValues) -> bool:
    """Whether pyarrow may have read whole numbers as float64 because int64 cannot hold them."""
    if column.dtype.kind != "f" or not np.isfinite(column).all():
        return False
    return bool(len(column) and np.abs(column).max() >= 2.0**63)


def _exact(column: ColumnValues, content: bytes, dialect: Dialect, name: str) -> ColumnValues:
    """The column as Python integers, if it is written as whole numbers."""
    text = csv_text(content, dialect, name)
    return _whole_numbers([int(one) for one in text]) if all(map(_WHOLE.fullmatch, text)) else column
