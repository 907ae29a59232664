"""What the driver hands over to be stored: rows of tables, swept keys, states of unfinished trials."""

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
"""Value of a swept key in one trial; None where the key is not swept in that trial's case."""

Rows = Mapping[str, Mapping[str, NDArray[Any] | Sequence[Any]]]
"""Table name -> column name -> values, all of one length per table.

A column left out is null; NaN in a ``float64`` or ``int64`` column is null; infinities stay. A column
``int64 list`` may be an array [rows, width]; text may be an array of UTF-8 (NumPy's ``S``).
"""


@dataclass(frozen=True, eq=False)
class SavedState:
    """What an unfinished trial goes on from.

    Attributes:
        step: the first step that is still to be run.
        vector: [S] float64, everything that its training loop remembers; kept to the last bit.
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
        """The column that holds ``values``: int64 if all are int, float64 if all are numbers, else string.

        Example:
            >>> KeyColumn.of("updates.0.limit", [1, 0.5]).type
            'float64'
        """
        kinds = {type(value) for value in values if value is not None}
        return cls(name, "int64" if kinds == {int} else "float64" if kinds <= {int, float} else "string")

    def column(self, table: str) -> str | None:
        """Name of the column in ``table``; None where the table's own column says the same.

        A key that is called like a column of the table becomes ``sweep.<key>``: ``loss`` of `steps` is
        the value of the loss, ``sweep.loss`` which loss it is. The seed is the same in both.
        """
        if all(column.name != self.name for column in TABLES[table]):
            return self.name
        return None if self.name == "seed" else f"sweep.{self.name}"

    def convert(self, value: KeyValue) -> KeyValue:
        """``value`` in this column's type; text as in YAML.

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
    """Columns that hold the values of both: the new keys in their order, then those that only ``old`` has."""
    kept = {key.name: key for key in old}
    united = [KeyColumn(key.name, _wider(key.type, kept.pop(key.name, key).type)) for key in new]
    return (*united, *kept.values())


def _wider(one: KeyType, other: KeyType) -> KeyType:
    if one == other:
        return one
    return "string" if "string" in (one, other) else "float64"
