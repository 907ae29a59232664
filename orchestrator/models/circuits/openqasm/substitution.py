"""The second reading of OpenQASM 2: by Qiskit, with numbers in the places of the trained angles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.openqasm import version2
from orchestrator.models.circuits.openqasm.reading import qiskits_circuit


def replaced(text: str, values: Mapping[str, float]) -> str:
    """The text with numbers in the places of the angles that begin at the given ones."""
    pieces, done = [], 0
    for start, end in _angles(text, values):
        pieces += [text[done : start.offset], repr(values[f"{start.line}:{start.column}"])]
        done = end.offset
    return "".join([*pieces, text[done:]])


def _angles(text: str, places: Mapping[str, float]) -> Iterator[tuple[version2.Token, version2.Token]]:
    """The first token of each angle, and the comma or parenthesis after it."""
    begun: version2.Token | None = None
    depth = 0
    for token in version2.tokens(text):
        if begun is None and f"{token.line}:{token.column}" in places:
            begun, depth = token, 0
        if begun and depth == 0 and token.text in (",", ")"):
            yield begun, token
            begun = None
        depth += (token.text == "(") - (token.text == ")")


def state_by_qiskit(text: str, most_qubits: int) -> NDArray[np.complex128] | None:
    """What Qiskit's reader and Qiskit's simulator make of a program; None above so many qubits.

    Raises:
        ValueError: it measures or resets in the middle.
    """
    from qiskit.quantum_info import Statevector

    circuit = qiskits_circuit(text)
    if circuit.num_qubits > most_qubits:
        return None
    unitary, touched = circuit.copy_empty_like(), set()
    for item in circuit.remove_final_measurements(inplace=False).data:
        if item.operation.name == "measure" or (item.operation.name == "reset" and item.qubits[0] in touched):
            raise ValueError("a measurement or a reset in the middle")
        touched.update(item.qubits)
        if item.operation.name != "reset":
            unitary.append(item)
    return np.asarray(Statevector(unitary).data, np.complex128)
