"""From a program to what the kernel executes: turns, one for each run of rotations on a qubit.

CX and CZ are never executed. They map computational basis states to basis states up to a sign, so
instead of the state we keep χ with ψ = Vχ, V the product of all of them so far: a rotation on qubit q
acts on χ as the same rotation about V†X_qV and V†Z_qV, in place of X_q and Z_q. Those stay of the form

    V†X_qV = ± X^flip Z^signs        V†Z_qV = Z^parity

(Gottesman's Heisenberg picture, arXiv quant-ph/9807006), where X^m is X on the qubits in the bit mask
m. Gates that the observable cannot feel are left out.
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
    """i^phase X^x Z^z, Z first."""

    phase: int
    x: int
    z: int

    def __matmul__(self, first: Pauli) -> Pauli:
        """The product, ``first`` applied first."""
        swaps = (self.z & first.x).bit_count()
        return Pauli((self.phase + first.phase + 2 * swaps) % 4, self.x ^ first.x, self.z ^ first.z)


MIXED = int(RotationAxis.DRAWN)
"""Axis of a turn whose rotations are not all about the same one, or about one that is drawn."""

TURN = np.dtype(
    [
        (name, np.int64)
        for name in ("flip", "signs", "negative", "parity", "pivot", "start", "stop", "varies", "axis")
    ]
)
"""One run of rotations on a qubit.

flip, signs, parity: masks as above; negative: 1 for the minus sign; pivot: place of the highest bit of
flip; start, stop: its slice of the rotations; varies: 1 if one of them depends on an input;
axis: 0, 1 or 2 if all of them are about X, Y or Z, else ``MIXED``.
"""

TERM = np.dtype([("flip", np.int64), ("signs", np.int64), ("real", np.float64), ("imag", np.float64)])
"""One term (real + i imag) X^flip Z^signs of the observable, as χ sees it."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """What the kernel executes.

    Attributes:
        qubits: n.
        turns: [S] records of ``TURN``, in order of application.
        rotations: [K] records of ``GATE``, those of a turn side by side.
        terms: [T] records of ``TERM``, those of an observable side by side.
        bounds: [K + 1] where the terms of each observable start, and T.
        projectors: [K] coefficients of |0…0><0…0|, which is the same for χ as for ψ: V leaves |0…0> alone.
        first: the first turn with a trainable rotation; S if there is none.
        groups: [G + 1] where runs of turns that commute with one another start, and S.
        support: [2^g] the places that the first g turns make of |0…0>, without the lanes' bits. They are all
            turns of the first group, up to one that would mix places that are there already. None of them if
            the state at the start is given by amplitudes, or the lanes are amplitudes.
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
    """The turns of a program, and its observable behind them.

    Args:
        program: of at most 62 - ``lowest`` qubits.
        lowest: the bit that stands for qubit 0 in all masks.
    """
    gates = program.gates[program.live]
    builder = _Builder(gates, program.qubits, lowest)
    for index, gate in enumerate(gates):
        if gate["opcode"] == Opcode.ROTATION:
            builder.pending[int(gate["qubit"])].append(index)
        else:
            builder.entangle(int(gate["opcode"]), int(gate["qubit"]), int(gate["other"]))
    for qubit in range(program.qubits):
        builder.turn(qubit)
    rotations = np.array(gates[builder.order], GATE)
    turns = np.array(builder.turns, TURN)
    terms = np.array([builder.seen(t) for o in program.observables for t in o.terms], TERM)
    bounds = np.cumsum([0, *(len(observable.terms) for observable in program.observables)])
    projectors = np.array([observable.projector for observable in program.observables])
    trainable = [bool((rotations["parameter"][t["start"] : t["stop"]] != NONE).any()) for t in turns]
    first = [*trainable, True].index(True)
    groups = _groups(turns)
    grown = 0 if program.amplitudes or lowest == 0 else groups[1]
    support = _support(turns["flip"][:grown] >> lowest)
    return Schedule(program.qubits, turns, rotations, terms, bounds, projectors, first, groups, support)


def _groups(turns: NDArray[np.void]) -> NDArray[np.int64]:
    """Where groups start, and S; one empty group if there is no turn."""
    starts = [0]
    for s, turn in enumerate(turns):
        if not all(_commute(turn, other) for other in turns[starts[-1] : s]):
            starts.append(s)
    return np.array([*starts, len(turns)])


def _commute(one: np.void, other: np.void) -> bool:
    """Whether turns commute whatever their angles, as X^a Z^b and X^c Z^d do if |a & d| + |b & c| is even."""
    x, z, p = int(one["flip"]), int(one["signs"]), int(one["parity"])
    u, w, q = int(other["flip"]), int(other["signs"]), int(other["parity"])
    pairs = ((x & w).bit_count() + (z & u).bit_count(), (x & q).bit_count(), (p & u).bit_count())
    return not any(count % 2 for count in pairs)


def _support(flips: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places that flips reach from 0, twice as many by each, up to one that leads back to them."""
    support = np.zeros(1, np.int64)
    for flip in flips:
        if flip in support:
            break
        support = np.concatenate([support, support ^ flip])
    return support


class _Builder:
    """Follows a circuit from the front, with V†X_qV and V†Z_qV of every qubit."""

    def __init__(self, gates: NDArray[np.void], qubits: int, lowest: int) -> None:
        self.gates = gates
        bits = [1 << (lowest + qubit) for qubit in range(qubits)]
        self.x = [Pauli(0, bit, 0) for bit in bits]
        self.z = [Pauli(0, 0, bit) for bit in bits]
        self.pending: list[list[int]] = [[] for _ in range(qubits)]
        self.order: list[int] = []
        self.turns: list[tuple[int, ...]] = []

    def turn(self, qubit: int) -> None:
        """Closes the run of rotations that waits on a qubit."""
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
        """CX (X_a to X_a X_b, Z_b to Z_a Z_b) or CZ (X_a to X_a Z_b, X_b to X_b Z_a)."""
        self.turn(a)
        self.turn(b)
        if opcode == Opcode.CX:
            self.x[a], self.z[b] = self.x[a] @ self.x[b], self.z[a] @ self.z[b]
        else:
            self.x[a], self.x[b] = self.x[a] @ self.z[b], self.x[b] @ self.z[a]

    def seen(self, term: Term) -> tuple[int, int, float, float]:
        """V†PV of a Pauli string P; on each qubit Y = iXZ."""
        product = Pauli((term.x & term.z).bit_count() % 4, 0, 0)
        for qubit in range(len(self.x)):
            if term.x >> qubit & 1:
                product = product @ self.x[qubit]
            if term.z >> qubit & 1:
                product = product @ self.z[qubit]
        angle = product.phase * math.pi / 2
        real, imag = term.coefficient * round(math.cos(angle)), term.coefficient * round(math.sin(angle))
        return product.x, product.z, real, imag
