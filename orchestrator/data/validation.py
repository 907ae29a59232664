"""Validation of a file's columns as inputs, target or weights, and their conversion to numbers.

Messages count *data rows* from 1, below the header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.data.arrow import Dialect
from orchestrator.data.columns import ColumnValues, listed, quoted
from orchestrator.errors import Fault
from orchestrator.groups import Array

TargetKind = Literal["class", "value"]

_MOST_FAULTS = 10
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[.,'_\s]")
_COMMA_IS_POINT = str.maketrans(".,", ",.")
_LEAST_BITS = 24
"""Whole numbers are refused if their range keeps fewer bits in float64; single precision has as many."""


def input_faults(inputs: Mapping[str, ColumnValues], dialect: Dialect | None) -> list[Fault]:
    """Returns the faults of the input columns; ``dialect`` is that of a CSV file, None for other formats."""
    reasons = {name: reason for name, column in inputs.items() if (reason := _unusable(column, dialect))}
    faults = [Fault("data.inputs", f"column {quoted(name)} {reason}") for name, reason in reasons.items()]
    if len(faults) > _MOST_FAULTS:
        rest = [*reasons][_MOST_FAULTS:]
        faults[_MOST_FAULTS:] = [Fault("data.inputs", f"cannot be used either: columns {listed(rest)}")]
    return faults


def weight_faults(weights: ColumnValues | None, dialect: Dialect | None) -> list[Fault]:
    """Returns the faults of the column of weights."""
    if weights is None:
        return []
    reason = "is a matrix, must be one column" if weights.ndim > 1 else _unusable(weights, dialect)
    if not reason and (weights < 0).any():
        reason = f"is negative, first in {_first_row(weights < 0)}"
    if not reason and not weights.any():
        reason = "is all zero"
    return [Fault("data.weights", f"the column {reason}")] if reason else []


def target_faults(
    target: ColumnValues,
    kind: TargetKind | None,
    dialect: Dialect | None,
    written: Callable[[int], str | None],
) -> list[Fault]:
    """Returns the faults of the target.

    Args:
        target: the column.
        kind: whether it holds classes or values; None: its dtype decides.
        dialect: the dialect of a CSV file, None for other formats.
        written: returns the text of a CSV file in a row, counted from 0; None for other formats.
    """
    if target.ndim > 1:
        reason: str | None = "is a matrix, must be one column"
    elif len(target) and _holds_values(target, kind):
        reason = _unusable(target, dialect)
    else:
        reason = _unclassifiable(target, written)
    return [Fault("data.target", f"the column {reason}")] if reason else []


def encoded(target: ColumnValues, kind: TargetKind | None) -> tuple[Array, tuple[str, ...]]:
    """Returns class indices and the names of the classes, or values and no names."""
    if _holds_values(target, kind):
        return floats(target), ()
    names, index = np.unique(target, return_inverse=True)
    return index.astype(np.float64), tuple(_class_name(name) for name in names)


def other_classes(target: ColumnValues, kind: TargetKind | None) -> int | None:
    """Returns ``Dataset.other_classes``: the number of classes with the other kind of target."""
    if not _numeric(target) or target.dtype.kind == "b" or _fractional(target).any():
        return None
    if not _holds_values(target, kind):
        return 0
    classes = len(np.unique(target))
    return classes if classes > 1 else None


def floats(column: ColumnValues) -> Array:
    """Returns the numbers of a column as float64."""
    with np.errstate(over="ignore"):  # of longdouble; infinite values are refused
        return np.asarray(column, np.float64)


def _holds_values(target: ColumnValues, kind: TargetKind | None) -> bool:
    return kind == "value" or (kind is None and target.dtype.kind == "f")


def _numeric(column: ColumnValues) -> bool:
    """Returns whether a column holds numbers or booleans; an object array may hold Python integers."""
    if column.dtype.kind == "O":
        return len(column) > 0 and all(type(value) is int for value in column)
    return column.dtype.kind in "biuf"


def _unusable(column: ColumnValues, dialect: Dialect | None) -> str | None:
    """Returns why a column cannot be used as finite numbers, or None."""
    if len(column) == 0:
        return "has no rows"
    if not _numeric(column):
        return _not_numeric(column, dialect)
    bad = ~np.isfinite(floats(column))
    if bad.any():
        return f"is NaN, missing or infinite, first in {_first_row(bad)}"
    return _indistinguishable(column)


def _not_numeric(column: ColumnValues, dialect: Dialect | None) -> str:
    """Returns the first value of a column that is not a number."""
    present = [(row, value) for row, value in enumerate(column) if value is not None]
    if not present:
        return f"is missing, first in {_row_label(0)}"
    for row, value in present:
        if not (isinstance(value, str) and _is_number(value, dialect)):
            return f"is not numeric: {quoted(value)} in {_row_label(row)}{_separator_hint(value, dialect)}"
    row, value = present[0]
    return f"holds text, not numbers: {quoted(value)} in {_row_label(row)}"


def _is_number(text: str, dialect: Dialect | None) -> bool:
    if dialect is not None and dialect.decimal == ",":
        text = text.translate(_COMMA_IS_POINT)
    return _NUMBER.fullmatch(text.strip()) is not None


def _separator_hint(value: Any, dialect: Dialect | None) -> str:
    """Returns what to do about a number with thousands separators or a decimal comma; else an empty text."""
    if dialect is None or not _NUMBER.fullmatch(_GROUPED.sub("", str(value))):
        return ""
    if dialect.decimal == "." and "," in str(value):
        return "; write no thousands separators, or set decimal: ',' if the comma is the decimal point"
    return "; write no thousands separators"


def _indistinguishable(column: ColumnValues) -> str | None:
    """Returns why float64 cannot distinguish a column's whole numbers, or None."""
    if column.dtype.kind not in "iuO":
        return None
    low, high = int(column.min()), int(column.max())
    unit = int(np.spacing(float(max(-low, high, 2**53))))
    wide = high - low >= unit << _LEAST_BITS
    if wide or low == high or max(-low, high) <= 2**53 or not any(int(value) % unit for value in column):
        return None
    return (
        f"holds whole numbers beyond 2**53 whose differences float64 cannot hold ({low} to {high}); "
        "subtract an offset from them"
    )


def _unclassifiable(column: ColumnValues, written: Callable[[int], str | None]) -> str | None:
    """Returns why a column cannot be used as classes, or None."""
    if len(column) == 0:
        return "has no rows"
    if column.dtype.kind == "f":
        return _unusable(column, None) or _not_whole(column)
    missing = np.array([value is None for value in column])
    if missing.any():
        return f"is missing, first in {_first_row(missing)}{_quote_hint(written(int(missing.argmax())))}"
    if column.dtype.kind not in "biuU" and not _numeric(column):
        other = next(((k, value) for k, value in enumerate(column) if not isinstance(value, str)), None)
        if other is not None:
            kinds = "neither strings, integers or booleans (classes) nor floats (values)"
            return f"holds {kinds}: {quoted(other[1])} in {_row_label(other[0])}"
    if len(np.unique(column)) < 2:
        return f"has one class only, {quoted(column[0])}"
    return None


def _quote_hint(text: str | None) -> str:
    """Returns what to do about a label that is read as a missing value in CSV files."""
    return f"; {quoted(text)} is read as a missing value: if it is a label, put it in quotes" if text else ""


def _not_whole(column: ColumnValues) -> str | None:
    fractional = _fractional(column)
    if fractional.any():
        row = int(fractional.argmax())
        return f"holds {column[row]} in {_row_label(row)}: classes are whole numbers, text or booleans"
    return f"has one class only, {quoted(column[0])}" if (column == column[0]).all() else None


def _fractional(column: ColumnValues) -> NDArray[np.bool_]:
    values = floats(column)
    return np.asarray(values != np.floor(values))


def _first_row(bad: NDArray[np.bool_]) -> str:
    return _row_label(int(bad.argmax()))


def _row_label(index: int) -> str:
    return f"data row {index + 1}"


def _class_name(value: Any) -> str:
    """Returns the name of a class: ``1`` for 1.0."""
    return str(int(value)) if isinstance(value, float) else str(value)
