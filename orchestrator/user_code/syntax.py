"""The fingerprint of Python code: a hash of its syntax tree, without comments and layout."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

_NOTATION = frozenset({"kind", "type_comment"})
"""Fields of the tree about notation, not meaning."""


@lru_cache(maxsize=256)
def syntax_digest(source: bytes) -> str:
    """Returns SHA-256 of a module's syntax tree, in hex; of the bytes themselves if they are not Python.

    All versions of Python that parse the source into the same tree give the same digest. Empty fields are
    left out, as later versions add some.

    Example:
        >>> syntax_digest(b"x = 1  # one") == syntax_digest(b"x = 1") != syntax_digest(b"x = 1.0")
        True
    """
    try:
        text = on_a_new_stack(lambda: "".join(_tree_text(ast.parse(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(source).hexdigest()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def on_a_new_stack(function: Callable[[], T]) -> T:
    """Returns ``function()``, run in a new thread: how deep it can recurse does not depend on the caller."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def _tree_text(node: Any) -> Iterator[str]:
    """Yields a tree as text, each node in brackets."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            absent = value == [] or (value is None and not isinstance(node, ast.Constant))
            if name not in _NOTATION and not absent:
                yield f" {name}="
                yield from _tree_text(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _tree_text(item)
        yield "]"
    else:
        yield f"{type(node).__name__}:{node!r},"
