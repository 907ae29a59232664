"""A program's gates and observable in Qiskit's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.gates import Gate, Opcode, Term

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp


def padded(amplitudes: NDArray[np.float64], qubits: int) -> NDArray[np.complex128]:
    """Returns states [N, 2^n] whose first F amplitudes are [N, F], and whose others are 0."""
    states = np.zeros((len(amplitudes), 1 << qubits), np.complex128)
    states[:, : amplitudes.shape[1]] = amplitudes
    return states


def begin(circuit: Any, state: NDArray[np.complex128], method: str) -> None:
    """Makes a circuit start from a state [2^n], by the instruction that a method of Aer supports."""
    if method == "statevector":
        circuit.set_statevector(state)
    elif method == "density_matrix":
        circuit.set_density_matrix(np.outer(state, state.conj()))
    else:
        circuit.initialize(state, circuit.qubits)


def touched(gate: Gate) -> tuple[int, ...]:
    """Returns the qubits that a gate acts on."""
    return (gate.qubit,) if gate.opcode == Opcode.ROTATION else (gate.qubit, gate.other)


def append(circuit: QuantumCircuit, gate: Gate, *rotations: tuple[int, Any]) -> None:
    """Appends a CX or CZ, or for a rotation gate the given rotations (axis, angle)."""
    if gate.opcode == Opcode.CX:
        circuit.cx(gate.qubit, gate.other)
    elif gate.opcode == Opcode.CZ:
        circuit.cz(gate.qubit, gate.other)
    for axis, angle in rotations:
        rotate: Any = (circuit.rx, circuit.ry, circuit.rz)[axis]
        rotate(angle, gate.qubit)


def operator(terms: Sequence[Term], qubits: int) -> SparsePauliOp:
    """Returns the sum of Pauli strings as an operator on ``qubits`` qubits."""
    from qiskit.quantum_info import PauliList, SparsePauliOp

    x = [[bool(term.x >> qubit & 1) for qubit in range(qubits)] for term in terms]
    z = [[bool(term.z >> qubit & 1) for qubit in range(qubits)] for term in terms]
    return SparsePauliOp(PauliList.from_symplectic(z, x), [term.coefficient for term in terms])
