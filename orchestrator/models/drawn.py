"""The gate whose axis is drawn anew for each row. Imports Qiskit: load this module where it is used."""

from __future__ import annotations

from typing import Any

from qiskit.circuit import Gate


class DrawnRotation(Gate):
    """exp(-iθP/2) on one qubit, P the row's axis number ``index``."""

    def __init__(self, angle: Any, index: int) -> None:
        super().__init__("drawn", 1, [angle, index])
