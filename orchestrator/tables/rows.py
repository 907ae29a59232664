"""Types that the driver passes to the run directory: rows, swept keys, saved states of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.tables.schema import TABLES

KeyType = Literal["int64", "float64", "string"]
"""Type of a swept key's column."""

KeyValue = int | float | str | None
"""Value of a swept key in one trial; None if the trial's case does not sweep the key."""

Rows = Mapping[str, Mapping[str, NDArray[Any] | Sequence[Any]]]
"""Table name → column name → values; all columns of a table have the same length.

A missing column is null. NaN in a ``float64`` or ``int64`` column is null; infinities are kept. A column of
type ``int64 list`` may be an array [rows, width]; text may be an array of UTF-8 bytes (NumPy's ``S``).
"""


@dataclass(frozen=True, eq=False)
class SavedState:
    """The checkpoint of an unfinished trial.

    Attributes:
        step: the next step to run.
        vector: [S] float64, the whole state of the training loop; stored without loss of bits.
    """

    step: int
    vector: NDArray[np.float64]


@dataclass(frozen=True)
class KeyColumn:
    """A swept key (``model.layers``, ``case``) as a column of every table."""

    name: str
    type: KeyType

    @classmethod
    def of(cls, name: str, values: Iterable[KeyValue]) -> KeyColumn:
        """Returns the column for ``values``: int64 if all are int, float64 if all are numbers, else string.

        Example:
            >>> KeyColumn.of("updates.0.limit", [1, 0.5]).type
            'float64'
        """
        kinds = {type(value) for value in values if value is not None}
        return cls(name, "int64" if kinds == {int} else "float64" if kinds <= {int, float} else "string")

    def column(self, table: str) -> str | None:
        """Returns the name of the column in ``table``; None if a column of the table has the same values.

        A key with the name of a column of the table becomes ``sweep.<key>``: in `steps`, ``loss`` is the
        value of the loss and ``sweep.loss`` is the loss function. ``seed`` means the same in both.
        """
        if all(column.name != self.name for column in TABLES[table]):
            return self.name
        return None if self.name == "seed" else f"sweep.{self.name}"

    def convert(self, value: KeyValue) -> KeyValue:
        """Converts ``value`` to this column's type; text is written as in YAML.

        Example:
            >>> KeyColumn("updates.0", "string").convert(0.5)
            '0.5'
        """
        if value is None or self.type == "int64":
            return value
        if self.type == "float64":
            return float(value)
        return str(value).lower() if isinstance(value, bool) else str(value)


def unite(new: Iterable[KeyColumn], old: Iterable[KeyColumn]) -> tuple[KeyColumn, ...]:
    """Returns columns for the values of both: the new keys in order, then those only in ``old``."""
    remaining = {key.name: key for key in old}
    united = [KeyColumn(key.name, _wider(key.type, remaining.pop(key.name, key).type)) for key in new]
    return (*united, *remaining.values())


def _wider(first: KeyType, second: KeyType) -> KeyType:
    """Returns the type that holds the values of both."""
    if first == second:
        return first
    return "string" if "string" in (first, second) else "float64"
