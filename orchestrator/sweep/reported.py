"""What users read of a faulty document: each fault with file and line, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from orchestrator.config.faults import UNKNOWN_KEY
from orchestrator.errors import Fault
from orchestrator.sweep.document import Document
from orchestrator.sweep.paths import Located, dotted

_MOST_ALIKE = 10
"""Faults of one name and line that are shown; a faulty range would fill the screen."""
_MOST_FAULTS = 100
"""Faults that are shown."""


def reported(found: Iterable[Located], document: Document) -> list[Fault]:
    """The faults, those that read alike once, in the order of the file; of very many the first are shown.

    Example:
        >>> from orchestrator.sweep.document import parse
        >>> print(*reported([Located(("base", "steps"), "is 0")], parse("base: {steps: 0}", "a.yaml")))
        a.yaml:1: base.steps: is 0
    """
    faults = sorted((_fault(one, document) for one in found), key=lambda fault: fault.order)
    different = {_reading(fault): fault for fault in faults}.values()
    shown: list[Fault] = []
    for _, group in groupby(different, key=lambda fault: fault.order[:3]):
        alike = list(group)
        shown += alike[:_MOST_ALIKE]
        if more := alike[_MOST_ALIKE:]:
            shown.append(replace(more[0], message=f"… and {len(more):,} more like this"))
    if more := shown[_MOST_FAULTS:]:
        shown[_MOST_FAULTS:] = [Fault("", f"… and {len(more):,} more faults", more[0].file)]
    return shown


def _reading(fault: Fault) -> tuple[object, ...]:
    """What tells faults apart: an unknown key is one, whatever else each of several members would take."""
    return fault.order[:3] if fault.message.startswith(UNKNOWN_KEY) else fault.order


def _fault(found: Located, document: Document) -> Fault:
    message = found.message
    if found.other is not None:
        file, line = document.where(found.other)
        message += f" (also in {f'line {line}' if line else file}); give each key one place"
    return Fault(found.name or dotted(found.path), message, *document.where(found.path))
