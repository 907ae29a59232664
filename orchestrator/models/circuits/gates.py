"""The gates that a circuit is read into, and the terms of an observable."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Opcode(IntEnum):
    """Kinds of gates."""

    ROTATION = 0
    CX = 1
    CZ = 2


class RotationAxis(IntEnum):
    """Axis of a rotation exp(-iθP/2); ``DRAWN + k`` stands for the row's k-th drawn axis."""

    X = 0
    Y = 1
    Z = 2
    DRAWN = 3


NONE = -1
"""In an array of indices: there is none."""


class Gate(NamedTuple):
    """One gate; the angle of a rotation is scale · (parameter or input) + offset, or the offset alone.

    Attributes:
        opcode: an ``Opcode``.
        qubit: the rotated qubit, the control of a CX, one end of a CZ.
        other: target of a CX, other end of a CZ, else ``NONE``.
        axis: an ``RotationAxis`` or ``RotationAxis.DRAWN + k``, ``NONE`` for CX and CZ.
        parameter: index of the trainable parameter or, behind those, of a computed angle; or ``NONE``.
        input: index of the feature or, behind those, of a computed one; or ``NONE``.
        scale: factor of the parameter or input.
        offset: radians.
    """

    opcode: int
    qubit: int
    other: int = NONE
    axis: int = NONE
    parameter: int = NONE
    input: int = NONE
    scale: float = 0.0
    offset: float = 0.0


GATE = np.dtype(
    [(name, np.float64 if name in ("scale", "offset") else np.int64) for name in Gate._fields], align=True
)
"""The fields of ``Gate`` as a NumPy record."""


class Term(NamedTuple):
    """coefficient · Pauli string; bit q of ``x`` and ``z`` says that X, Z (both: Y) acts on qubit q."""

    coefficient: float
    x: int
    z: int


class Observable(NamedTuple):
    """A Hermitian operator: a sum of Pauli strings, and a multiple of |0…0><0…0|."""

    terms: tuple[Term, ...]
    projector: float = 0.0
