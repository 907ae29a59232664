"""Adjoint differentiation on Aer: all derivatives of all samples of a row, in two executions.

Samples are indexed by a register: Σ_i |i>|ψ_i>/√M. A trainable gate acts on all samples together, and a gate
that depends on an input is multiplexed. With λ_i = Σ_k c_ik O_k ψ_i the second circuit starts from

    |0>(ψ - iλ) + |1>(ψ + iλ)    on an ancilla, the index and the qubits, normalised,

which is |0>ψ + |1>λ with the ancilla rotated to the basis of Y. The circuit undoes the gates. Right after a
gate of axis P, <P> with the ancilla at |1> less <P> with the ancilla at |0> is
4 Im<λ_i|P|ψ_i> = 4 dE_i/dφ for each i (Jones and Gacon 2020, arXiv 2009.02823).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.gates import append, operator, padded
from orchestrator.backends.aer.simulator import run
from orchestrator.backends.base import Part
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import NONE, Gate, Observable, Opcode, RotationAxis
from orchestrator.models.circuits.program import Point, Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

_LARGEST_STATE = 20
"""Most qubits, with ancilla and index, of the state that holds a block of samples; 16 MiB."""

States = NDArray[np.complex128]


@dataclass(frozen=True)
class _BoundGate:
    """A gate with its angles, for one row and some of its samples.

    Attributes:
        gate: the gate.
        axis: of a rotation; for a drawn axis, the axis that the row has.
        angles: [1], or [M] if they depend on the sample.
    """

    gate: Gate
    axis: int
    angles: Array


@dataclass(frozen=True, eq=False)
class AerAdjoint:
    """A program prepared for adjoint differentiation on Aer."""

    program: Program
    simulator: AerSimulator

    @property
    def executions(self) -> int:
        """One: a forward and a backward pass."""
        return 1

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns E [R, B, K] at parameters [R, P], inputs [R, B, F] and axes [R, A]."""
        point = self.program.expand(Point(parameters, inputs, axes))
        rows, samples = point.inputs.shape[:2]
        values = np.empty((rows, samples, self.program.outputs))
        for row, span in self._blocks(rows, samples):
            gates = self._bind(point.parameters[row], point.inputs[row, span], point.axes[row])
            values[row, span] = self._forward(gates, point.inputs[row, span])[1]
        return values.reshape(*inputs.shape[:2], self.program.outputs)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """Yields E and Σ_k c_k dE_k/dθ of all samples, in order; each part has samples of one row."""
        point = self.program.expand(Point(parameters, inputs, axes))
        rows, samples = point.inputs.shape[:2]
        factors = np.ones((rows * samples, 1)) if cotangents is None else cotangents
        factors = factors.reshape(rows * samples, self.program.outputs)
        for row, span in self._blocks(rows, samples):
            gates = self._bind(point.parameters[row], point.inputs[row, span], point.axes[row])
            count = span.stop - span.start
            psi, value = self._forward(gates, point.inputs[row, span])
            flat = slice(row * samples + span.start, row * samples + span.stop)
            derivative = self._backward(gates, psi, factors[flat])[:count]
            yield Part(flat, value, self.program.chain(derivative, point, flat))

    def _blocks(self, rows: int, samples: int) -> Iterator[tuple[int, slice]]:
        """Yields blocks of samples that share a state: a row, and its span of samples."""
        size = 1 << max(0, _LARGEST_STATE - 1 - self.program.qubits)
        for row in range(rows):
            for start in range(0, samples, size):
                yield row, slice(start, min(start + size, samples))

    def _bind(self, parameters: Array, features: Array, axes: NDArray[np.int8]) -> list[_BoundGate]:
        """Binds the gates to parameters [P], features [N, F] and axes [A]."""
        indexed, gates = self._pad(features), []
        for gate in self._gates:
            angles = np.array([gate.offset])
            if gate.parameter != NONE:
                angles = angles + gate.scale * parameters[gate.parameter]
            if gate.input != NONE:
                angles = angles + gate.scale * indexed[:, gate.input]
            axis = int(axes[gate.axis - RotationAxis.DRAWN]) if gate.axis >= RotationAxis.DRAWN else gate.axis
            gates.append(_BoundGate(gate, axis, angles))
        return gates

    def _pad(self, features: Array) -> Array:
        """Pads features [N, F] to the M = 2^m values of the index, with copies of the last sample."""
        return features[np.minimum(np.arange(1 << _index_qubits(len(features))), len(features) - 1)]

    @cached_property
    def _gates(self) -> list[Gate]:
        return [Gate(*gate.item()) for gate in self.program.gates[self.program.live]]

    @cached_property
    def _operators(self) -> list[Any]:
        return [_matrix_of(observable, self.program.qubits) for observable in self.program.observables]

    def _forward(self, gates: Sequence[_BoundGate], features: Array) -> tuple[States, Array]:
        """Returns ψ_i/√M [M, 2^n] of samples with features [N, F], and E [N, K].

        All are NaN if an angle or amplitude is not finite.
        """
        count = len(features)
        circuit = self._circuit(_index_qubits(count))
        amplitudes = features if self.program.amplitudes else np.zeros(0)
        if not all(np.isfinite(numbers).all() for numbers in (amplitudes, *(gate.angles for gate in gates))):
            undefined = np.full((1 << _index_qubits(count), 1 << self.program.qubits), np.nan + 0j)
            return undefined, np.full((count, self.program.outputs), np.nan)
        first = self._pad(features) if self.program.amplitudes else np.ones((1 << _index_qubits(count), 1))
        circuit.set_statevector(padded(first, self.program.qubits).ravel() / np.sqrt(len(first)))
        for gate in gates:
            self._append(circuit, gate, 1.0)
        circuit.save_statevector()
        state = np.asarray(run(self.simulator, circuit).data(0)["statevector"])
        psi = state.reshape(-1, 1 << self.program.qubits)
        values = [len(psi) * (psi.conj() * _apply(o, psi)).real.sum(-1) for o in self._operators]
        return psi, np.stack(values, axis=1)[:count]

    def _backward(self, gates: Sequence[_BoundGate], psi: States, cotangents: Array) -> Array:
        """Returns Σ_k c_ik dE_ik/dθ [M, P + angles] for cotangents [N, K]; 0 for samples of padding."""
        if not np.isfinite(psi).all() or not np.isfinite(cotangents).all():  # Aer refuses such a state
            return np.full((len(psi), self.program.parameters + len(self.program.angles)), np.nan)
        factors = np.zeros((len(psi), self.program.outputs))
        factors[: len(cotangents)] = cotangents
        lam = sum(c[:, None] * _apply(o, psi) for c, o in zip(factors.T, self._operators, strict=True))
        start = np.concatenate([psi - 1j * lam, psi + 1j * lam]).ravel()
        square = float((start.real**2 + start.imag**2).sum())
        circuit = self._backward_circuit(gates, start / np.sqrt(square), _index_qubits(len(psi)))
        data = run(self.simulator, circuit).data(0) if gates else {}
        jacobian = np.zeros((len(psi), self.program.parameters + len(self.program.angles)))
        for k, bound in enumerate(gates):
            if bound.gate.parameter != NONE:
                probabilities = np.asarray(data[str(k)]).reshape(2, len(psi), 2)
                difference = probabilities[..., 0] - probabilities[..., 1]
                slope = 0.25 * square * len(psi) * (difference[1] - difference[0])
                jacobian[:, bound.gate.parameter] += bound.gate.scale * slope
        return jacobian

    def _backward_circuit(self, gates: Sequence[_BoundGate], start: States, index: int) -> QuantumCircuit:
        """Builds the second circuit. Before rotation k is undone, <P> is read under the label k."""
        circuit = self._circuit(index, ancillas=1)
        circuit.set_statevector(start)
        for k in range(len(gates) - 1, -1, -1):
            if gates[k].gate.parameter != NONE:
                self._read(circuit, gates[k], str(k))
            self._append(circuit, gates[k], -1.0)
        return circuit

    def _read(self, circuit: QuantumCircuit, bound: _BoundGate, label: str) -> None:
        """Saves the probabilities of (ancilla, index, qubit), with the qubit in the basis of the axis."""
        qubit = bound.gate.qubit
        if bound.axis == RotationAxis.X:
            circuit.ry(-np.pi / 2, qubit)
        elif bound.axis == RotationAxis.Y:
            circuit.rx(np.pi / 2, qubit)
        circuit.save_probabilities([qubit, *range(self.program.qubits, circuit.num_qubits)], label=label)
        if bound.axis == RotationAxis.X:
            circuit.ry(np.pi / 2, qubit)
        elif bound.axis == RotationAxis.Y:
            circuit.rx(-np.pi / 2, qubit)

    def _circuit(self, index: int, ancillas: int = 0) -> QuantumCircuit:
        """Returns an empty circuit: the program's qubits, then the index, then ancillas."""
        from qiskit import QuantumCircuit

        return QuantumCircuit(self.program.qubits + index + ancillas)

    def _append(self, circuit: QuantumCircuit, bound: _BoundGate, sign: float) -> None:
        """Appends a gate, or its inverse if ``sign`` is -1; multiplexed over the index if angles differ."""
        from qiskit.circuit.library import UCGate

        if bound.gate.opcode != Opcode.ROTATION:
            append(circuit, bound.gate)
        elif len(bound.angles) == 1:
            append(circuit, bound.gate, (bound.axis, sign * bound.angles[0]))
        else:
            first = self.program.qubits
            index = range(first, first + _index_qubits(len(bound.angles)))
            matrices = [_matrix(bound.axis, sign * angle) for angle in bound.angles]
            circuit.append(UCGate(matrices), [bound.gate.qubit, *index])


def working_bytes(program: Program, rows: int, samples: int) -> int:
    """Returns the memory, in bytes, of one gradient of R rows of B samples, without the shard's.

    Counted are the states of a block (ψ, λ, both together, and Aer's own), the probabilities that Aer saves,
    and the sums.
    """
    block = 1 << min(_index_qubits(samples), max(0, _LARGEST_STATE - 1 - program.qubits))
    states = 16 * 10 * block * 2**program.qubits
    saved = 8 * block * (4 * len(program.gates) + 2 * program.parameters)
    return states + saved + 8 * 4 * rows * (program.parameters + 2 * samples)


def _matrix_of(observable: Observable, qubits: int) -> Any:
    """Returns the observable as a sparse matrix."""
    from scipy.sparse import csr_array

    size = 1 << qubits
    total = csr_array(([observable.projector], ([0], [0])), shape=(size, size), dtype=np.complex128)
    if observable.terms:
        total = total + operator(observable.terms, qubits).to_matrix(sparse=True)
    return total


def _apply(matrix: Any, psi: States) -> States:
    """Returns Oψ for each row of [M, 2^n]."""
    return np.ascontiguousarray((matrix @ psi.T).T)


def _index_qubits(samples: int) -> int:
    """Returns m, the number of qubits of an index of so many samples."""
    return (samples - 1).bit_length()


def _matrix(axis: int, angle: float) -> States:
    """Returns exp(-i angle P/2)."""
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    return np.array(cosine * np.eye(2) - 1j * sine * _PAULIS[axis])


_PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
