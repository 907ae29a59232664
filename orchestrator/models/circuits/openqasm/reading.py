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
from orchestrator.models.circuits.openqasm.importing import to_circuit
from orchestrator.models.circuits.openqasm.names import STDGATES
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.values import CONSTANTS

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MOST_CHARACTERS = 2**20
"""Limit of a file: the parser reads some 50 000 characters per second."""

_MOST_NESTED = 50
"""Limit of nested brackets: the parser recurses into each."""

_VERSION = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*OPENQASM\s+(?P<version>\d[\d.]*)\s*;", re.DOTALL)
_ROUNDING = 1e-12
"""Relative difference between two evaluations of a constant angle."""


@dataclass(frozen=True)
class Reading:
    """A file that was read.

    Attributes:
        version: 2 or 3.
        circuit: has the inputs and the trained angles as parameters.
        starts: initial values, by name, of the trained angles: their values in the file.
    """

    version: int
    circuit: QuantumCircuit
    starts: Mapping[str, float]


@lru_cache(maxsize=8)
def read(text: str, train: bool = False) -> Reading:
    """Reads an OpenQASM 2 or 3 program. Without a version, it is 2 if it includes ``qelib1.inc``, else 3.

    Args:
        text: the file's text; a byte order mark at its start is left out.
        train: whether each constant angle of a gate, outside gates' definitions, becomes a parameter. It is
            named ``line:column`` after its position and starts at its value.

    Returns:
        The reading, which is cached: copy its circuit before changing it.

    Raises:
        ExceptionGroup: all Refusals.

    Example:
        >>> read('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; rx(pi/2) q[0];', train=True).starts
        {'1:51': 1.5707963267948966}
    """
    text = text.removeprefix("\ufeff")
    try:
        version = language(text)
        _check_bounds(text)
        plain = (
            elaborate(parsing.parse(text), phases.library(), train)
            if version == 3
            else _elaborate2(text, train)
        )
        circuit = to_circuit(plain.program)
        if version == 2:
            _compare(circuit.assign_parameters(plain.starts), load_with_qiskit(text))
    except Refusal as refusal:
        raise ExceptionGroup("cannot be read", [refusal]) from refusal
    except RecursionError as error:
        raise ExceptionGroup("cannot be read", [Refusal(0, 0, "is nested too deeply")]) from error
    return Reading(version, circuit, plain.starts)


def language(text: str) -> int:
    """Returns a text's version of OpenQASM, 2 or 3; Refusal for another one, or an empty text."""
    match = _VERSION.match(text)
    if not text.strip():
        raise Refusal(0, 0, "is empty")
    if not match:
        return 2 if 'include "qelib1.inc"' in text else 3
    version = match["version"].rstrip(".")
    if version not in ("2", "2.0", "3", "3.0", "3.1"):
        line = text.count("\n", 0, match.start("version")) + 1
        raise Refusal(line, 1, f"is OpenQASM {version} (legal: 2.0, 3.0, 3.1)")
    return int(version[0])


def _check_bounds(text: str) -> None:
    """Refuses a text that is too long or too deeply nested for the parser."""
    if len(text) > MOST_CHARACTERS:
        raise Refusal(0, 0, f"has {len(text)} characters (legal: at most {MOST_CHARACTERS})")
    depth, line = 0, 1
    for character in re.findall(r"[(\[{}\])\n]", text):
        depth += character in "([{"
        depth -= character in ")]}"
        line += character == "\n"
        if depth > _MOST_NESTED:
            raise Refusal(line, 1, f"has more than {_MOST_NESTED} nested brackets")


def _elaborate2(text: str, train: bool) -> Elaborated:
    """Elaborates an OpenQASM 2 program, which may use the gates of ``qelib1.inc`` without defining them."""
    library = version2.library()
    tree = version2.parse(text, {*STDGATES, *library, *CONSTANTS})
    statements = [node for node in tree.statements if not _is_qelib1(node)]
    for node in statements:
        if isinstance(node, ast.Include):
            message = f"the file {node.filename} cannot be included (legal: qelib1.inc); paste its text here"
            raise Refusal.at(node, message)
    return elaborate(ast.Program([ast.Include("stdgates.inc"), *statements], "3.0"), library, train)


def _is_qelib1(node: ast.QASMNode) -> bool:
    return isinstance(node, ast.Include) and node.filename == "qelib1.inc"


def load_with_qiskit(text: str) -> QuantumCircuit:
    """Reads an OpenQASM 2 program with Qiskit; its own definitions take precedence over Qiskit's gates.

    Raises:
        Refusal: at the first position that Qiskit cannot read.
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
    """Returns Qiskit's message, whose columns count from 0, as a Refusal."""
    match = re.match(r"\W*<input>:(?P<line>\d+),(?P<column>\d+): (?P<reason>.*?)['\"]?$", message, re.DOTALL)
    if not match:
        return Refusal(0, 0, message)
    return Refusal(int(match["line"]), int(match["column"]) + 1, match["reason"])


def _compare(circuit: QuantumCircuit, other: QuantumCircuit) -> None:
    """Refuses a program that Qiskit reads as other gates, at the angles in the file."""
    ours, theirs = _calls(circuit), _calls(other)
    same = [qubits for qubits, _ in ours] == [qubits for qubits, _ in theirs]
    if not same or not all(
        np.allclose(mine, yours, rtol=_ROUNDING, atol=_ROUNDING)
        for (_, mine), (_, yours) in zip(ours, theirs, strict=True)
    ):
        raise Refusal(0, 0, "is read differently by Qiskit; please report the file")


def _calls(circuit: QuantumCircuit) -> list[tuple[list[int], list[float]]]:
    """Returns the qubits and angles of each operation."""
    return [
        (
            [circuit.find_bit(qubit).index for qubit in item.qubits],
            [float(value) for value in item.operation.params],
        )
        for item in circuit.data
        if item.operation.name != "barrier"
    ]
