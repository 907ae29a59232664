"""A circuit from the text of an OpenQASM file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from openqasm3 import ast

from orchestrator.models.circuits.openqasm import parsing, phases, version2
from orchestrator.models.circuits.openqasm.elaboration import Elaborated, elaborate
from orchestrator.models.circuits.openqasm.importing import imported
from orchestrator.models.circuits.openqasm.names import STDGATES
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.values import CONSTANTS

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MOST_CHARACTERS = 2**20
"""Of a file: the parser reads some 50 000 a second."""

_MOST_NESTED = 50
"""Brackets inside brackets; the parser calls itself for each."""

_VERSION = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*OPENQASM\s+(?P<version>\d[\d.]*)\s*;", re.DOTALL)
_ROUNDING = 1e-12
"""Relative, between two evaluations of a constant angle."""


@dataclass(frozen=True)
class Reading:
    """What a file says.

    Attributes:
        version: 2 or 3.
        circuit: with its inputs, and its trained angles, as parameters.
        starts: by name, the trained angles with the values that the file gives them.
    """

    version: int
    circuit: QuantumCircuit
    starts: Mapping[str, float]


@lru_cache(maxsize=8)
def read(text: str, train: bool = False) -> Reading:
    """Reads an OpenQASM 2 or 3 program; without a version it is 2 if it includes ``qelib1.inc``.

    Args:
        text: the file's; a byte order mark at its start is left out.
        train: whether each constant angle of a gate, outside gates' definitions, becomes a parameter, which
            is named ``line:column`` after its place and starts at its value.

    Returns:
        The circuit; to be copied before it is changed.

    Raises:
        ExceptionGroup: of all Refusals.

    Example:
        >>> read('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; rx(pi/2) q[0];', train=True).starts
        {'1:51': 1.5707963267948966}
    """
    text = text.removeprefix("\ufeff")
    try:
        version = language(text)
        _bounded(text)
        plain = (
            elaborate(parsing.parse(text), phases.library(), train)
            if version == 3
            else _elaborate2(text, train)
        )
        circuit = imported(plain.program)
        if version == 2:
            _compare(circuit.assign_parameters(plain.starts), qiskits_circuit(text))
    except Refusal as refusal:
        raise ExceptionGroup("cannot be read", [refusal]) from refusal
    except RecursionError as error:
        raise ExceptionGroup("cannot be read", [Refusal(0, 0, "is nested too deeply")]) from error
    return Reading(version, circuit, plain.starts)


def language(text: str) -> int:
    """The version of OpenQASM that a text is in, 2 or 3; Refusal if another, or none."""
    found = _VERSION.match(text)
    if not text.strip():
        raise Refusal(0, 0, "is empty")
    if not found:
        return 2 if 'include "qelib1.inc"' in text else 3
    version = found["version"].rstrip(".")
    if version not in ("2", "2.0", "3", "3.0", "3.1"):
        line = text.count("\n", 0, found.start("version")) + 1
        raise Refusal(line, 1, f"is OpenQASM {version} (legal: 2.0, 3.0, 3.1)")
    return int(version[0])


def _bounded(text: str) -> None:
    """Refuses what would take the parser too long, or too deep."""
    if len(text) > MOST_CHARACTERS:
        raise Refusal(0, 0, f"has {len(text)} characters, at most {MOST_CHARACTERS} are read")
    depth, line = 0, 1
    for character in re.findall(r"[(\[{}\])\n]", text):
        depth += character in "([{"
        depth -= character in ")]}"
        line += character == "\n"
        if depth > _MOST_NESTED:
            raise Refusal(line, 1, f"has more than {_MOST_NESTED} brackets inside each other")


def _elaborate2(text: str, train: bool) -> Elaborated:
    """The plain tree of an OpenQASM 2 program; the gates that it may use without defining them are known."""
    library = version2.library()
    tree = version2.parse(text, {*STDGATES, *library, *CONSTANTS})
    statements = [node for node in tree.statements if not _is_qelib1(node)]
    for node in statements:
        if isinstance(node, ast.Include):
            message = f"the file {node.filename} is not included (legal: qelib1.inc); paste its text here"
            raise Refusal.at(node, message)
    return elaborate(ast.Program([ast.Include("stdgates.inc"), *statements], "3.0"), library, train)


def _is_qelib1(node: ast.QASMNode) -> bool:
    return isinstance(node, ast.Include) and node.filename == "qelib1.inc"


def qiskits_circuit(text: str) -> QuantumCircuit:
    """An OpenQASM 2 program as Qiskit reads it; what it defines itself goes before Qiskit's own gates.

    Raises:
        Refusal: the first place that Qiskit does not read.
    """
    from qiskit import qasm2

    own = version2.declared(text)
    known = [
        gate
        for gate in qasm2.LEGACY_CUSTOM_INSTRUCTIONS
        if gate.builtin and gate.name not in own and gate.name != "u0" and "qelib1.inc" in text
    ]
    try:
        return qasm2.loads(
            text.encode("ascii", "replace").decode(),
            include_path=(),
            custom_instructions=known,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )
    except qasm2.QASM2ParseError as error:
        raise _refusal(str(error)) from error


def _refusal(message: str) -> Refusal:
    """Qiskit's message, in which columns count from 0."""
    found = re.match(r"\W*<input>:(?P<line>\d+),(?P<column>\d+): (?P<reason>.*?)['\"]?$", message, re.DOTALL)
    if not found:
        return Refusal(0, 0, message)
    return Refusal(int(found["line"]), int(found["column"]) + 1, found["reason"])


def _compare(circuit: QuantumCircuit, other: QuantumCircuit) -> None:
    """Refuses a program that Qiskit reads as other gates at the angles that the file gives."""
    ours, theirs = _calls(circuit), _calls(other)
    same = [qubits for qubits, _ in ours] == [qubits for qubits, _ in theirs]
    if not same or not all(
        np.allclose(mine, yours, rtol=_ROUNDING, atol=_ROUNDING)
        for (_, mine), (_, yours) in zip(ours, theirs, strict=True)
    ):
        raise Refusal(0, 0, "is read in another way by Qiskit; please report the file")


def _calls(circuit: QuantumCircuit) -> list[tuple[list[int], list[float]]]:
    """The qubits and angles of each operation."""
    return [
        (
            [circuit.find_bit(qubit).index for qubit in item.qubits],
            [float(value) for value in item.operation.params],
        )
        for item in circuit.data
        if item.operation.name != "barrier"
    ]
