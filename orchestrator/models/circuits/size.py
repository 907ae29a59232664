"""Limits on circuits, and the number of gates of an ansatz or encoding, counted without drawing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

MOST_QUBITS = 4096
"""Limit of a circuit. No machine holds such a state; each trial's need of memory is checked as well."""

MOST_GATES = 100_000
"""Limit of a circuit, decomposed into rotations, CX and CZ: reading so many takes some seconds."""

MOST_LAYERS = 1000
"""Limit of a network: tables have a row for each layer and step."""

MOST_LETTERS = 1 << 26
"""Limit of an observable, Pauli strings times qubits: Qiskit takes two bytes for each."""


def ansatz_gates(ansatz: str, qubits: int, layers: int, **options: object) -> int:
    """Counts the gates of a decomposed ansatz; for ``qaoa`` an upper bound.

    Args:
        options: options of the ansatz; the ``cost`` of ``qaoa`` is the observable's Pauli strings.

    Example:
        >>> ansatz_gates("hardware-efficient", qubits=4, layers=3)
        33
    """
    return _ANSATZE[ansatz](qubits, layers, **options)


def encoding_gates(encoding: str, features: int, **options: object) -> int:
    """Counts the gates of a decomposed encoding; for ``zz`` and ``pauli`` an upper bound."""
    return _ENCODINGS[encoding](features, **options)


def _hardware_efficient(qubits: int, layers: int) -> int:
    return layers * (3 * qubits - 1)


def _real_amplitudes(qubits: int, layers: int, *, entanglement: str = "reverse_linear") -> int:
    return _two_local(qubits, layers, entanglement=entanglement)


def _efficient_su2(qubits: int, layers: int, *, entanglement: str = "reverse_linear") -> int:
    return _two_local(qubits, layers, rotations=("ry", "rz"), entanglement=entanglement)


def _two_local(
    qubits: int,
    layers: int,
    *,
    rotations: Sequence[str] = ("ry",),
    entangler: str = "cx",
    entanglement: str = "full",
) -> int:
    pairs = _blocks(entanglement, qubits, 2) * _decomposed_gates(entangler)
    return (layers + 1) * len(rotations) * qubits + layers * pairs


def _pauli_two_design(qubits: int, layers: int, *, ansatz_seed: int = 0) -> int:  # noqa: ARG001
    return qubits + (layers + 1) * qubits + layers * (qubits - 1)


def _qaoa(qubits: int, layers: int, *, cost: Sequence[str] = ()) -> int:
    return qubits + layers * (qubits + sum(map(_string_gates, cost)))


def _identity_blocks(qubits: int, layers: int, *, block_layers: int = 2) -> int:
    return qubits + layers * 2 * _hardware_efficient(qubits, block_layers)


def _random_pauli(qubits: int, layers: int) -> int:
    return qubits + layers * (2 * qubits - 1)


def _one_each(features: int) -> int:
    return features


def _iqp(features: int, *, repetitions: int = 1) -> int:
    return repetitions * (2 * features + math.comb(features, 2) * _decomposed_gates("rzz"))


def _zz(features: int, *, repetitions: int = 2, entanglement: str = "full") -> int:
    return _pauli(features, repetitions=repetitions, entanglement=entanglement)


def _pauli(
    features: int,
    *,
    repetitions: int = 2,
    entanglement: str = "full",
    paulis: Sequence[str] = ("Z", "ZZ"),
) -> int:
    strings = sum(
        _blocks(entanglement, features, len(letters)) * _string_gates(letters) for letters in paulis
    )
    return repetitions * (features + strings)


def _string_gates(letters: str) -> int:
    """Counts the gates of exp(-iφP): basis changes for X and Y, chains of CX before and after, a rotation."""
    weight = len(letters) - letters.count("I")
    return 2 * (weight - letters.count("Z")) + max(1, 2 * weight - 1)


def _blocks(entanglement: str, qubits: int, size: int) -> int:
    """Counts the blocks of ``size`` qubits in Qiskit's pattern of that name."""
    if size > qubits:
        return 0
    if size == 1 or entanglement == "full":
        return math.comb(qubits, size)
    closed = entanglement in ("circular", "sca") and qubits > size
    return qubits - size + 1 + closed


@cache
def _decomposed_gates(name: str) -> int:
    """Counts the gates that one of Qiskit's standard gates decomposes into."""
    from qiskit import QuantumCircuit
    from qiskit.circuit.library import get_standard_gate_name_mapping

    from orchestrator.models.circuits.elementary import decompose
    from orchestrator.models.circuits.reading import KNOWN

    gate = get_standard_gate_name_mapping()[name]
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, circuit.qubits)
    return sum(1 for _ in decompose(circuit, KNOWN))


_ANSATZE: Mapping[str, Callable[..., int]] = MappingProxyType(
    {
        "hardware-efficient": _hardware_efficient,
        "real-amplitudes": _real_amplitudes,
        "efficient-su2": _efficient_su2,
        "two-local": _two_local,
        "pauli-two-design": _pauli_two_design,
        "qaoa": _qaoa,
        "identity-blocks": _identity_blocks,
        "random-pauli": _random_pauli,
    }
)
_ENCODINGS: Mapping[str, Callable[..., int]] = MappingProxyType(
    {"angle": _one_each, "basis": _one_each, "iqp": _iqp, "pauli": _pauli, "zz": _zz}
)
