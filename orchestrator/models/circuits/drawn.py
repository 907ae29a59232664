"""The gate whose axis is drawn anew for each row."""

from __future__ import annotations

from functools import cache
from typing import Any


def drawn_rotation(angle: Any, index: int) -> Any:
    """A gate on one qubit, exp(-iθP/2), P the row's axis number ``index``; its parameters are θ and that."""
    return _gate()(angle, index)


def is_drawn_rotation(operation: Any) -> bool:
    """Whether an operation is such a gate."""
    return type(operation) is _gate()


@cache
def _gate() -> type:
    """Its class, which Qiskit's must be loaded for."""
    from qiskit.circuit import Gate

    class DrawnRotation(Gate):
        def __init__(self, angle: Any, index: int) -> None:
            super().__init__("drawn", 1, [angle, index])

    return DrawnRotation
