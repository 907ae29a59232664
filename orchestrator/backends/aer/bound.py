"""Adjoint differentiation on Aer for GPUs: each sample is a binding of the circuit's angles.

On a GPU, samples on an index register (``adjoint.py``) would be slow. Aer reads the probabilities of m
qubits in 2^m passes over the state, and turns a gate that is multiplexed over m qubits into a dense matrix.
All bindings of a circuit, however, run as one batch. So there is one circuit for each Pauli string U of the
observables. It prepares

    |0>ψ + |1>Uψ    on an ancilla and the qubits, normalised,

where the ancilla's <X> is <U>. Then it undoes the gates. Right after a gate of axis P, <Y ⊗ P> is
-Im<Uψ|P|ψ> = -d<U>/dφ. A projector is (1 - U)/2 with the reflection U = 1 - 2|0…0><0…0|.
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
"""Memory of one labelled number in Aer's results, as measured, rounded up."""


class _Reading(NamedTuple):
    """The value <Y ⊗ P>, read before gate number ``position`` is undone. P acts on the gate's qubit.

    Attributes:
        axis: X, Y or Z, of the Pauli matrix P.
    """

    position: int
    gate: Gate
    axis: int

    @property
    def label(self) -> str:
        return f"{self.position} {self.axis}"

    def applies(self, axes: NDArray[np.int8]) -> NDArray[np.bool_] | bool:
        """Returns [N], true for samples whose axes [N, A] make the gate a rotation about ``axis``."""
        if self.gate.axis < RotationAxis.DRAWN:
            return True
        return axes[:, self.gate.axis - RotationAxis.DRAWN] == self.axis


class BoundAdjoint(AerProgram):
    """An ``AerProgram`` that is also differentiated. It takes the same arguments, without noise."""

    @property
    def program(self) -> Program:
        """The program that was prepared."""
        return self._program

    @property
    def executions(self) -> int:
        """One: a forward and a backward pass."""
        return 1

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """Yields E and Σ_k c_k dE_k/dθ of all samples, in order, ``BINDINGS`` samples per part."""
        point = self._program.expand(Point(parameters, inputs, axes))
        count, outputs = inputs.shape[0] * inputs.shape[1], self._program.outputs
        factors = np.ones((count, 1)) if cotangents is None else cotangents.reshape(count, outputs)
        angles = self._angles(*point).reshape(count, len(self._varying))
        drawn = np.repeat(point.axes, count // len(point.axes), 0)
        for start in range(0, count, BINDINGS):
            span = slice(start, min(start + BINDINGS, count))
            value, derivative = self._derivatives(angles[span], drawn[span], factors[span])
            yield Part(span, value, self._program.chain(derivative, point, span))

    def _derivatives(self, angles: Array, axes: NDArray[np.int8], cotangents: Array) -> tuple[Array, Array]:
        """Returns E [N, K] and Σ_k c_k dE_k/dφ [N, P + angles] of bindings [N, V].

        Both are NaN for samples with an angle that is not finite.
        """
        finite = np.isfinite(angles).all(-1, keepdims=True)
        angles = np.where(finite, angles, 0.0)
        value = np.where(finite, self._constants, np.nan)
        derivative = np.zeros((len(angles), self._program.parameters + len(self._program.angles)))
        derivative += np.where(finite, 0.0, np.nan)
        for k, factor, circuit in self._circuits:
            saved = self._saved_values(circuit, angles)
            value[:, k] += factor * saved[:, 0]
            for reading, column in zip(self._readings, saved[:, 1:].T, strict=True):
                slope = -factor * reading.gate.scale * cotangents[:, k] * column
                derivative[:, reading.gate.parameter] += slope * reading.applies(axes)
        return value, derivative

    def _saved_values(self, circuit: QuantumCircuit, angles: Array) -> Array:
        """Returns [N, 1 + readings]: <U>, then every reading, for bindings [N, V]."""
        labels = ["value", *(reading.label for reading in self._readings)]
        both = np.concatenate([angles, -angles], axis=1)
        symbols = (*self._symbols, *self._inverse_symbols)
        binds = [dict(zip(symbols, both.T, strict=True))] if symbols else []
        result = run(self._simulator, circuit, binds)
        rows = [result.data(i) for i in range(len(angles) if symbols else 1)]
        table = np.array([[row[label] for label in labels] for row in rows])
        return np.broadcast_to(table, (len(angles), len(labels)))

    @cached_property
    def _readings(self) -> list[_Reading]:
        """Readings of all rotations by a parameter, last gate first; three for a drawn axis (X, Y, Z)."""
        trained = [(k, gate) for k, gate in enumerate(self._gates) if gate.parameter != NONE]
        return [_Reading(k, gate, axis) for k, gate in reversed(trained) for axis in axes_of(gate)]

    @cached_property
    def _inverse_symbols(self) -> Any:
        from qiskit.circuit import ParameterVector

        return ParameterVector("χ", len(self._varying))

    @cached_property
    def _constants(self) -> Array:
        """[K] contributions of identities to E, including those in projectors."""
        return np.array(
            [
                sum(term.coefficient for term in terms if not term.x | term.z) + projector / 2
                for terms, projector in self._program.observables
            ]
        )

    @cached_property
    def _circuits(self) -> list[tuple[int, float, QuantumCircuit]]:
        """For each reflection U: index of its observable, its factor, its circuit."""
        circuits = []
        for k, (terms, projector) in enumerate(self._program.observables):
            reflections = [term for term in terms if term.x | term.z]
            circuits += [(k, term.coefficient, self._reflection_circuit(term)) for term in reflections]
            if projector:
                circuits.append((k, -projector / 2, self._reflection_circuit(None)))
        return circuits

    def _reflection_circuit(self, term: Term | None) -> QuantumCircuit:
        """Builds the forward pass, the controlled reflection, and the backward pass with its readings.

        The reflection is a Pauli string, or with None that of a projector.
        """
        from qiskit import QuantumCircuit
        from qiskit.quantum_info import SparsePauliOp

        top = self._program.qubits
        circuit = QuantumCircuit(top + 1)
        for gate, rotations in zip(self._gates, self._rotations(self._symbols, 1.0), strict=True):
            append(circuit, gate, *rotations)
        circuit.h(top)
        _reflect(circuit, term)
        circuit.save_expectation_value(SparsePauliOp("X"), [top], label="value")
        by_gate = groupby(self._readings, attrgetter("position"))
        readings = {position: list(group) for position, group in by_gate}
        for k, rotations in reversed(list(enumerate(self._rotations(self._inverse_symbols, -1.0)))):
            for reading in readings.get(k, ()):
                pauli = SparsePauliOp("Y" + "XYZ"[reading.axis])
                circuit.save_expectation_value(pauli, [reading.gate.qubit, top], label=reading.label)
            append(circuit, self._gates[k], *rotations)
        return circuit

    def _rotations(self, symbols: Sequence[Any], sign: float) -> list[list[tuple[int, Any]]]:
        """Returns each gate's (axis, angle) pairs: a symbol if the angle varies, else sign · offset."""
        remaining = iter(symbols)
        return [
            [(axis, next(remaining) if varies(gate) else sign * gate.offset) for axis in axes_of(gate)]
            for gate in self._gates
        ]


def _reflect(circuit: QuantumCircuit, term: Term | None) -> None:
    """Appends a Pauli string, or with None 1 - 2|0…0><0…0|, controlled by the last qubit."""
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
    """Returns the memory, in bytes, of one gradient of R rows of B samples, without the shard's.

    Counted are a state, Aer's results, and the sums.
    """
    rotations = int((program.gates["opcode"] == Opcode.ROTATION).sum())
    run_bytes = min(rows * samples, BINDINGS) * (rotations + 1) * (_RESULT_BYTES + 8 * 4)
    return 16 * 2 ** (program.qubits + 1) + run_bytes + 8 * 4 * rows * (program.parameters + 2 * samples)
