"""Paths in a document, faults at a path, and writing to a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.config.text import show

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a document, or of a trial."""

KeyPath = tuple[str, ...]
"""The parts of a dotted key; only the document shows which of them are list indices."""


@dataclass(frozen=True)
class DocumentFault:
    """A fault of the value at a path of the document.

    Attributes:
        name: the dotted path in the report; if empty, that of ``path``.
        other: path of another value that this one clashes with.
    """

    path: Path
    message: str
    name: str = ""
    other: Path | None = None


def dotted(path: Iterable[str | int]) -> str:
    """Returns ``("updates", 0, "limit")`` as ``updates.0.limit``."""
    return ".".join(map(str, path))


def list_index(part: str, items: Sequence[Any]) -> int | None:
    """Returns the index that a part of a path names in a list; None if there is no such item."""
    return int(part) if re.fullmatch(r"0|[1-9][0-9]{0,8}", part) and int(part) < len(items) else None


def write(data: Any, path: Sequence[str], value: Any) -> Path:
    """Writes a value into nested mappings and lists; creates missing mappings on the way.

    Returns:
        The path of the topmost value that was written: ``value``, or the first new mapping.

    Raises:
        LookupError: the path does not exist; the message says where it ends.

    Example:
        >>> data = {"updates": [None, {"limit": 1}]}
        >>> write(data, ["updates", "1", "limit"], 2), data
        (('updates', 1, 'limit'), {'updates': [None, {'limit': 2}]})
    """
    followed: list[str | int] = []
    created: Path | None = None
    for depth, part in enumerate(path):
        key = _key_or_index(data, part, path[:depth])
        followed.append(key)
        if depth == len(path) - 1:
            data[key] = value
        elif isinstance(data, dict) and data.get(key) is None:
            data[key] = {}
            created = created or tuple(followed)
        data = data[key]
    return created or tuple(followed)


def _key_or_index(data: Any, part: str, parent: Sequence[str]) -> str | int:
    """Returns the key or index that ``part`` names in ``data``, the value at ``parent``."""
    if isinstance(data, dict):
        return part
    if not isinstance(data, list):
        raise LookupError(f"{dotted(parent)} is {show(data)}, which has no keys")
    index = list_index(part, data)
    if index is None:
        hint = "; add a null item for it" if part == str(len(data)) else ""
        raise LookupError(f"{dotted(parent)} is a list of {len(data)} without item {part}{hint}")
    return index
