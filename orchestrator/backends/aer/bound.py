"""Adjoint differentiation on Aer with a binding of the circuit's angles for each sample: the scheme for GPUs.

Samples on an index register (``adjoint.py``) would not do there. Of m qubits Aer reads the probabilities
in 2^m passes over the state, and it makes a dense matrix of a gate that is multiplexed over m qubits. All
bindings of a circuit, however, run as one batch. So for each Pauli string U of the observables one circuit
prepares

    |0>ψ + |1>Uψ    on an ancilla and the qubits, normalised,

where the ancilla's <X> is <U>, and undoes the gates; behind a gate of axis P, the value of <Y ⊗ P> is
-Im<Uψ|P|ψ> = -d<U>/dφ. A projector is (1 - U)/2 with U = 1 - 2|0…0><0…0|, another reflection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.expectation import BINDINGS, AerProgram, axes_of, varies
from orchestrator.backends.aer.gates import append
from orchestrator.backends.aer.simulator import run
from orchestrator.backends.base import Part
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import NONE, Gate, Opcode, RotationAxis, Term
from orchestrator.models.circuits.program import Point, Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_RESULT_BYTES = 600
"""Of a number under its label in Aer's results, as measured, and rounded up."""


class _Reading(NamedTuple):
    """<Y ⊗ P> before gate number ``place`` is undone, P being a Pauli matrix on its qubit."""

    place: int
    gate: Gate
    axis: int

    @property
    def label(self) -> str:
        return f"{self.place} {self.axis}"

    def counts(self, axes: NDArray[np.int8]) -> NDArray[np.bool_] | bool:
        """[N] where axes [N, A] make the gate a rotation about this one."""
        if self.gate.axis < RotationAxis.DRAWN:
            return True
        return axes[:, self.gate.axis - RotationAxis.DRAWN] == self.axis


class BoundAdjoint(AerProgram):
    """A program that is differentiated, too; arguments as for ``AerProgram``, without noise."""

    @property
    def program(self) -> Program:
        """The program itself."""
        return self._program

    @property
    def executions(self) -> int:
        """Circuits executed for a gradient of one sample: one, there and back."""
        return 1

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """E and Σ_k c_k dE_k/dθ of all samples, in order, as many at a time as a run has bindings."""
        point = self._program.expand(Point(parameters, inputs, axes))
        count, outputs = inputs.shape[0] * inputs.shape[1], self._program.outputs
        factors = np.ones((count, 1)) if cotangents is None else cotangents.reshape(count, outputs)
        angles = self._angles(*point).reshape(count, len(self._varying))
        drawn = np.repeat(point.axes, count // len(point.axes), 0)
        for start in range(0, count, BINDINGS):
            place = slice(start, min(start + BINDINGS, count))
            value, derivative = self._derivatives(angles[place], drawn[place], factors[place])
            yield Part(place, value, self._program.chain(derivative, point, place))

    def _derivatives(self, angles: Array, axes: NDArray[np.int8], cotangents: Array) -> tuple[Array, Array]:
        """E [N, K] and Σ_k c_k dE_k/dφ [N, P + angles] of bindings [N, V]; NaN where one is not finite."""
        finite = np.isfinite(angles).all(-1, keepdims=True)
        angles = np.where(finite, angles, 0.0)
        value = np.where(finite, self._constants, np.nan)
        derivative = np.zeros((len(angles), self._program.parameters + len(self._program.angles)))
        derivative += np.where(finite, 0.0, np.nan)
        for k, factor, circuit in self._circuits:
            found = self._found(circuit, angles)
            value[:, k] += factor * found[:, 0]
            for reading, column in zip(self._readings, found[:, 1:].T, strict=True):
                slope = -factor * reading.gate.scale * cotangents[:, k] * column
                derivative[:, reading.gate.parameter] += slope * reading.counts(axes)
        return value, derivative

    def _found(self, circuit: QuantumCircuit, angles: Array) -> Array:
        """[N, 1 + readings] what a circuit tells of bindings [N, V]."""
        labels = ["value", *(reading.label for reading in self._readings)]
        both = np.concatenate([angles, -angles], axis=1)
        symbols = (*self._symbols, *self._undoing)
        binds = [dict(zip(symbols, both.T, strict=True))] if symbols else []
        result = run(self._simulator, circuit, binds)
        rows = [result.data(i) for i in range(len(angles) if symbols else 1)]
        table = np.array([[row[label] for label in labels] for row in rows])
        return np.broadcast_to(table, (len(angles), len(labels)))

    @cached_property
    def _readings(self) -> list[_Reading]:
        """All rotations by a parameter, the last one first; one about a drawn axis three times."""
        trained = [(k, gate) for k, gate in enumerate(self._gates) if gate.parameter != NONE]
        return [_Reading(k, gate, axis) for k, gate in reversed(trained) for axis in axes_of(gate)]

    @cached_property
    def _undoing(self) -> Any:
        from qiskit.circuit import ParameterVector

        return ParameterVector("χ", len(self._varying))

    @cached_property
    def _constants(self) -> Array:
        """[K] what identities add to E, those in projectors included."""
        return np.array(
            [
                sum(term.coefficient for term in terms if not term.x | term.z) + projector / 2
                for terms, projector in self._program.observables
            ]
        )

    @cached_property
    def _circuits(self) -> list[tuple[int, float, QuantumCircuit]]:
        """One for each reflection in the observables: of which one, its factor, the circuit."""
        found = []
        for k, (terms, projector) in enumerate(self._program.observables):
            reflections = [term for term in terms if term.x | term.z]
            found += [(k, term.coefficient, self._reflected(term)) for term in reflections]
            if projector:
                found.append((k, -projector / 2, self._reflected(None)))
        return found

    def _reflected(self, term: Term | None) -> QuantumCircuit:
        """There and back, with the reflection in between; None: that of a projector."""
        from qiskit import QuantumCircuit
        from qiskit.quantum_info import SparsePauliOp

        top = self._program.qubits
        circuit = QuantumCircuit(top + 1)
        for gate, rotations in zip(self._gates, self._rotations(self._symbols, 1.0), strict=True):
            append(circuit, gate, *rotations)
        circuit.h(top)
        _reflect(circuit, term)
        circuit.save_expectation_value(SparsePauliOp("X"), [top], label="value")
        readings = {place: list(group) for place, group in groupby(self._readings, attrgetter("place"))}
        for k, rotations in reversed(list(enumerate(self._rotations(self._undoing, -1.0)))):
            for reading in readings.get(k, ()):
                pauli = SparsePauliOp("Y" + "XYZ"[reading.axis])
                circuit.save_expectation_value(pauli, [reading.gate.qubit, top], label=reading.label)
            append(circuit, self._gates[k], *rotations)
        return circuit

    def _rotations(self, symbols: Sequence[Any], sign: float) -> list[list[tuple[int, Any]]]:
        """For every gate its (axis, angle): symbols where it varies, else its own with a sign."""
        left = iter(symbols)
        return [
            [(axis, next(left) if varies(gate) else sign * gate.offset) for axis in axes_of(gate)]
            for gate in self._gates
        ]


def _reflect(circuit: QuantumCircuit, term: Term | None) -> None:
    """A Pauli string, or with None 1 - 2|0…0><0…0|, controlled by the last qubit."""
    *qubits, top = range(circuit.num_qubits)
    if term is None:
        circuit.x(qubits)
        circuit.mcp(np.pi, qubits, top)
        circuit.x(qubits)
        return
    for qubit in qubits:
        x, z = term.x >> qubit & 1, term.z >> qubit & 1
        if x or z:
            (circuit.cy if x and z else circuit.cx if x else circuit.cz)(top, qubit)


def working_bytes(program: Program, rows: int, samples: int) -> int:
    """Memory of one gradient of R rows of B samples, beside the shard: a state, Aer's results, the sums."""
    rotations = int((program.gates["opcode"] == Opcode.ROTATION).sum())
    run_bytes = min(rows * samples, BINDINGS) * (rotations + 1) * (_RESULT_BYTES + 8 * 4)
    return 16 * 2 ** (program.qubits + 1) + run_bytes + 8 * 4 * rows * (program.parameters + 2 * samples)
