"""Circuits that are too large are refused by arithmetic, before anything is drawn."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest

from orchestrator.models.circuits.ansatz import ANSATZE
from orchestrator.models.circuits.circuit import Entangler
from orchestrator.models.circuits.elementary import decompose
from orchestrator.models.circuits.encoding import ENCODINGS
from orchestrator.models.circuits.reading import KNOWN
from orchestrator.models.circuits.size import ansatz_gates, encoding_gates

PATTERNS = ("full", "linear", "reverse_linear", "circular", "sca", "pairwise")
ENTANGLERS = get_args(Entangler)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "real-amplitudes": [{"entanglement": pattern} for pattern in PATTERNS],
    "efficient-su2": [{"entanglement": pattern} for pattern in PATTERNS],
    "two-local": [
        *({"entangler": name} for name in ENTANGLERS),
        *({"rotations": ("rx", "h"), "entanglement": pattern} for pattern in PATTERNS),
    ],
    "identity-blocks": [{"block_layers": count} for count in (1, 3)],
}


def decomposed_gates(circuit: Any) -> int:
    return sum(1 for _ in decompose(circuit, KNOWN))


@pytest.mark.parametrize("ansatz", sorted(set(ANSATZE) - {"qaoa"}))
def test_gates_of_an_ansatz_are_counted_as_they_are_drawn(ansatz: str) -> None:
    for qubits, layers, options in product((1, 2, 3, 5), (1, 4), OPTIONS.get(ansatz, [{}])):
        drawn = ANSATZE[ansatz](qubits, layers, **options).circuit
        assert ansatz_gates(ansatz, qubits, layers, **options) == decomposed_gates(drawn), (
            qubits,
            layers,
            options,
        )


@pytest.mark.parametrize(
    "terms", [{"ZIZ": 1.0}, {"XYZ": 0.5, "III": 1.0, "Y": 2.0}, {"XXX": 1.0, "YYI": 1.0}]
)
def test_gates_of_qaoa_are_at_most_twice_what_is_drawn(terms: dict[str, float]) -> None:
    from qiskit.quantum_info import SparsePauliOp

    padded = {"I" * (3 - len(text)) + text: value for text, value in terms.items()}
    cost = SparsePauliOp.from_list(list(padded.items()))
    drawn = decomposed_gates(ANSATZE["qaoa"](3, 4, cost=cost).circuit)
    assert drawn <= ansatz_gates("qaoa", 3, 4, cost=list(padded)) <= 2 * drawn


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_gates_of_an_encoding_are_at_most_twice_what_is_drawn(encoding: str) -> None:
    own: list[dict[str, Any]] = [{}]
    if encoding in ("pauli", "zz"):
        own = [{"entanglement": pattern} for pattern in PATTERNS]
    if encoding == "pauli":
        own += [{"paulis": ("X", "YY")}, {"paulis": ("ZZZ",), "repetitions": 3}]
    for features, options in product((1, 2, 3, 5), own):
        drawn = decomposed_gates(ENCODINGS[encoding](features, **options))
        assert drawn <= encoding_gates(encoding, features, **options) <= 2 * drawn, (features, options)
