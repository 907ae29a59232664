"""Why a column of a file cannot be used as input, target or weight; what it is worth if it can.

Rows are counted from 1, below the header: *data rows*.
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
_BITS = 24
"""Differences keep as many bits as those of single precision, or whole numbers are refused."""


def input_faults(inputs: Mapping[str, ColumnValues], dialect: Dialect | None) -> list[Fault]:
    """What is wrong with the input columns; ``dialect`` is that of a CSV file, None for others."""
    reasons = {name: reason for name, column in inputs.items() if (reason := _unusable(column, dialect))}
    faults = [Fault("data.inputs", f"column {quoted(name)} {reason}") for name, reason in reasons.items()]
    if len(faults) > _MOST_FAULTS:
        rest = [*reasons][_MOST_FAULTS:]
        faults[_MOST_FAULTS:] = [Fault("data.inputs", f"cannot be used either: columns {listed(rest)}")]
    return faults


def weight_faults(weights: ColumnValues | None, dialect: Dialect | None) -> list[Fault]:
    """What is wrong with the column of weights."""
    if weights is None:
        return []
    reason = "is a matrix, must be one column" if weights.ndim > 1 else _unusable(weights, dialect)
    if not reason and (weights < 0).any():
        reason = f"is negative, first in {_first(weights < 0)}"
    if not reason and not weights.any():
        reason = "is all zero"
    return [Fault("data.weights", f"the column {reason}")] if reason else []


def target_faults(
    target: ColumnValues,
    kind: TargetKind | None,
    dialect: Dialect | None,
    written: Callable[[int], str | None],
) -> list[Fault]:
    """What is wrong with the target.

    Args:
        target: the column.
        kind: what it holds; None: as its type says.
        dialect: of a CSV file, None for others.
        written: what a CSV file holds in a row, counted from 0; None for others.
    """
    if target.ndim > 1:
        reason: str | None = "is a matrix, must be one column"
    elif len(target) and _holds_values(target, kind):
        reason = _unusable(target, dialect)
    else:
        reason = _unclassifiable(target, written)
    return [Fault("data.target", f"the column {reason}")] if reason else []


def coded(target: ColumnValues, kind: TargetKind | None) -> tuple[Array, tuple[str, ...]]:
    """Targets as a data set counts them, and the names of the classes; no names for values."""
    if _holds_values(target, kind):
        return floats(target), ()
    names, index = np.unique(target, return_inverse=True)
    return index.astype(np.float64), tuple(_label(name) for name in names)


def other_classes(target: ColumnValues, kind: TargetKind | None) -> int | None:
    """Number of classes if the target's whole numbers were taken the other way; None if they cannot be."""
    if not _numeric(target) or target.dtype.kind == "b" or _fractional(target).any():
        return None
    if not _holds_values(target, kind):
        return 0
    classes = len(np.unique(target))
    return classes if classes > 1 else None


def floats(column: ColumnValues) -> Array:
    """The numbers of a column, as float64."""
    with np.errstate(over="ignore"):  # longdouble; what becomes infinite is refused
        return np.asarray(column, np.float64)


def _holds_values(target: ColumnValues, kind: TargetKind | None) -> bool:
    return kind == "value" or (kind is None and target.dtype.kind == "f")


def _numeric(column: ColumnValues) -> bool:
    """Numbers or booleans; Python integers are an object array."""
    if column.dtype.kind == "O":
        return len(column) > 0 and all(type(value) is int for value in column)
    return column.dtype.kind in "biuf"


def _unusable(column: ColumnValues, dialect: Dialect | None) -> str | None:
    """Why a column cannot be taken as finite numbers."""
    if len(column) == 0:
        return "has no rows"
    if not _numeric(column):
        return _not_numeric(column, dialect)
    bad = ~np.isfinite(floats(column))
    if bad.any():
        return f"is NaN, missing or infinite, first in {_first(bad)}"
    return _indistinct(column)


def _not_numeric(column: ColumnValues, dialect: Dialect | None) -> str:
    """Where a column stops to be numbers."""
    there = [(row, value) for row, value in enumerate(column) if value is not None]
    if not there:
        return f"is missing, first in {_row(0)}"
    for row, value in there:
        if not (isinstance(value, str) and _written_number(value, dialect)):
            return f"is not numeric: {quoted(value)} in {_row(row)}{_hint(value, dialect)}"
    row, value = there[0]
    return f"holds text, not numbers: {quoted(value)} in {_row(row)}"


def _written_number(text: str, dialect: Dialect | None) -> bool:
    if dialect is not None and dialect.decimal == ",":
        text = text.translate(_COMMA_IS_POINT)
    return _NUMBER.fullmatch(text.strip()) is not None


def _hint(value: Any, dialect: Dialect | None) -> str:
    """What to do about a number with separators in it."""
    if dialect is None or not _NUMBER.fullmatch(_GROUPED.sub("", str(value))):
        return ""
    if dialect.decimal == "." and "," in str(value):
        return "; write no thousands separators, or set decimal: ',' if the comma is the decimal point"
    return "; write no thousands separators"


def _indistinct(column: ColumnValues) -> str | None:
    """Why float64 cannot tell a column's whole numbers apart."""
    if column.dtype.kind not in "iuO":
        return None
    low, high = int(column.min()), int(column.max())
    unit = int(np.spacing(float(max(-low, high, 2**53))))
    apart = high - low >= unit << _BITS
    if apart or low == high or max(-low, high) <= 2**53 or not any(int(value) % unit for value in column):
        return None
    return (
        f"holds whole numbers beyond 2**53 whose differences float64 cannot hold ({low} to {high}); "
        "subtract an offset from them"
    )


def _unclassifiable(column: ColumnValues, written: Callable[[int], str | None]) -> str | None:
    """Why a column cannot be taken as classes."""
    if len(column) == 0:
        return "has no rows"
    if column.dtype.kind == "f":
        return _unusable(column, None) or _not_whole(column)
    missing = np.array([value is None for value in column])
    if missing.any():
        return f"is missing, first in {_first(missing)}{_spelled(written(int(missing.argmax())))}"
    if column.dtype.kind not in "biuU" and not _numeric(column):
        odd = next(((k, value) for k, value in enumerate(column) if not isinstance(value, str)), None)
        if odd is not None:
            kinds = "neither strings, integers or booleans (classes) nor floats (values)"
            return f"holds {kinds}: {quoted(odd[1])} in {_row(odd[0])}"
    if len(np.unique(column)) < 2:
        return f"has one class only, {quoted(column[0])}"
    return None


def _spelled(text: str | None) -> str:
    """What to do about a label that means a missing value in CSV files."""
    return f"; {quoted(text)} is read as that: where it is a label, put it between quotes" if text else ""


def _not_whole(column: ColumnValues) -> str | None:
    fractional = _fractional(column)
    if fractional.any():
        row = int(fractional.argmax())
        return f"holds {column[row]} in {_row(row)}: classes are whole numbers, text or booleans"
    return f"has one class only, {quoted(column[0])}" if (column == column[0]).all() else None


def _fractional(column: ColumnValues) -> NDArray[np.bool_]:
    values = floats(column)
    return np.asarray(values != np.floor(values))


def _first(bad: NDArray[np.bool_]) -> str:
    return _row(int(bad.argmax()))


def _row(index: int) -> str:
    return f"data row {index + 1}"


def _label(value: Any) -> str:
    """The name of a class: 1.0 is ``1``."""
    return str(int(value)) if isinstance(value, float) else str(value)
