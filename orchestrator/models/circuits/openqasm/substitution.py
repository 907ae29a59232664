"""The second reading of OpenQASM 2: by Qiskit, with numbers instead of the trained angles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.openqasm import version2
from orchestrator.models.circuits.openqasm.reading import load_with_qiskit


def substitute(text: str, values: Mapping[str, float]) -> str:
    """Replaces angles by numbers, which ``values`` has by ``line:column`` of the angle's first token."""
    pieces, done = [], 0
    for start, end in _angles(text, values):
        pieces += [text[done : start.offset], repr(values[f"{start.line}:{start.column}"])]
        done = end.offset
    return "".join([*pieces, text[done:]])


def _angles(text: str, positions: Mapping[str, float]) -> Iterator[tuple[version2.Token, version2.Token]]:
    """Yields the first token of each angle, and the comma or parenthesis after the angle."""
    first: version2.Token | None = None
    depth = 0
    for token in version2.tokens(text):
        if first is None and f"{token.line}:{token.column}" in positions:
            first, depth = token, 0
        if first and depth == 0 and token.text in (",", ")"):
            yield first, token
            first = None
        depth += (token.text == "(") - (token.text == ")")


def state_by_qiskit(text: str, most_qubits: int) -> NDArray[np.complex128] | None:
    """Simulates a program with Qiskit's reader and simulator; None above ``most_qubits`` qubits.

    Raises:
        ValueError: the program measures or resets a qubit in the middle.
    """
    from qiskit.quantum_info import Statevector

    circuit = load_with_qiskit(text)
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
