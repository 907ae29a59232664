"""Which gates are in the light cone of an observable: its Pauli support, propagated backwards.

In the Heisenberg picture O becomes U†OU gate by gate, from the last to the first. We keep the set of
Pauli strings that O may then consist of, for any angles. A gate that commutes with all of them drops out
of U†OU: it has no effect, and the derivative by its angle is 0. When there are too many strings, we keep
only the set of Pauli matrices that they hold on each qubit. These sets forget which letters occur together.
So a gate without effect may count as live, but never the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.gates import NONE, Gate, Opcode, RotationAxis, Term

# A Pauli matrix is x + 2z (I 0, X 1, Z 2, Y 3); a set of them is an integer with bits 1 << pauli.
_I, _X, _Z, _Y = (1 << pauli for pauli in range(4))
_OF_AXIS = (_X, _Y, _Z)
"""The Pauli matrix of each ``RotationAxis``."""

MOST_STRINGS = 256
"""All strings of 4 qubits; tracking more would cost more than it saves."""


def in_light_cone(
    gates: NDArray[np.void], qubits: int, observable: Iterable[Term], projector: bool = False
) -> NDArray[np.bool_]:
    """Returns whether each gate can change the expectation value.

    Args:
        gates: [G] as in ``Program.gates``.
        qubits: n.
        observable: Pauli strings.
        projector: whether |0…0><0…0|, the mean of all products of Z, is added to the strings.

    Returns:
        bool [G]; false where E is the same without the gate, for all angles, inputs and axes.
    """
    strings = {(term.x, term.z) for term in observable}
    if projector and 2**qubits <= MOST_STRINGS:
        strings |= {(0, z) for z in range(2**qubits)}
    cone: _Strings | _Letters = _Strings(strings)
    if projector and 2**qubits > MOST_STRINGS:
        cone = _Letters([letters | _I | _Z for letters in _letters(strings, qubits)])
    live = np.zeros(len(gates), np.bool_)
    for index in range(len(gates) - 1, -1, -1):
        if isinstance(cone, _Strings) and len(cone.strings) > MOST_STRINGS:
            cone = _Letters(_letters(cone.strings, qubits))
        live[index] = cone.undo(Gate(*gates[index].item()))
    return live


def _letters(strings: Iterable[tuple[int, int]], qubits: int) -> list[int]:
    """Returns, for each qubit, the set of Pauli matrices that the strings hold there."""
    support = [0] * qubits
    for x, z in strings:
        for qubit in range(qubits):
            support[qubit] |= 1 << ((x >> qubit & 1) + 2 * (z >> qubit & 1))
    return support


class _Strings:
    """Pauli strings as pairs of bit masks (x, z).

    In a deep circuit the set is soon complete and no longer changes. So the results for gates that leave it
    unchanged are cached.
    """

    def __init__(self, strings: set[tuple[int, int]]) -> None:
        self.strings = strings
        self._known: dict[Gate, bool] = {}

    def undo(self, gate: Gate) -> bool:
        """Propagates the strings back through a gate; returns whether it does not commute with one."""
        key = gate._replace(parameter=min(gate.parameter, 0), input=min(gate.input, 0))
        if key in self._known:
            return self._known[key]
        before = self.strings
        live = self._undo(gate)
        if self.strings == before:
            self._known[key] = live
        else:
            self._known.clear()
        return live

    def _undo(self, gate: Gate) -> bool:
        if gate.opcode == Opcode.ROTATION:
            return self._rotate(gate)
        pairs = [(_conjugate(gate, x, z), (x, z)) for x, z in self.strings]
        self.strings = {before for before, _ in pairs}
        return any(before != after for before, after in pairs)

    def _rotate(self, gate: Gate) -> bool:
        bit = 1 << gate.qubit
        if gate.axis >= RotationAxis.DRAWN:
            touching = {(x, z) for x, z in self.strings if (x | z) & bit}
            rest = {(x & ~bit, z & ~bit) for x, z in touching}
            self.strings = self.strings | {(x | px, z | pz) for x, z in rest for px, pz in _paulis(bit)}
            return bool(touching)
        px, pz = _paulis(bit)[gate.axis]
        anticommuting = {(x, z) for x, z in self.strings if bool(x & pz) != bool(z & px)}
        products = {(x ^ px, z ^ pz) for x, z in anticommuting}
        turns = _quarter_turns(gate.offset) if gate.parameter == gate.input == NONE else None
        if turns is None:
            self.strings = self.strings | products
        elif turns % 2:
            self.strings = self.strings - anticommuting | products
        return bool(anticommuting)


def _paulis(bit: int) -> tuple[tuple[int, int], ...]:
    """Returns X, Y and Z on one qubit, as pairs (x, z)."""
    return (bit, 0), (bit, bit), (0, bit)


def _conjugate(gate: Gate, x: int, z: int) -> tuple[int, int]:
    """Propagates a string back through a CX or CZ; its sign is left out."""
    a, b = gate.qubit, gate.other
    if gate.opcode == Opcode.CX:
        return x ^ (x >> a & 1) << b, z ^ (z >> b & 1) << a
    return x, z ^ (x >> b & 1) << a ^ (x >> a & 1) << b


class _Letters:
    """For each qubit, the set of Pauli matrices that the strings may hold there."""

    def __init__(self, support: list[int]) -> None:
        self.support = support

    def undo(self, gate: Gate) -> bool:
        """Propagates the sets back through a gate; returns whether it may not commute with a string."""
        a, b = gate.qubit, gate.other
        if gate.opcode == Opcode.ROTATION:
            fixed = gate.offset if gate.parameter == gate.input == NONE else None
            before = _before_rotation(self.support[a], gate.axis, fixed)
            self.support[a] = before or self.support[a]
            return before is not None
        pair = _before_entangler(gate.opcode, self.support[a], self.support[b])
        self.support[a], self.support[b] = pair or (self.support[a], self.support[b])
        return pair is not None


def _before_rotation(letters: int, axis: int, fixed: float | None) -> int | None:
    """Returns the set before a rotation by ``fixed`` radians, or by any angle; None if the two commute."""
    if axis >= RotationAxis.DRAWN:
        return None if letters == _I else letters | _X | _Y | _Z
    if not letters & ~(_I | _OF_AXIS[axis]):
        return None
    turns = None if fixed is None else _quarter_turns(fixed)
    first, second = (letter for letter in _OF_AXIS if letter != _OF_AXIS[axis])
    if turns is None:
        return letters | first | second
    swapped = (first if letters & second else 0) | (second if letters & first else 0)
    return letters & ~(first | second) | swapped if turns % 2 else letters


def _quarter_turns(angle: float) -> int | None:
    """Returns ``angle`` in units of π/2 if that is whole, up to rounding: it then permutes Pauli matrices."""
    turns = round(angle / (math.pi / 2))
    return turns if abs(angle - turns * math.pi / 2) < 1e-14 else None


@cache
def _before_entangler(opcode: int, a: int, b: int) -> tuple[int, int] | None:
    """Returns the sets of control (a) and target (b) before a CX or CZ; None if the gate commutes."""
    commuting = (_I | _Z, _I | _X if opcode == Opcode.CX else _I | _Z)
    if not a & ~commuting[0] and not b & ~commuting[1]:
        return None
    before_a = before_b = 0
    for first, second in product(range(4), range(4)):
        if a >> first & 1 and b >> second & 1:
            (xa, za), (xb, zb) = divmod(first, 2)[::-1], divmod(second, 2)[::-1]
            if opcode == Opcode.CX:
                xb, za = xb ^ xa, za ^ zb
            else:
                za, zb = za ^ xb, zb ^ xa
            before_a |= 1 << xa + 2 * za
            before_b |= 1 << xb + 2 * zb
    return before_a, before_b
