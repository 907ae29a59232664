"""Adjoint differentiation on Aer: all samples of a row, and all components, in two executions.

The samples stand on an index register: Σ_i |i>|ψ_i>/√M, so a trainable gate acts on all of them at once, and
one that depends on the input is multiplexed. With λ_i = Σ_k c_ik O_k ψ_i the second circuit starts from

    |0>(ψ - iλ) + |1>(ψ + iλ)    on an ancilla, the index and the qubits, normalised,

which is |0>ψ + |1>λ with the ancilla turned to the basis of Y. It undoes the gates; behind a gate of axis P,
the difference between the ancilla's <P> at |1> and at |0> is 4 Im<λ_i|P|ψ_i> = 4 dE_i/dφ for each i
(Jones and Gacon 2020, arXiv 2009.02823).
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
"""Qubits up to which samples are put side by side, ancilla and index included; 16 MiB."""

States = NDArray[np.complex128]


@dataclass(frozen=True)
class _Turn:
    """A gate at one row's parameters and some samples.

    Attributes:
        gate: where it acts.
        axis: of a rotation; the row's own where axes are drawn.
        angles: [1], or [M] where they differ from sample to sample.
    """

    gate: Gate
    axis: int
    angles: Array


@dataclass(frozen=True, eq=False)
class AerAdjoint:
    """A program made ready for adjoint differentiation on Aer."""

    program: Program
    simulator: AerSimulator

    @property
    def executions(self) -> int:
        """Circuits executed for a gradient of one sample: one, there and back."""
        return 1

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        point = self.program.expand(Point(parameters, inputs, axes))
        rows, samples = point.inputs.shape[:2]
        found = np.empty((rows, samples, self.program.outputs))
        for row, span in self._blocks(rows, samples):
            turns = self._turns(point.parameters[row], point.inputs[row, span], point.axes[row])
            found[row, span] = self._forward(turns, point.inputs[row, span])[1]
        return found.reshape(*inputs.shape[:2], self.program.outputs)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """E and Σ_k c_k dE_k/dθ of all samples, in order, some samples of one row at a time."""
        point = self.program.expand(Point(parameters, inputs, axes))
        rows, samples = point.inputs.shape[:2]
        factors = np.ones((rows * samples, 1)) if cotangents is None else cotangents
        factors = factors.reshape(rows * samples, self.program.outputs)
        for row, span in self._blocks(rows, samples):
            turns = self._turns(point.parameters[row], point.inputs[row, span], point.axes[row])
            count = span.stop - span.start
            psi, value = self._forward(turns, point.inputs[row, span])
            place = slice(row * samples + span.start, row * samples + span.stop)
            derivative = self._backward(turns, psi, factors[place])[:count]
            yield Part(place, value, self.program.chain(derivative, point, place))

    def _blocks(self, rows: int, samples: int) -> Iterator[tuple[int, slice]]:
        """Samples of a row that are put side by side."""
        size = 1 << max(0, _LARGEST_STATE - 1 - self.program.qubits)
        for row in range(rows):
            for start in range(0, samples, size):
                yield row, slice(start, min(start + size, samples))

    def _turns(self, parameters: Array, features: Array, axes: NDArray[np.int8]) -> list[_Turn]:
        """The gates at parameters [P], features [N, F] and axes [A]."""
        filled, turns = self._filled(features), []
        for gate in self._gates:
            angles = np.array([gate.offset])
            if gate.parameter != NONE:
                angles = angles + gate.scale * parameters[gate.parameter]
            if gate.input != NONE:
                angles = angles + gate.scale * filled[:, gate.input]
            axis = int(axes[gate.axis - RotationAxis.DRAWN]) if gate.axis >= RotationAxis.DRAWN else gate.axis
            turns.append(_Turn(gate, axis, angles))
        return turns

    def _filled(self, features: Array) -> Array:
        """Features [M, F] of the whole index: the last sample again and again behind the N."""
        return features[np.minimum(np.arange(1 << _index_qubits(len(features))), len(features) - 1)]

    @cached_property
    def _gates(self) -> list[Gate]:
        return [Gate(*gate.item()) for gate in self.program.gates[self.program.live]]

    @cached_property
    def _operators(self) -> list[Any]:
        return [_matrix_of(observable, self.program.qubits) for observable in self.program.observables]

    def _forward(self, turns: Sequence[_Turn], features: Array) -> tuple[States, Array]:
        """ψ_i/√M [M, 2^n] of samples with features [N, F], and E [N, K]; NaN if an angle is not finite."""
        count = len(features)
        circuit = self._circuit(_index_qubits(count))
        amplitudes = features if self.program.amplitudes else np.zeros(0)
        if not all(np.isfinite(numbers).all() for numbers in (amplitudes, *(turn.angles for turn in turns))):
            undefined = np.full((1 << _index_qubits(count), 1 << self.program.qubits), np.nan + 0j)
            return undefined, np.full((count, self.program.outputs), np.nan)
        first = self._filled(features) if self.program.amplitudes else np.ones((1 << _index_qubits(count), 1))
        circuit.set_statevector(padded(first, self.program.qubits).ravel() / np.sqrt(len(first)))
        for turn in turns:
            self._append(circuit, turn, 1.0)
        circuit.save_statevector()
        state = np.asarray(run(self.simulator, circuit).data(0)["statevector"])
        psi = state.reshape(-1, 1 << self.program.qubits)
        values = [len(psi) * (psi.conj() * _applied(o, psi)).real.sum(-1) for o in self._operators]
        return psi, np.stack(values, axis=1)[:count]

    def _backward(self, turns: Sequence[_Turn], psi: States, cotangents: Array) -> Array:
        """Σ_k c_ik dE_ik/dθ [M, P], of cotangents [count, K]."""
        if not np.isfinite(psi).all() or not np.isfinite(cotangents).all():  # which Aer refuses as a state
            return np.full((len(psi), self.program.parameters), np.nan)
        factors = np.zeros((len(psi), self.program.outputs))
        factors[: len(cotangents)] = cotangents
        lam = sum(c[:, None] * _applied(o, psi) for c, o in zip(factors.T, self._operators, strict=True))
        start = np.concatenate([psi - 1j * lam, psi + 1j * lam]).ravel()
        square = float((start.real**2 + start.imag**2).sum())
        circuit = self._undoing(turns, start / np.sqrt(square), _index_qubits(len(psi)))
        data = run(self.simulator, circuit).data(0) if turns else {}
        jacobian = np.zeros((len(psi), self.program.parameters + len(self.program.angles)))
        for k, turn in enumerate(turns):
            if turn.gate.parameter != NONE:
                share = np.asarray(data[str(k)]).reshape(2, len(psi), 2)
                signed = share[..., 0] - share[..., 1]
                slope = 0.25 * square * len(psi) * (signed[1] - signed[0])
                jacobian[:, turn.gate.parameter] += turn.gate.scale * slope
        return jacobian

    def _undoing(self, turns: Sequence[_Turn], start: States, index: int) -> QuantumCircuit:
        """The second circuit; before rotation k is undone, its axis is read under the label k."""
        circuit = self._circuit(index, ancillas=1)
        circuit.set_statevector(start)
        for k in range(len(turns) - 1, -1, -1):
            if turns[k].gate.parameter != NONE:
                self._read(circuit, turns[k], str(k))
            self._append(circuit, turns[k], -1.0)
        return circuit

    def _read(self, circuit: QuantumCircuit, turn: _Turn, label: str) -> None:
        """Saves the probabilities of (ancilla, index, qubit in the basis of the axis), and turns back."""
        qubit = turn.gate.qubit
        if turn.axis == RotationAxis.X:
            circuit.ry(-np.pi / 2, qubit)
        elif turn.axis == RotationAxis.Y:
            circuit.rx(np.pi / 2, qubit)
        circuit.save_probabilities([qubit, *range(self.program.qubits, circuit.num_qubits)], label=label)
        if turn.axis == RotationAxis.X:
            circuit.ry(np.pi / 2, qubit)
        elif turn.axis == RotationAxis.Y:
            circuit.rx(-np.pi / 2, qubit)

    def _circuit(self, index: int, ancillas: int = 0) -> QuantumCircuit:
        """Empty, with the index above the program's qubits and ancillas on top."""
        from qiskit import QuantumCircuit

        return QuantumCircuit(self.program.qubits + index + ancillas)

    def _append(self, circuit: QuantumCircuit, turn: _Turn, sign: float) -> None:
        """A gate, or with ``sign`` -1 its inverse; multiplexed over the index where angles differ."""
        from qiskit.circuit.library import UCGate

        if turn.gate.opcode != Opcode.ROTATION:
            append(circuit, turn.gate)
        elif len(turn.angles) == 1:
            append(circuit, turn.gate, (turn.axis, sign * turn.angles[0]))
        else:
            first = self.program.qubits
            index = range(first, first + _index_qubits(len(turn.angles)))
            matrices = [_matrix(turn.axis, sign * angle) for angle in turn.angles]
            circuit.append(UCGate(matrices), [turn.gate.qubit, *index])


def working_bytes(program: Program, rows: int, samples: int) -> int:
    """Memory of one gradient of R rows of B samples, beside the shard.

    Counted are the states of a block (ψ, λ, both together, and Aer's own), the probabilities that it
    saves, and the sums.
    """
    block = 1 << min(_index_qubits(samples), max(0, _LARGEST_STATE - 1 - program.qubits))
    states = 16 * 10 * block * 2**program.qubits
    saved = 8 * block * (4 * len(program.gates) + 2 * program.parameters)
    return states + saved + 8 * 4 * rows * (program.parameters + 2 * samples)


def _matrix_of(observable: Observable, qubits: int) -> Any:
    """The observable as a sparse matrix."""
    from scipy.sparse import csr_array

    size = 1 << qubits
    total = csr_array(([observable.projector], ([0], [0])), shape=(size, size), dtype=np.complex128)
    if observable.terms:
        total = total + operator(observable.terms, qubits).to_matrix(sparse=True)
    return total


def _applied(matrix: Any, psi: States) -> States:
    """Oψ, for each row of [M, 2^n]."""
    return np.ascontiguousarray((matrix @ psi.T).T)


def _index_qubits(samples: int) -> int:
    return (samples - 1).bit_length()


def _matrix(axis: int, angle: float) -> States:
    """exp(-i angle P/2)."""
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    return np.array(cosine * np.eye(2) - 1j * sine * _PAULIS[axis])


_PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
