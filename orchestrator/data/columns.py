"""The columns of a file, and which of them are the index of a data frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ColumnValues = NDArray[Any]
"""[N], or [N, k] for a matrix. Numbers and booleans keep their dtype; missing ones are NaN. Text, integers
beyond int64 and anything else are object arrays, with None for missing values."""

_MOST_NAMES, _LONGEST_NAME = 10, 40
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*")
"""pandas' names for an unnamed index in Parquet, and for an unnamed first column in CSV."""
_RESET_INDEX = re.compile(r"index|level_\d+")
"""pandas' names for an unnamed index that becomes a column (``reset_index``)."""


@dataclass(frozen=True)
class Columns:
    """The columns of a file.

    Attributes:
        names: distinct names, in the order of the file.
        read: returns the values of the column with this name.
        index: names that the file's metadata declare as the index of a data frame.
        fingerprint: SHA-256 of the file's content.
    """

    names: tuple[str, ...]
    read: Callable[[str], ColumnValues]
    index: frozenset[str] = frozenset()
    fingerprint: str = ""

    def index_like(self, names: Iterable[str]) -> Iterator[str]:
        """Yields those of ``names`` that are the index of a data frame: they label rows and are no data."""
        for name in names:
            unnamed_first = name == self.names[0] and not name.strip()
            by_name = name in self.index or unnamed_first or _INDEX.fullmatch(name)
            if by_name or (_RESET_INDEX.fullmatch(name) and _numbers_the_rows(self.read(name))):
                yield name


def _numbers_the_rows(column: ColumnValues) -> bool:
    """Returns whether a column holds distinct whole numbers, in any order."""
    return column.ndim == 1 and column.dtype.kind in "iu" and len(np.unique(column)) == len(column)


def repeated(names: Iterable[str]) -> list[str]:
    """Returns the names that occur more than once, in order of first occurrence."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name for name, count in counts.items() if count > 1]


def listed(names: Iterable[str]) -> str:
    """Returns names for a message: the first ten, and how many more there are.

    Example:
        >>> listed(["a", "b"]), listed(str(k) for k in range(12))
        ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more')
    """
    names = [text_of(name) for name in names]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def text_of(name: str) -> str:
    """Returns a name for a message: unchanged if it is visible, printable and short, else ``quoted``."""
    return name if name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME else quoted(name)


def quoted(value: Any) -> str:
    """Returns a name or a value for a message: in quotes, printable, truncated.

    Example:
        >>> quoted("?"), quoted("a" * 50)
        ("'?'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'")
    """
    text = str(value)
    return repr(text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…")
