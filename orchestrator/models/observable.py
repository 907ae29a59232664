"""Reading an observable from the text that a user writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.config import show
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from qiskit.quantum_info import SparsePauliOp

_PATH = "model.observable"
_FACTOR = re.compile(r"([XYZ])([0-9]+)")


def pauli_string(text: str | None, qubits: int) -> SparsePauliOp:
    """The Pauli string that ``text`` names, as an operator on ``qubits`` qubits.

    Args:
        text: one letter per qubit as Qiskit writes them, qubit 0 on the right (``ZIII``), or the
            factors that are not the identity (``Z0 Z1``). None: Z on the last qubit.
        qubits: n.

    Raises:
        InputError: at ``model.observable``.

    Example:
        >>> pauli_string("X0 Z2", 3).paulis.to_labels()
        ['ZIX']
    """
    from qiskit.quantum_info import SparsePauliOp

    if text is None:
        text = f"Z{qubits - 1}"
    if any(letter.isdigit() for letter in text):
        factors = _factors(text, qubits)
        letters = "".join(letter for letter, _ in factors)
        return SparsePauliOp.from_sparse_list(
            [(letters, [qubit for _, qubit in factors], 1.0)], num_qubits=qubits
        )
    _check_letters(text, qubits)
    return SparsePauliOp(text)


def _check_letters(text: str, qubits: int) -> None:
    if not text or set(text) - set("IXYZ"):
        raise _refused(text, "is no Pauli string", qubits)
    if len(text) != qubits:
        raise _refused(text, f"has {len(text)} letters for {qubits} qubits", qubits)
    if set(text) == {"I"}:
        raise _refused(text, "is the identity, whose expectation value is always 1", qubits)


def _factors(text: str, qubits: int) -> list[tuple[str, int]]:
    found = [_FACTOR.fullmatch(word) for word in text.split()]
    factors = [(match[1], int(match[2])) for match in found if match]
    if len(factors) < len(found):
        raise _refused(text, "is no Pauli string", qubits)
    places = [qubit for _, qubit in factors]
    if max(places) >= qubits:
        raise _refused(text, f"names qubit {max(places)}, the last is {qubits - 1}", qubits)
    if len(set(places)) < len(places):
        raise _refused(text, "names a qubit twice", qubits)
    return factors


def _refused(text: str, reason: str, qubits: int) -> InputError:
    legal = (
        f"{qubits} letters out of I, X, Y, Z with qubit 0 on the right, or factors such as Z0 X{qubits - 1}"
    )
    return InputError.at(_PATH, f"{show(text)} {reason}; legal: {legal}")
