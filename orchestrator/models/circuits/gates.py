"""The gates of a program, and the terms of an observable."""

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
"""Stands for a missing index in an array of indices."""


class Gate(NamedTuple):
    """One gate. The angle of a rotation is scale · (parameter or input) + offset, or the offset alone.

    Attributes:
        opcode: an ``Opcode``.
        qubit: the rotated qubit, the control of a CX, one end of a CZ.
        other: target of a CX, other end of a CZ, else ``NONE``.
        axis: an ``RotationAxis`` or ``RotationAxis.DRAWN + k``, ``NONE`` for CX and CZ.
        parameter: index of a trainable parameter (below P) or of a computed angle (from P on); or ``NONE``.
        input: index of a feature (below F) or of a computed feature (from F on); or ``NONE``.
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
"""NumPy's structured dtype with the fields of ``Gate``."""


class Term(NamedTuple):
    """coefficient · Pauli string. Bit q of ``x`` stands for X on qubit q, of ``z`` for Z, and both for Y."""

    coefficient: float
    x: int
    z: int


class Observable(NamedTuple):
    """A Hermitian operator: a sum of Pauli strings, and a multiple of |0…0><0…0|."""

    terms: tuple[Term, ...]
    projector: float = 0.0
