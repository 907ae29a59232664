"""Places inside a document, and writing to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.config.text import show

Place = tuple[str | int, ...]
"""Keys and list indices from the top of a document."""

Path = tuple[str, ...]
"""A dotted path as its parts; what is a list index shows only where it is followed."""


def dotted(place: Iterable[str | int]) -> str:
    """``("updates", 0, "limit")`` as ``updates.0.limit``."""
    return ".".join(str(part) for part in place)


def position(part: str, items: Sequence[Any]) -> int | None:
    """The index that a part of a path names in a list; None if it names none."""
    return int(part) if re.fullmatch(r"0|[1-9][0-9]{0,8}", part) and int(part) < len(items) else None


def write(data: Any, path: Sequence[str], value: Any) -> Place:
    """Writes a value into nested mappings and lists; mappings that are missing on the way are made.

    Returns:
        The place of the topmost thing that was written: ``value``, or the first mapping made.

    Raises:
        LookupError: the path leads nowhere; the message says where it ends.

    Example:
        >>> data = {"updates": [None, {"limit": 1}]}
        >>> write(data, ["updates", "1", "limit"], 2), data
        (('updates', 1, 'limit'), {'updates': [None, {'limit': 2}]})
    """
    place: list[str | int] = []
    made: Place | None = None
    for depth, part in enumerate(path):
        where = _inside(data, part, path[:depth])
        place.append(where)
        if depth == len(path) - 1:
            data[where] = value
        elif isinstance(data, dict) and data.get(where) is None:
            data[where] = {}
            made = made or tuple(place)
        data = data[where]
    return made or tuple(place)


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
