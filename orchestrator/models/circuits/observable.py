"""Observables: from the text or mapping of a sweep file to operators."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, matmul
from typing import TYPE_CHECKING, Any

from orchestrator.config.text import show
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.size import MOST_LETTERS

if TYPE_CHECKING:
    from qiskit.quantum_info import SparsePauliOp

ZERO_PROJECTOR = "zero-projector"
"""Name of |0…0><0…0|. It has 2^n Pauli strings, and is therefore kept apart from their sum."""

READOUTS: tuple[str, ...] = ("mean", "linear", "softmax", "parity")

WrittenObservable = str | Mapping[str, Any] | None
"""An observable as a sweep file has it."""

_PATH = "model.observable"
_FACTOR = re.compile(r"([XYZ])([0-9]+)")


@dataclass(frozen=True)
class Operator:
    """A sum of Pauli strings with real coefficients, and a multiple of |0…0><0…0|."""

    paulis: SparsePauliOp
    projector: float = 0.0


def read_operators(
    written: WrittenObservable | tuple[WrittenObservable, ...], readout: str | None, qubits: int
) -> tuple[Operator, ...]:
    """Reads the observables, or the single one that ``mean`` or ``parity`` makes of them.

    Args:
        written: one observable or several. None: Z on the last qubit, or on all qubits for ``parity``.
        readout: one of ``READOUTS``, or None.
        qubits: n.

    Raises:
        InputError: at ``model.observable`` or ``model.observables``, with every fault.
    """
    if written is None and readout == "parity":
        written = "Z" * qubits
    observables = written if isinstance(written, tuple) else (written,)
    operators, faults = [], []
    for index, observable in enumerate(observables):
        try:
            operators.append(read_observable(observable, qubits))
        except InputError as error:
            path = f"{_PATH}s.{index}" if isinstance(written, tuple) else _PATH
            faults += [replace(fault, path=path) for fault in error.faults]
    if faults:
        raise InputError(faults)
    if readout == "mean":
        return (_mean(operators),)
    if readout == "parity":
        return (_product(operators),)
    return tuple(operators)


def _mean(operators: Sequence[Operator]) -> Operator:
    share = 1.0 / len(operators)
    paulis = reduce(add, (operator.paulis for operator in operators)).simplify()
    return _refuse_constant(
        Operator(share * paulis, share * sum(operator.projector for operator in operators))
    )


def _product(operators: Sequence[Operator]) -> Operator:
    if any(operator.projector for operator in operators):
        raise InputError.at(f"{_PATH}s", f"has {ZERO_PROJECTOR}, which readout: parity cannot take")
    count = math.prod(len(operator.paulis) for operator in operators)
    if count * operators[0].paulis.num_qubits > MOST_LETTERS:
        raise InputError.at(f"{_PATH}s", f"multiply to {count:,} Pauli strings, too many for readout: parity")
    product = reduce(matmul, (operator.paulis for operator in operators)).simplify()
    if abs(product.coeffs.imag).max() > 0.0:
        raise InputError.at(f"{_PATH}s", "do not commute, so readout: parity, their product, has no value")
    return _refuse_constant(Operator(product))


def _refuse_constant(operator: Operator) -> Operator:
    """Returns the operator; raises InputError if it is a constant."""
    pairs = zip(operator.paulis.paulis, operator.paulis.coeffs, strict=True)
    if operator.projector or any(coefficient and (p.x.any() or p.z.any()) for p, coefficient in pairs):
        return operator
    raise InputError.at(f"{_PATH}s", "come to a constant, whose expectation value never changes")


def read_observable(observable: WrittenObservable, qubits: int) -> Operator:
    """Reads one observable.

    Args:
        observable: a Pauli string, ``zero-projector``, or a mapping of these to real coefficients. A
            string has one letter per qubit as Qiskit writes it, qubit 0 on the right (``ZIII``). Or it
            lists the factors that are not the identity (``Z0 Z1``; ``I`` if there are none). None: Z on
            the last qubit.
        qubits: n.

    Raises:
        InputError: at ``model.observable``, with every fault.

    Example:
        >>> operator = read_observable({"X0 Z2": 0.5, "zero-projector": -1.0}, 3)
        >>> operator.paulis.to_list(), operator.projector
        ([('ZIX', (0.5+0j))], -1.0)
    """
    from qiskit.quantum_info import SparsePauliOp

    if observable is None:
        observable = f"Z{qubits - 1}"
    weighted = {observable: 1.0} if isinstance(observable, str) else observable
    strings = [text for text in weighted if text != ZERO_PROJECTOR]
    faults = [
        *_coefficient_faults(weighted),
        *(fault for text in strings for fault in _string_faults(text, qubits)),
    ]
    if faults:
        raise InputError(faults)
    if len(strings) * qubits > MOST_LETTERS:
        legal = f"(legal: at most {MOST_LETTERS // qubits:,})"
        raise InputError.at(_PATH, f"has {len(strings):,} Pauli strings on {qubits} qubits {legal}")
    terms = [(*_sparse(text, qubits), float(weighted[text])) for text in strings]
    projector = float(weighted.get(ZERO_PROJECTOR, 0.0))
    if not projector and not any(letters and coefficient for letters, _, coefficient in terms):
        raise InputError.at(_PATH, f"{show(observable)} is a constant, whose expectation value never changes")
    return Operator(SparsePauliOp.from_sparse_list(terms or [("", [], 0.0)], num_qubits=qubits), projector)


def _coefficient_faults(weighted: Mapping[str, Any]) -> Iterator[Fault]:
    if not weighted:
        yield Fault(_PATH, "names no Pauli string")
    for text, coefficient in weighted.items():
        if type(coefficient) not in (int, float) or not math.isfinite(coefficient):
            message = f"{show(text)} has coefficient {show(coefficient)}, must be a finite number"
            yield Fault(_PATH, message)


def _string_faults(text: str, qubits: int) -> Iterator[Fault]:
    if reason := _why_illegal(text, qubits):
        letters = f"{qubits} letters out of I, X, Y, Z with qubit 0 on the right"
        legal = f"{letters}, factors such as Z0 X{qubits - 1}, or {ZERO_PROJECTOR}"
        yield Fault(_PATH, f"{show(text)} {reason}; legal: {legal}")


def _why_illegal(text: str, qubits: int) -> str | None:
    if not any(letter.isdigit() for letter in text):
        if not text or set(text) - set("IXYZ"):
            return "is not a Pauli string"
        wrong = len(text) != qubits and text != "I"
        return f"has {len(text)} letters for {qubits} qubits" if wrong else None
    factors = [_FACTOR.fullmatch(word) for word in text.split()]
    indices = [int(match[2]) for match in factors if match]
    if len(indices) < len(factors):
        return "is not a Pauli string"
    if max(indices) >= qubits:
        return f"names qubit {max(indices)}, the last is {qubits - 1}"
    return "names a qubit twice" if len(set(indices)) < len(indices) else None


def _sparse(text: str, qubits: int) -> tuple[str, list[int]]:
    """Returns the letters of a legal string that are not the identity, and their qubits."""
    if text == "I":
        return "", []
    if any(letter.isdigit() for letter in text):
        factors = [(word[0], int(word[1:])) for word in text.split()]
    else:
        factors = [(letter, qubits - 1 - position) for position, letter in enumerate(text) if letter != "I"]
    return "".join(letter for letter, _ in factors), [qubit for _, qubit in factors]
