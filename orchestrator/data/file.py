"""Rows from a file of the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import Field, ValidationInfo, field_validator, located, near, refuse
from orchestrator.data import tabular
from orchestrator.data.source import Source, Table
from orchestrator.errors import Fault, InputError

Column = NDArray[Any]
Array = NDArray[np.float64]


class File(Source):
    """Columns of a Parquet, CSV or NPZ file, local or at any URI that pyarrow's file systems know.

    A target of strings, integers or booleans holds classes, in sorted order; floats are values to
    predict. A matrix [N, k] in an NPZ file is k columns, ``X.0`` … of ``X``.

    Example:
        >>> File.parse({"source": "file", "path": "/data/iris.csv", "target": "species"}).target
        'species'
    """

    source: Literal["file"]
    path: str = Field(
        min_length=1, description=".parquet, .csv or .npz; a relative path starts at the sweep file's folder"
    )
    target: str = Field(description="name of the column to predict")
    inputs: tuple[str, ...] | None = Field(
        default=None, min_length=1, strict=False, description="names of the input columns; null: all others"
    )
    weights: str | None = Field(default=None, description="name of a column of relative weights")

    @field_validator("path")
    @classmethod
    def _resolved(cls, path: str, info: ValidationInfo) -> str:
        if tabular.is_uri(path):
            if "@" in urlsplit(path).netloc:
                raise refuse("must not hold credentials; leave them to the environment")
            return path
        return located(path, info)

    def identity(self) -> dict[str, Any]:
        """The configuration with the SHA-256 of the file's content in the place of its path.

        Raises:
            InputError: at ``data.path``, the file cannot be read.
        """
        return {**super().identity(), "path": f"sha256:{self.fingerprint()}"}

    def files(self) -> Iterator[Path]:
        """The file, if it is local."""
        if not tabular.is_uri(self.path):
            yield Path(self.path)

    def fingerprint(self) -> str:
        """SHA-256 of the file's content."""
        return tabular.digest(self.path)

    def read(self) -> Table:
        """All rows as they are.

        Raises:
            InputError: with every fault found: the file cannot be read, columns are missing, not
                numeric, not finite; weights are negative; the target has a single class.
        """
        columns = tabular.columns(self.path)
        _raise(self._missing(columns))
        inputs = dict(_expanded(columns, self._input_names(columns)))
        target, weights = columns[self.target], None if self.weights is None else columns[self.weights]
        _raise([*_input_faults(inputs), *_target_faults(target), *_weight_faults(weights)])
        values, classes = _coded(target)
        return Table(
            inputs=np.column_stack([_floats(column) for column in inputs.values()]),
            targets=values,
            classes=classes,
            weights=None if weights is None else _floats(weights),
            names=tuple(inputs),
        )

    def _input_names(self, columns: Mapping[str, Column]) -> list[str]:
        if self.inputs is not None:
            return list(self.inputs)
        return [name for name in columns if name not in (self.target, self.weights)]

    def _missing(self, columns: Mapping[str, Column]) -> list[Fault]:
        asked = [("data.target", self.target), ("data.weights", self.weights)]
        asked += [("data.inputs", name) for name in self.inputs or ()]
        named = [(path, name) for path, name in asked if name is not None]
        names = [name for _, name in named]
        faults = [
            Fault(path, f"there is no column {name!r}" + near(name, columns))
            for path, name in named
            if name not in columns
        ]
        faults += [
            Fault(path, f"names column {name!r}, which has been named before")
            for place, (path, name) in enumerate(named)
            if name in names[:place]
        ]
        if not self._input_names(columns):
            faults.append(
                Fault("data.inputs", f"there is no column beside the target (of {', '.join(columns)})")
            )
        return faults


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise InputError(faults)


def _expanded(columns: Mapping[str, Column], names: list[str]) -> Iterator[tuple[str, Column]]:
    for name in names:
        if columns[name].ndim == 1:
            yield name, columns[name]
        else:
            yield from ((f"{name}.{k}", column) for k, column in enumerate(columns[name].T))


def _input_faults(inputs: Mapping[str, Column]) -> list[Fault]:
    return [
        Fault("data.inputs", f"column {name!r} {reason}")
        for name, column in inputs.items()
        if (reason := _unusable(column))
    ]


def _weight_faults(weights: Column | None) -> list[Fault]:
    if weights is None:
        return []
    reason = "is a matrix, must be one column" if weights.ndim > 1 else _unusable(weights)
    if not reason and (weights < 0).any():
        reason = f"is negative, first in {_first(weights < 0)}"
    if not reason and not weights.any():
        reason = "is all zero"
    return [Fault("data.weights", f"the column {reason}")] if reason else []


def _target_faults(target: Column) -> list[Fault]:
    reason = "is a matrix, must be one column" if target.ndim > 1 else _unpredictable(target)
    return [Fault("data.target", f"the column {reason}")] if reason else []


def _unusable(column: Column) -> str | None:
    """Why a column cannot be taken as finite numbers."""
    if len(column) == 0:
        return "has no rows"
    if column.dtype.kind not in "biuf":
        return f"is not numeric (it holds {str(column[0])[:20]!r})"
    bad = ~np.isfinite(column)
    return f"is NaN, missing or infinite, first in {_first(bad)}" if bad.any() else None


def _unpredictable(column: Column) -> str | None:
    """Why a column is neither classes nor values."""
    if len(column) == 0:
        return "has no rows"
    if column.dtype.kind == "f":
        return _unusable(column)
    missing = np.array([value is None for value in column])
    if missing.any():
        return f"is missing, first in {_first(missing)}"
    if column.dtype.kind not in "biuU" and not all(isinstance(value, str) for value in column):
        return "holds neither strings, integers or booleans (classes) nor floats (values)"
    if len(np.unique(column)) < 2:
        return f"has one class only, {str(column[0])[:20]!r}"
    return None


def _first(bad: NDArray[np.bool_]) -> str:
    return f"row {int(bad.argmax()) + 1}"


def _coded(target: Column) -> tuple[Array, int]:
    """Targets as a data set counts them, and the number of classes."""
    if target.dtype.kind == "f":
        return _floats(target), 0
    names, index = np.unique(target, return_inverse=True)
    return index.astype(np.float64), len(names)


def _floats(column: Column) -> Array:
    return np.asarray(column, np.float64)
