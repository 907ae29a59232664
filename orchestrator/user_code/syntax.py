"""The fingerprint of Python code: that of its syntax tree, so comments and layout do not count."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

_NOTES = frozenset({"kind", "type_comment"})
"""Fields of the tree that say how something was written, not what it does."""


@lru_cache(maxsize=256)
def syntax_digest(source: bytes) -> str:
    """SHA-256 of a module's syntax tree, in hex; of the bytes themselves if they are no Python.

    Equal for every version of Python that reads the source as the same tree: fields that are empty are left
    out, as later versions add some.

    Example:
        >>> syntax_digest(b"x = 1  # one") == syntax_digest(b"x = 1") != syntax_digest(b"x = 1.0")
        True
    """
    try:
        written = on_a_stack_of_its_own(lambda: "".join(_written(ast.parse(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(source).hexdigest()
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def on_a_stack_of_its_own(function: Callable[[], T]) -> T:
    """What ``function`` returns or raises; how deep it may recurse does not depend on who calls."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def _written(node: Any) -> Iterator[str]:
    """A tree as text, each node in brackets."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            absent = value == [] or (value is None and not isinstance(node, ast.Constant))
            if name not in _NOTES and not absent:
                yield f" {name}="
                yield from _written(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _written(item)
        yield "]"
    else:
        yield f"{type(node).__name__}:{node!r},"
