"""The columns of a file, and which of them are no data but the index of a data frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ColumnValues = NDArray[Any]
"""[N], or [N, k] for a matrix. Numbers and booleans keep their type; missing ones are NaN. Text is an object
array, with None where missing; so are Python integers where int64 cannot hold them, and all else."""

_MOST, _LONGEST = 10, 40
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*")
"""Names that pandas gives: to an index without a name in Parquet, to a first column without one in CSV."""
_RESET_INDEX = re.compile(r"index|level_\d+")
"""Names that pandas gives to an index without a name when it becomes a column (``reset_index``)."""


@dataclass(frozen=True)
class Columns:
    """The columns of a file.

    Attributes:
        names: in the order of the file, each once.
        index: those that the file itself calls the index of a data frame.
        read: the values of the column of this name.
        fingerprint: SHA-256 of the content that they were read from.
    """

    names: tuple[str, ...]
    read: Callable[[str], ColumnValues]
    index: frozenset[str] = frozenset()
    fingerprint: str = ""

    def index_like(self, names: Iterable[str]) -> Iterator[str]:
        """Those of ``names`` that number or name the rows, and say nothing of them."""
        for name in names:
            unnamed_first = name == self.names[0] and not name.strip()
            called_so = name in self.index or unnamed_first or _INDEX.fullmatch(name)
            if called_so or (_RESET_INDEX.fullmatch(name) and _numbers_the_rows(self.read(name))):
                yield name


def _numbers_the_rows(column: ColumnValues) -> bool:
    """Whether a column holds whole numbers, each once, in any order."""
    return column.ndim == 1 and column.dtype.kind in "iu" and len(np.unique(column)) == len(column)


def repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, in their order."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name for name, count in counts.items() if count > 1]


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first ten, and how many more there are.

    Example:
        >>> listed(["a", "b"]), listed(str(k) for k in range(12))
        ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more')
    """
    names = [text_of(name) for name in names]
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def text_of(name: str) -> str:
    """A name for a message: as it is if that can be seen, else quoted."""
    return name if name.strip() and name.isprintable() and len(name) <= _LONGEST else quoted(name)


def quoted(value: Any) -> str:
    """A name or a value for a message: between quotes, printable, cut.

    Example:
        >>> quoted("?"), quoted("a" * 50)
        ("'?'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'")
    """
    text = str(value)
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
