"""Feature maps: circuits whose angles are the data's columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


def _angle(features: int) -> QuantumCircuit:
    """Draws RY(x_q) on qubit q."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(features)
    for qubit, value in enumerate(ParameterVector("x", features)):
        circuit.ry(value, qubit)
    return circuit


def _basis(features: int) -> QuantumCircuit:
    """Draws RX(πx_q) on qubit q: the basis state |x> for features that are 0 or 1."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(features)
    for qubit, value in enumerate(ParameterVector("x", features)):
        circuit.rx(math.pi * value, qubit)
    return circuit


def _iqp(features: int, *, repetitions: int = 1) -> QuantumCircuit:
    """Draws H on each qubit, RZ(x_q) on each, RZZ(x_q x_r) on each pair, repeated (Havlíček et al. 2019)."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit, x = QuantumCircuit(features), ParameterVector("x", features)
    for _ in range(repetitions):
        for qubit in range(features):
            circuit.h(qubit)
            circuit.rz(x[qubit], qubit)
        for first in range(features):
            for second in range(first + 1, features):
                circuit.rzz(x[first] * x[second], first, second)
    return circuit


def _zz(features: int, *, repetitions: int = 2, entanglement: str = "full") -> QuantumCircuit:
    """Draws Qiskit's ZZ feature map: H and P(2x_q), then CX P(2(π - x_q)(π - x_r)) CX on pairs, repeated."""
    return _pauli(features, repetitions=repetitions, entanglement=entanglement)


def _pauli(
    features: int,
    *,
    repetitions: int = 2,
    entanglement: str = "full",
    paulis: Sequence[str] = ("Z", "ZZ"),
) -> QuantumCircuit:
    """Draws Qiskit's Pauli feature map: H, then exp(-iφ(x)P) for each string P, repeated.

    φ is x_q for a string on one qubit, else the product of all π - x_q.
    """
    from qiskit.circuit.library import pauli_feature_map

    fitting = [letters for letters in paulis if len(letters) <= features]
    return pauli_feature_map(features, repetitions, entanglement, paulis=fitting)


AMPLITUDE = "amplitude"
"""The encoding without a circuit: the normalised features are the amplitudes of the initial state."""

ENCODINGS: Mapping[str, Callable[..., QuantumCircuit]] = MappingProxyType(
    {"angle": _angle, "basis": _basis, "iqp": _iqp, "pauli": _pauli, "zz": _zz}
)
"""Encodings by name: functions of (features, options as keywords).

The circuit has a qubit for each feature, and inputs x[0], x[1], …
"""
