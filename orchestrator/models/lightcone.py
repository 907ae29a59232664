"""Which gates an observable can feel: its Pauli support, propagated backwards.

In the Heisenberg picture O becomes U†OU gate by gate, from the last to the first. Of every qubit we
keep the set of Pauli matrices that some term of O may hold there by then. A gate that commutes with
all of them drops out of U†OU: it, and the derivative by its angle, has no effect at all. The sets
forget which letters occur together, so a gate may be kept that has no effect, never the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.gates import NONE, Axis, Gate, Opcode, Term

# A Pauli matrix is x + 2z (I 0, X 1, Z 2, Y 3), a set of them an integer with bit 1 << pauli.
_I, _X, _Z, _Y = (1 << pauli for pauli in range(4))
_ABOUT = (_X, _Y, _Z)


def reached(
    gates: NDArray[np.void], qubits: int, observable: Iterable[Term], projector: bool = False
) -> NDArray[np.bool_]:
    """Whether each gate can change the expectation value.

    Args:
        gates: [G] records as in ``Program.gates``.
        qubits: n.
        observable: its Pauli strings.
        projector: whether |0…0><0…0|, the mean of all products of Z, is added to them.

    Returns:
        bool [G]; where it is false, E is the same without the gate, for all angles, inputs and axes.
    """
    support = _support(qubits, observable, projector)
    live = np.zeros(len(gates), np.bool_)
    for index in range(len(gates) - 1, -1, -1):
        gate = Gate(*gates[index].item())
        if gate.opcode == Opcode.ROTATION:
            fixed = gate.offset if gate.parameter == gate.input == NONE else None
            after = _rotated(support[gate.qubit], gate.axis, fixed)
            live[index] = after is not None
            support[gate.qubit] = after or support[gate.qubit]
        else:
            pair = _entangled(gate.opcode, support[gate.qubit], support[gate.other])
            live[index] = pair is not None
            support[gate.qubit], support[gate.other] = pair or (support[gate.qubit], support[gate.other])
    return live


def _support(qubits: int, observable: Iterable[Term], projector: bool) -> list[int]:
    support = [_I | _Z if projector else 0] * qubits
    for term in observable:
        for qubit in range(qubits):
            support[qubit] |= 1 << ((term.x >> qubit & 1) + 2 * (term.z >> qubit & 1))
    return support


def _rotated(letters: int, axis: int, fixed: float | None) -> int | None:
    """The set after undoing a rotation, by ``fixed`` radians or any angle; None if it commutes."""
    if axis >= Axis.DRAWN:
        return None if letters == _I else letters | _X | _Y | _Z
    if not letters & ~(_I | _ABOUT[axis]):
        return None
    turns = None if fixed is None else _quarter_turns(fixed)
    first, second = (about for about in _ABOUT if about != _ABOUT[axis])
    if turns is None:
        return letters | first | second
    swapped = (first if letters & second else 0) | (second if letters & first else 0)
    return letters & ~(first | second) | swapped if turns % 2 else letters


def _quarter_turns(angle: float) -> int | None:
    """The multiple of π/2 that ``angle`` is, up to rounding; such a rotation permutes Pauli matrices."""
    turns = round(angle / (math.pi / 2))
    return turns if abs(angle - turns * math.pi / 2) < 1e-14 else None


@cache
def _entangled(opcode: int, a: int, b: int) -> tuple[int, int] | None:
    """The sets of control (a) and target (b) after undoing a CX or CZ; None if it commutes."""
    commuting = (_I | _Z, _I | _X if opcode == Opcode.CX else _I | _Z)
    if not a & ~commuting[0] and not b & ~commuting[1]:
        return None
    after_a = after_b = 0
    for first, second in product(range(4), range(4)):
        if a >> first & 1 and b >> second & 1:
            (xa, za), (xb, zb) = divmod(first, 2)[::-1], divmod(second, 2)[::-1]
            if opcode == Opcode.CX:
                xb, za = xb ^ xa, za ^ zb
            else:
                za, zb = za ^ xb, zb ^ xa
            after_a |= 1 << xa + 2 * za
            after_b |= 1 << xb + 2 * zb
    return after_a, after_b
