"""The report of a faulty document: faults with file and line, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from orchestrator.config.faults import UNKNOWN_KEY
from orchestrator.errors import Fault
from orchestrator.sweep.document import Document
from orchestrator.sweep.paths import DocumentFault, dotted

_MOST_ALIKE = 10
"""Faults with one name and line that are listed; a faulty range would fill the screen."""
_MOST_FAULTS = 100
"""Faults that are listed."""


def reported(faults: Iterable[DocumentFault], document: Document) -> list[Fault]:
    """Returns the faults in the order of the file, equal ones once; of very many, only the first.

    Example:
        >>> from orchestrator.sweep.document import parse
        >>> print(*reported([DocumentFault(("base", "steps"), "is 0")], parse("base: {steps: 0}", "a.yaml")))
        a.yaml:1: base.steps: is 0
    """
    located = sorted((_fault(fault, document) for fault in faults), key=lambda fault: fault.order)
    different = {_identity(fault): fault for fault in located}.values()
    listed: list[Fault] = []
    for _, group in groupby(different, key=lambda fault: fault.order[:3]):
        alike = list(group)
        listed += alike[:_MOST_ALIKE]
        if more := alike[_MOST_ALIKE:]:
            listed.append(replace(more[0], message=f"… and {len(more):,} more like this"))
    if more := listed[_MOST_FAULTS:]:
        listed[_MOST_FAULTS:] = [Fault("", f"… and {len(more):,} more faults", more[0].file)]
    return listed


def _identity(fault: Fault) -> tuple[object, ...]:
    """Returns what distinguishes a fault; an unknown key is one fault, whatever the legal keys are."""
    return fault.order[:3] if fault.message.startswith(UNKNOWN_KEY) else fault.order


def _fault(fault: DocumentFault, document: Document) -> Fault:
    message = fault.message
    if fault.other is not None:
        file, line = document.where(fault.other)
        message += f" (also in {f'line {line}' if line else file}); set each key only once"
    return Fault(fault.name or dotted(fault.path), message, *document.where(fault.path))
