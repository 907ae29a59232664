"""Feature maps and ansätze, drawn as Qiskit circuits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

DRAWN = "drawn"
"""Name of the gate that rotates one qubit about an axis drawn anew for each row: ``Gate(DRAWN, 1, [θ, k])``
is exp(-iθP/2), P the row's k-th axis."""

Layers = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Drawing:
    """A parametrised circuit and what is measured at its end.

    Attributes:
        circuit: with all its parameters free.
        observable: a Hermitian operator on its qubits.
        inputs: [F] the circuit's parameters that are features, in the order of the data's columns.
        layers: the trainable ones, in the order of the parameter vector, cut into layers.
        axes: A, number of drawn axes.
    """

    circuit: QuantumCircuit
    observable: SparsePauliOp
    inputs: tuple[Parameter, ...]
    layers: tuple[tuple[Parameter, ...], ...]
    axes: int


def draw(ansatz: str, layers: int, features: int, observable: SparsePauliOp) -> Drawing:
    """A circuit that encodes ``features`` features, followed by an ansatz.

    Args:
        ansatz: one of ``ANSATZE``.
        layers: its repetitions.
        features: F; 0 leaves out the encoding.
        observable: on as many qubits as the circuit will have.
    """
    from qiskit.circuit import ParameterVector

    qubits = observable.num_qubits
    inputs = tuple(ParameterVector("x", features))
    circuit = _angle_encoding(qubits, inputs)
    trainable, by_layer = ANSATZE[ansatz](qubits, layers)
    circuit.compose(trainable, inplace=True)
    axes = circuit.count_ops().get(DRAWN, 0)
    return Drawing(circuit, observable, inputs, by_layer, axes)


def _angle_encoding(qubits: int, inputs: tuple[Parameter, ...]) -> QuantumCircuit:
    """RY(x_q) on qubit q."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(qubits)
    for qubit, value in enumerate(inputs):
        circuit.ry(value, qubit)
    return circuit


def _hardware_efficient(qubits: int, layers: int) -> tuple[QuantumCircuit, Layers]:
    """Each layer: RY on all qubits, RZ on all qubits, CX 0-1, 1-2, …"""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(qubits)
    by_layer = _cut(ParameterVector("θ", 2 * qubits * layers), 2 * qubits)
    for angles in by_layer:
        for qubit in range(qubits):
            circuit.ry(angles[qubit], qubit)
        for qubit in range(qubits):
            circuit.rz(angles[qubits + qubit], qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return circuit, by_layer


def _real_amplitudes(qubits: int, layers: int) -> tuple[QuantumCircuit, Layers]:
    """Qiskit's: RY, then CX by its default entanglement, repeated; a last layer of RY."""
    from qiskit.circuit.library import real_amplitudes

    circuit = real_amplitudes(qubits, reps=layers)
    return circuit, _cut(circuit.parameters, qubits)


def _efficient_su2(qubits: int, layers: int) -> tuple[QuantumCircuit, Layers]:
    """Qiskit's: RY and RZ, then CX by its default entanglement, repeated; a last layer of RY and RZ."""
    from qiskit.circuit.library import efficient_su2

    circuit = efficient_su2(qubits, reps=layers)
    return circuit, _cut(circuit.parameters, 2 * qubits)


def _random_pauli(qubits: int, layers: int) -> tuple[QuantumCircuit, Layers]:
    """McClean et al. 2018: RY(π/4), then each layer rotations about drawn axes and CZ 0-1, 1-2, …"""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Gate, ParameterVector

    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(math.pi / 4, qubit)
    by_layer = _cut(ParameterVector("θ", qubits * layers), qubits)
    for layer, angles in enumerate(by_layer):
        for qubit in range(qubits):
            circuit.append(Gate(DRAWN, 1, [angles[qubit], layer * qubits + qubit]), [qubit])
        for qubit in range(qubits - 1):
            circuit.cz(qubit, qubit + 1)
    return circuit, by_layer


def _cut(parameters: Any, size: int) -> Layers:
    """Consecutive slices of ``size`` parameters."""
    everything = tuple(parameters)
    return tuple(everything[start : start + size] for start in range(0, len(everything), size))


ANSATZE: Mapping[str, Callable[[int, int], tuple[QuantumCircuit, Layers]]] = MappingProxyType(
    {
        "hardware-efficient": _hardware_efficient,
        "real-amplitudes": _real_amplitudes,
        "efficient-su2": _efficient_su2,
        "random-pauli": _random_pauli,
    }
)
"""By name: (qubits, layers) to a circuit and its parameters by layer."""
