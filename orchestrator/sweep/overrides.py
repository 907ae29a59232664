"""``--set path=value``: changes to a sweep file for one command."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from orchestrator.addresses import masked
from orchestrator.errors import Fault, InputError
from orchestrator.sweep.document import Document, parse
from orchestrator.sweep.paths import Path, write


def overridden(source: Document, overrides: Iterable[str]) -> Document:
    """Returns the document with ``path=value`` pairs written over it, in order; values are YAML.

    Raises:
        InputError: with every pair that cannot be read, or whose path does not exist.

    Example:
        >>> overridden(parse("base: {steps: 1}", "a.yaml"), ["base.steps=10"]).data
        {'base': {'steps': 10}}
    """
    data, lines = copy.deepcopy(source.data), dict(source.lines)
    faults: list[Fault] = []
    for text in overrides:
        try:
            changed = _apply(text, data)
            lines = {known: line for known, line in lines.items() if known[: len(changed)] != changed}
            lines[changed] = _option(text)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return replace(source, data=data, lines=lines)


def _apply(text: str, data: Any) -> Path:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise InputError([Fault("", "must be path=value, e.g. base.steps=10", _option(text))])
    try:
        return write(data, path.split("."), parse(value, _option(text)).data)
    except InputError as error:
        raise InputError([replace(fault, line=0) for fault in error.faults]) from None
    except LookupError as error:
        raise InputError([Fault("", f"does not exist: {error}", _option(text))]) from None


def _option(text: str) -> str:
    """Returns the name of a pair in messages."""
    return f"--set {masked(text)}"
