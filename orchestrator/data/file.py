"""The source that reads a Parquet, CSV or NPZ file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestrator.addresses import is_uri, refusal
from orchestrator.config.base import Field, ValidationInfo, field_validator, refuse
from orchestrator.config.files import absolute_path
from orchestrator.config.text import show, suggest
from orchestrator.data import tabular
from orchestrator.data.arrow import Dialect
from orchestrator.data.columns import Columns, ColumnValues, listed, quoted, repeated, text_of
from orchestrator.data.source import Source, Table
from orchestrator.data.validation import (
    TargetKind,
    encoded,
    floats,
    input_faults,
    other_classes,
    target_faults,
    weight_faults,
)
from orchestrator.errors import Fault, InputError
from orchestrator.groups import Array


class File(Source):
    """Columns of a Parquet, CSV or NPZ file, local or at any URI that pyarrow's file systems know.

    A target of strings, integers or booleans holds classes, in sorted order; floats are values to
    predict. ``target_kind`` overrides this. A matrix ``X`` [N, k] in an NPZ file is k columns, ``X.0`` ….
    The index of a data frame is refused as input unless ``inputs`` names it.

    Example:
        >>> File.parse({"source": "file", "path": "/data/iris.csv", "target": "species"}).target
        'species'
    """

    source: Literal["file"]
    path: str = Field(
        min_length=1, description=".parquet, .csv or .npz; a relative path starts at the sweep file's folder"
    )
    target: str = Field(description="name of the column to predict")
    target_kind: TargetKind | None = Field(
        default=None,
        description="class: the target's whole numbers, text or booleans are classes; value: its numbers are "
        "values to predict; null: floats are values, anything else is classes",
    )
    inputs: tuple[str, ...] | None = Field(
        default=None, min_length=1, strict=False, description="names of the input columns; null: all others"
    )
    weights: str | None = Field(default=None, description="name of a column of relative weights")
    separator: str = Field(default=Dialect.separator, description="for CSV: the character between columns")
    decimal: str = Field(default=Dialect.decimal, description="for CSV: the decimal point, . or ,")

    @field_validator("path")
    @classmethod
    def _resolve_path(cls, path: str, info: ValidationInfo) -> str:
        if not is_uri(path):
            return absolute_path(path, info)
        if reason := refusal(path):
            raise refuse(reason)
        return path

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, separator: str, info: ValidationInfo) -> str:
        _csv_only(separator, Dialect.separator, info)
        if len(separator) != 1 or not separator.isascii() or separator.isalnum() or separator in '"+-.\r\n\0':
            legal = 'one ASCII character such as ; or a tab ("\\t"), no letter, digit, quote, sign or point'
            raise refuse(f"is {show(separator)}, must be {legal}")
        return separator

    @field_validator("decimal")
    @classmethod
    def _check_decimal(cls, decimal: str, info: ValidationInfo) -> str:
        _csv_only(decimal, Dialect.decimal, info)
        if decimal not in (".", ","):
            raise refuse(f'is {show(decimal)}, must be "." or ","')
        if decimal == info.data.get("separator"):
            raise refuse(f'is {show(decimal)}, which is also the separator; set separator, such as ";"')
        return decimal

    @property
    def _dialect(self) -> Dialect:
        return Dialect(self.separator, self.decimal)

    def identity(self) -> dict[str, Any]:
        """Returns the configuration with the SHA-256 of the file's content instead of its path.

        Raises:
            InputError: at ``data.path``, the file cannot be read.
        """
        return {**super().identity(), "path": f"sha256:{self.fingerprint()}"}

    def files(self) -> Iterator[Path]:
        """Yields the file's path if it is local."""
        if not is_uri(self.path):
            yield Path(self.path)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the file's content."""
        return tabular.digest(self.path)

    def fingerprints(self) -> dict[str, str]:
        """Returns the file's fingerprint, by path or URI."""
        return {self.path: self.fingerprint()}

    def read(self) -> Table:
        """Returns all rows, unscaled.

        Raises:
            InputError: with every fault. The file cannot be read; columns are missing, not numeric, not
                finite or an index; weights are negative; or the target has a single class.
        """
        columns = tabular.columns(self.path, self._dialect)
        _raise(self._name_faults(columns))
        expanded = list(_expanded(columns, self._input_names(columns)))
        _raise(_repeated_faults(name for name, _ in expanded))
        if not expanded:
            raise InputError.at("data.inputs", f"have no columns: {listed(self._input_names(columns))}")
        inputs, target = dict(expanded), columns.read(self.target)
        weights = None if self.weights is None else columns.read(self.weights)
        _raise(self._faults(columns, inputs, target, weights))
        values, labels = encoded(target, self.target_kind)
        other = other_classes(target, self.target_kind)
        content = f"{len(labels)} classes ({listed(labels)})" if labels else _range(values, other)
        return Table(
            inputs=np.column_stack([floats(column) for column in inputs.values()]),
            targets=values,
            classes=len(labels),
            weights=None if weights is None else floats(weights),
            names=tuple(inputs),
            description=self._description(tuple(inputs), content),
            other_classes=other,
            fingerprint=columns.fingerprint,
        )

    def _input_names(self, columns: Columns) -> list[str]:
        if self.inputs is not None:
            return list(self.inputs)
        return [name for name in columns.names if name not in (self.target, self.weights)]

    def _name_faults(self, columns: Columns) -> list[Fault]:
        """Returns faults of the names in the configuration: unknown or used twice; and a lack of inputs."""
        configured = [("data.target", self.target), ("data.weights", self.weights)]
        configured += [("data.inputs", name) for name in self.inputs or ()]
        named = [(path, name) for path, name in configured if name is not None]
        names = [name for _, name in named]
        faults = [
            Fault(path, f"there is no column {quoted(name)}" + suggest(name, map(text_of, columns.names)))
            for path, name in named
            if name not in columns.names
        ]
        faults += [
            Fault(path, f"names column {quoted(name)} again; a column has one role")
            for index, (path, name) in enumerate(named)
            if name in names[:index]
        ]
        if not self._input_names(columns):
            message = f"the file has no column besides target and weights (columns: {listed(columns.names)})"
            faults.append(Fault("data.inputs", message))
        return faults

    def _faults(
        self,
        columns: Columns,
        inputs: Mapping[str, ColumnValues],
        target: ColumnValues,
        weights: ColumnValues | None,
    ) -> list[Fault]:
        """Returns what is wrong with the values of the columns."""
        index = [] if self.inputs else list(columns.index_like(self._input_names(columns)))
        data = {name: column for name, column in inputs.items() if name not in index}
        dialect = self._dialect if tabular.suffix(self.path) == ".csv" else None
        return [
            *_index_faults(index, list(data)),
            *input_faults(data, dialect),
            *target_faults(target, self.target_kind, dialect, self._target_as_written),
            *weight_faults(weights, dialect),
        ]

    def _target_as_written(self, row: int) -> str | None:
        return tabular.as_written(self.path, self._dialect, self.target, row)

    def _description(self, inputs: Sequence[str], content: str) -> str:
        """Describes the role of each column, on one line; ``content`` is what the target holds."""
        roles = [f"inputs {listed(inputs)}", f"target {text_of(self.target)}, {content}"]
        if self.weights is not None:
            roles.append(f"weights {text_of(self.weights)}")
        return f"{text_of(Path(self.path).name)}: " + "; ".join(roles)


def _range(values: Array, classes: int | None) -> str:
    """Describes the range of a target's values, and whether they could also be classes."""
    meant = f" (whole numbers; {classes} classes with target_kind: class)" if classes else ""
    return f"values {values.min():g} to {values.max():g}{meant}"


def _csv_only(value: str, default: str, info: ValidationInfo) -> None:
    path = info.data.get("path")
    if value != default and path is not None and tabular.suffix(path) != ".csv":
        raise refuse(f"is {show(value)}, legal for .csv files only")


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise InputError(faults)


def _expanded(columns: Columns, names: Iterable[str]) -> Iterator[tuple[str, ColumnValues]]:
    """Yields names and values of columns; a matrix ``X`` becomes columns ``X.0``, ``X.1``, …"""
    for name in names:
        values = columns.read(name)
        if values.ndim == 1:
            yield name, values
        else:
            yield from ((f"{name}.{k}", column) for k, column in enumerate(values.T))


def _repeated_faults(names: Iterable[str]) -> list[Fault]:
    message = "exists twice, as an array and as a column of a matrix: name one of them in inputs"
    return [Fault("data.inputs", f"column {quoted(name)} {message}") for name in repeated(names)]


def _index_faults(index: Sequence[str], others: Sequence[str]) -> list[Fault]:
    example = f" (inputs: [{listed(others)}])" if others else ""
    message = (
        f"is the index of a data frame: name the inputs{example}, or write the file without it (index=False)"
    )
    return [Fault("data.inputs", f"column {quoted(name)} {message}") for name in index]
