"""Compiles a program to a schedule for the kernel: one turn for each run of rotations on a qubit.

CX and CZ are never executed. They map computational basis states to basis states, up to a sign. So instead
of the state ψ we keep χ with ψ = Vχ, where V is the product of all CX and CZ so far. A rotation about X_q or
Z_q of qubit q acts on χ as the same rotation about V†X_qV or V†Z_qV. These always have the form

    V†X_qV = ± X^flip Z^signs        V†Z_qV = Z^parity

(Gottesman's Heisenberg picture, arXiv quant-ph/9807006), where X^m is X on the qubits in the bit mask
m. Gates outside the observables' light cone are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.gates import GATE, NONE, Opcode, RotationAxis, Term
from orchestrator.models.circuits.program import Program


class Pauli(NamedTuple):
    """The operator i^phase X^x Z^z, which applies Z first."""

    phase: int
    x: int
    z: int

    def __matmul__(self, first: Pauli) -> Pauli:
        """Returns the product, which applies ``first`` first."""
        swaps = (self.z & first.x).bit_count()
        return Pauli((self.phase + first.phase + 2 * swaps) % 4, self.x ^ first.x, self.z ^ first.z)


MIXED = int(RotationAxis.DRAWN)
"""Axis of a turn whose rotations have several axes, or a drawn one."""

TURN = np.dtype(
    [
        (name, np.int64)
        for name in ("flip", "signs", "negative", "parity", "pivot", "start", "stop", "varies", "axis")
    ]
)
"""A turn: a run of rotations on one qubit.

- flip, signs, parity: the masks above
- negative: 1 for the minus sign
- pivot: index of the highest bit of flip
- start, stop: the turn's slice of the rotations
- varies: 1 if a rotation depends on an input
- axis: 0, 1 or 2 if all rotations are about X, Y or Z, else ``MIXED``
"""

TERM = np.dtype([("flip", np.int64), ("signs", np.int64), ("real", np.float64), ("imag", np.float64)])
"""A term V†PV = (real + i imag) X^flip Z^signs of an observable, as it acts on χ."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """The arrays that the kernel executes.

    Attributes:
        qubits: n.
        turns: [S] of ``TURN``, in order of application.
        rotations: of ``GATE``; those of a turn are consecutive.
        terms: [T] of ``TERM``; those of an observable are consecutive.
        bounds: [K + 1] index of each observable's first term, and T.
        projectors: [K] coefficients of |0…0><0…0|, equal for χ and ψ since V maps |0…0> to itself.
        first: index of the first turn with a trainable rotation; S if there is none.
        groups: [G + 1] index of the first turn of each group, and S. A group is a run of turns that commute
            with one another.
        support: [2^g] indices of the amplitudes that the first g turns, applied to |0…0>, make nonzero,
            without the lanes' bits. The g turns are those of the first group, up to the first turn that maps
            this support to itself. g is 0 if the program starts from amplitudes, or the lanes are amplitudes.
    """

    qubits: int
    turns: NDArray[np.void]
    rotations: NDArray[np.void]
    terms: NDArray[np.void]
    bounds: NDArray[np.int64]
    projectors: NDArray[np.float64]
    first: int
    groups: NDArray[np.int64]
    support: NDArray[np.int64]


@lru_cache(maxsize=64)
def schedule(program: Program, lowest: int) -> Schedule:
    """Compiles a program: its turns, and its observables in terms of χ.

    Args:
        program: of at most 62 - ``lowest`` qubits.
        lowest: index of the bit of qubit 0 in all masks.
    """
    gates = program.gates[program.live]
    builder = _Builder(gates, program.qubits, lowest)
    for index, gate in enumerate(gates):
        if gate["opcode"] == Opcode.ROTATION:
            builder.pending[int(gate["qubit"])].append(index)
        else:
            builder.entangle(int(gate["opcode"]), int(gate["qubit"]), int(gate["other"]))
    for qubit in range(program.qubits):
        builder.close_turn(qubit)
    rotations = np.array(gates[builder.order], GATE)
    turns = np.array(builder.turns, TURN)
    terms = np.array([builder.conjugated(t) for o in program.observables for t in o.terms], TERM)
    bounds = np.cumsum([0, *(len(observable.terms) for observable in program.observables)])
    projectors = np.array([observable.projector for observable in program.observables])
    trainable = [bool((rotations["parameter"][t["start"] : t["stop"]] != NONE).any()) for t in turns]
    first = [*trainable, True].index(True)
    groups = _groups(turns)
    growing = 0 if program.amplitudes or lowest == 0 else groups[1]
    support = _support(turns["flip"][:growing] >> lowest)
    return Schedule(program.qubits, turns, rotations, terms, bounds, projectors, first, groups, support)


def _groups(turns: NDArray[np.void]) -> NDArray[np.int64]:
    """Returns the index of each group's first turn, and S; one empty group if there is no turn."""
    starts = [0]
    for s, turn in enumerate(turns):
        if not all(_commute(turn, other) for other in turns[starts[-1] : s]):
            starts.append(s)
    return np.array([*starts, len(turns)])


def _commute(one: np.void, other: np.void) -> bool:
    """Returns whether two turns commute for all angles.

    X^a Z^b and X^c Z^d commute if |a & d| + |b & c| is even.
    """
    x, z, p = int(one["flip"]), int(one["signs"]), int(one["parity"])
    u, w, q = int(other["flip"]), int(other["signs"]), int(other["parity"])
    pairs = ((x & w).bit_count() + (z & u).bit_count(), (x & q).bit_count(), (p & u).bit_count())
    return not any(count % 2 for count in pairs)


def _support(flips: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the indices that flips reach from 0: each flip doubles them, up to the first that would not."""
    support = np.zeros(1, np.int64)
    for flip in flips:
        if flip in support:
            break
        support = np.concatenate([support, support ^ flip])
    return support


class _Builder:
    """Builds turns gate by gate, and keeps V†X_qV and V†Z_qV of every qubit."""

    def __init__(self, gates: NDArray[np.void], qubits: int, lowest: int) -> None:
        self.gates = gates
        bits = [1 << (lowest + qubit) for qubit in range(qubits)]
        self.x = [Pauli(0, bit, 0) for bit in bits]
        self.z = [Pauli(0, 0, bit) for bit in bits]
        self.pending: list[list[int]] = [[] for _ in range(qubits)]
        self.order: list[int] = []
        self.turns: list[tuple[int, ...]] = []

    def close_turn(self, qubit: int) -> None:
        """Ends the pending run of rotations on a qubit, and adds its turn."""
        run, x, z = self.pending[qubit], self.x[qubit], self.z[qubit]
        if run:
            start = len(self.order)
            self.order += run
            pivot = x.x.bit_length() - 1
            gates = self.gates[run]
            varies, axes = bool((gates["input"] != NONE).any()), {min(a, MIXED) for a in gates["axis"]}
            axis = axes.pop() if len(axes) == 1 else MIXED
            self.turns.append((x.x, x.z, x.phase // 2, z.z, pivot, start, len(self.order), varies, axis))
        self.pending[qubit] = []

    def entangle(self, opcode: int, a: int, b: int) -> None:
        """Adds a CX (X_a to X_a X_b, Z_b to Z_a Z_b) or CZ (X_a to X_a Z_b, X_b to X_b Z_a) to V."""
        self.close_turn(a)
        self.close_turn(b)
        if opcode == Opcode.CX:
            self.x[a], self.z[b] = self.x[a] @ self.x[b], self.z[a] @ self.z[b]
        else:
            self.x[a], self.x[b] = self.x[a] @ self.z[b], self.x[b] @ self.z[a]

    def conjugated(self, term: Term) -> tuple[int, int, float, float]:
        """Returns V†PV of a Pauli string P, in which Y = iXZ on each qubit."""
        product = Pauli((term.x & term.z).bit_count() % 4, 0, 0)
        for qubit in range(len(self.x)):
            if term.x >> qubit & 1:
                product = product @ self.x[qubit]
            if term.z >> qubit & 1:
                product = product @ self.z[qubit]
        angle = product.phase * math.pi / 2
        real, imag = term.coefficient * round(math.cos(angle)), term.coefficient * round(math.sin(angle))
        return product.x, product.z, real, imag
