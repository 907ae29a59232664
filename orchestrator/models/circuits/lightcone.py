"""Which gates an observable can feel: its Pauli support, propagated backwards.

In the Heisenberg picture O becomes U†OU gate by gate, from the last to the first. We keep the set of
Pauli strings that O may consist of by then, for any angles. A gate that commutes with all of them drops
out of U†OU: it, and the derivative by its angle, has no effect at all. When the strings become too many
we keep, of every qubit, only the set of Pauli matrices that they hold there. Those sets forget which
letters occur together, so a gate may be kept that has no effect, never the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.gates import NONE, Gate, Opcode, RotationAxis, Term

# A Pauli matrix is x + 2z (I 0, X 1, Z 2, Y 3), a set of them an integer with bit 1 << pauli.
_I, _X, _Z, _Y = (1 << pauli for pauli in range(4))
_ABOUT = (_X, _Y, _Z)


MOST_STRINGS = 256
"""As many as 4 qubits can have; following more would cost more than it saves."""


def in_light_cone(
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
    """The sets of Pauli matrices that strings hold on each qubit."""
    support = [0] * qubits
    for x, z in strings:
        for qubit in range(qubits):
            support[qubit] |= 1 << ((x >> qubit & 1) + 2 * (z >> qubit & 1))
    return support


class _Strings:
    """Pauli strings as pairs of bit masks (x, z).

    In a deep circuit they soon are all that there can be, and stay; so gates that leave them are remembered.
    """

    def __init__(self, strings: set[tuple[int, int]]) -> None:
        self.strings = strings
        self._known: dict[Gate, bool] = {}

    def undo(self, gate: Gate) -> bool:
        """Makes the strings what they are before the gate; whether it does not commute with some of them."""
        alike = gate._replace(parameter=min(gate.parameter, 0), input=min(gate.input, 0))
        if alike in self._known:
            return self._known[alike]
        before = self.strings
        live = self._undo(gate)
        if self.strings == before:
            self._known[alike] = live
        else:
            self._known.clear()
        return live

    def _undo(self, gate: Gate) -> bool:
        if gate.opcode == Opcode.ROTATION:
            return self._rotate(gate)
        before = [(_conjugated(gate, x, z), (x, z)) for x, z in self.strings]
        self.strings = {string for string, _ in before}
        return any(string != same for string, same in before)

    def _rotate(self, gate: Gate) -> bool:
        bit = 1 << gate.qubit
        if gate.axis >= RotationAxis.DRAWN:
            moved = {(x, z) for x, z in self.strings if (x | z) & bit}
            rest = {(x & ~bit, z & ~bit) for x, z in moved}
            self.strings = self.strings | {(x | px, z | pz) for x, z in rest for px, pz in _paulis(bit)}
            return bool(moved)
        px, pz = _paulis(bit)[gate.axis]
        moved = {(x, z) for x, z in self.strings if bool(x & pz) != bool(z & px)}
        turned = {(x ^ px, z ^ pz) for x, z in moved}
        turns = _quarter_turns(gate.offset) if gate.parameter == gate.input == NONE else None
        if turns is None:
            self.strings = self.strings | turned
        elif turns % 2:
            self.strings = self.strings - moved | turned
        return bool(moved)


def _paulis(bit: int) -> tuple[tuple[int, int], ...]:
    """X, Y and Z on one qubit."""
    return (bit, 0), (bit, bit), (0, bit)


def _conjugated(gate: Gate, x: int, z: int) -> tuple[int, int]:
    """A string before a CX or CZ; its sign is left out."""
    a, b = gate.qubit, gate.other
    if gate.opcode == Opcode.CX:
        return x ^ (x >> a & 1) << b, z ^ (z >> b & 1) << a
    return x, z ^ (x >> b & 1) << a ^ (x >> a & 1) << b


class _Letters:
    """For every qubit, the Pauli matrices that it may hold."""

    def __init__(self, support: list[int]) -> None:
        self.support = support

    def undo(self, gate: Gate) -> bool:
        """Makes the sets what they are before the gate; whether it commutes with none of their strings."""
        a, b = gate.qubit, gate.other
        if gate.opcode == Opcode.ROTATION:
            fixed = gate.offset if gate.parameter == gate.input == NONE else None
            after = _rotated(self.support[a], gate.axis, fixed)
            self.support[a] = after or self.support[a]
            return after is not None
        pair = _entangled(gate.opcode, self.support[a], self.support[b])
        self.support[a], self.support[b] = pair or (self.support[a], self.support[b])
        return pair is not None


def _rotated(letters: int, axis: int, fixed: float | None) -> int | None:
    """The set after undoing a rotation, by ``fixed`` radians or any angle; None if it commutes."""
    if axis >= RotationAxis.DRAWN:
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
