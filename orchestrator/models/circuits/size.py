"""How large a circuit may be, and how many gates one has that is drawn by name: counted, not drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

MOST_QUBITS = 4096
"""Of a circuit. No machine holds the state of so many; what it does hold is checked for each trial."""

MOST_GATES = 100_000
"""Of a circuit, taken apart down to rotations, CX and CZ: reading them takes some seconds."""

MOST_LAYERS = 1000
"""Of a network: a row of the tables for each, and step."""

MOST_LETTERS = 1 << 26
"""Pauli strings of an observable times qubits: Qiskit has two bytes for each."""


def ansatz_gates(ansatz: str, qubits: int, layers: int, **options: object) -> int:
    """Gates of an ansatz, taken apart; for ``qaoa`` at most so many.

    Args:
        options: as of the ansatz; the ``cost`` of ``qaoa`` is the Pauli strings of the observable.

    Example:
        >>> ansatz_gates("hardware-efficient", qubits=4, layers=3)
        33
    """
    return _ANSATZE[ansatz](qubits, layers, **options)


def encoding_gates(encoding: str, features: int, **options: object) -> int:
    """Gates of an encoding, taken apart; for ``zz`` and ``pauli`` at most so many."""
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
    pairs = _blocks(entanglement, qubits, 2) * _parts(entangler)
    return (layers + 1) * len(rotations) * qubits + layers * pairs


def _pauli_two_design(qubits: int, layers: int, *, ansatz_seed: int = 0) -> int:  # noqa: ARG001
    return qubits + (layers + 1) * qubits + layers * (qubits - 1)


def _qaoa(qubits: int, layers: int, *, cost: Sequence[str] = ()) -> int:
    return qubits + layers * (qubits + sum(map(_string, cost)))


def _identity_blocks(qubits: int, layers: int, *, block_layers: int = 2) -> int:
    return qubits + layers * 2 * _hardware_efficient(qubits, block_layers)


def _random_pauli(qubits: int, layers: int) -> int:
    return qubits + layers * (2 * qubits - 1)


def _one_each(features: int) -> int:
    return features


def _iqp(features: int, *, repetitions: int = 1) -> int:
    return repetitions * (2 * features + math.comb(features, 2) * _parts("rzz"))


def _zz(features: int, *, repetitions: int = 2, entanglement: str = "full") -> int:
    return _pauli(features, repetitions=repetitions, entanglement=entanglement)


def _pauli(
    features: int,
    *,
    repetitions: int = 2,
    entanglement: str = "full",
    paulis: Sequence[str] = ("Z", "ZZ"),
) -> int:
    strings = sum(_blocks(entanglement, features, len(letters)) * _string(letters) for letters in paulis)
    return repetitions * (features + strings)


def _string(letters: str) -> int:
    """Gates of exp(-iφP): a change of basis and back for X and Y, a chain of CX and back, a rotation."""
    weight = len(letters) - letters.count("I")
    return 2 * (weight - letters.count("Z")) + max(1, 2 * weight - 1)


def _blocks(entanglement: str, qubits: int, size: int) -> int:
    """How many blocks of ``size`` qubits Qiskit's pattern of that name has."""
    if size > qubits:
        return 0
    if size == 1 or entanglement == "full":
        return math.comb(qubits, size)
    closed = entanglement in ("circular", "sca") and qubits > size
    return qubits - size + 1 + closed


@cache
def _parts(name: str) -> int:
    """How many gates one of Qiskit's standard gates is taken apart into."""
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
