"""Paths inside a document, what is wrong at one, and writing to one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.config.text import show

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a document, or of a trial."""

KeyPath = tuple[str, ...]
"""The parts of a dotted key; which of them are list indices shows only where the path is followed."""


@dataclass(frozen=True)
class Located:
    """What is wrong with the value at a path of the document.

    Attributes:
        name: the dotted path that users read; empty: that of ``path``.
        other: path of another value that this one clashes with.
    """

    path: Path
    message: str
    name: str = ""
    other: Path | None = None


def dotted(path: Iterable[str | int]) -> str:
    """``("updates", 0, "limit")`` as ``updates.0.limit``."""
    return ".".join(map(str, path))


def position(part: str, items: Sequence[Any]) -> int | None:
    """The index that a part of a path names in a list; None if it names none."""
    return int(part) if re.fullmatch(r"0|[1-9][0-9]{0,8}", part) and int(part) < len(items) else None


def write(data: Any, path: Sequence[str], value: Any) -> Path:
    """Writes a value into nested mappings and lists; mappings that are missing on the way are made.

    Returns:
        The path of the topmost thing that was written: ``value``, or the first mapping made.

    Raises:
        LookupError: the path leads nowhere; the message says where it ends.

    Example:
        >>> data = {"updates": [None, {"limit": 1}]}
        >>> write(data, ["updates", "1", "limit"], 2), data
        (('updates', 1, 'limit'), {'updates': [None, {'limit': 2}]})
    """
    followed: list[str | int] = []
    made: Path | None = None
    for depth, part in enumerate(path):
        where = _inside(data, part, path[:depth])
        followed.append(where)
        if depth == len(path) - 1:
            data[where] = value
        elif isinstance(data, dict) and data.get(where) is None:
            data[where] = {}
            made = made or tuple(followed)
        data = data[where]
    return made or tuple(followed)


def _inside(data: Any, part: str, above: Sequence[str]) -> str | int:
    """The key or index that ``part`` names in ``data``, which stands at ``above``."""
    if isinstance(data, dict):
        return part
    if not isinstance(data, list):
        raise LookupError(f"{dotted(above)} is {show(data)}, nothing is in it")
    index = position(part, data)
    if index is None:
        hint = "; let null hold its place" if part == str(len(data)) else ""
        raise LookupError(f"{dotted(above)} is a list of {len(data)} without item {part}{hint}")
    return index
