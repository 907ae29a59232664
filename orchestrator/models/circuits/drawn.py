"""The rotation about an axis that is drawn anew for each row."""

from __future__ import annotations

from functools import cache
from typing import Any


def drawn_rotation(angle: Any, index: int) -> Any:
    """Returns the one-qubit gate exp(-iθP/2), P the row's axis number ``index``; parameters: θ, ``index``."""
    return _gate()(angle, index)


def is_drawn_rotation(operation: Any) -> bool:
    """Returns whether an operation is a ``drawn_rotation``."""
    return type(operation) is _gate()


@cache
def _gate() -> type:
    """Returns the gate's class, which is defined only when Qiskit is loaded."""
    from qiskit.circuit import Gate

    class DrawnRotation(Gate):
        def __init__(self, angle: Any, index: int) -> None:
            super().__init__("drawn", 1, [angle, index])

    return DrawnRotation
