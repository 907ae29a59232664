"""From a plain tree to a Qiskit circuit."""

from __future__ import annotations

import warnings
from typing import Any

from openqasm3 import ast
from qiskit import QuantumCircuit
from qiskit_qasm3_import import ConversionError
from qiskit_qasm3_import.converter import ConvertVisitor

from orchestrator.models.circuits.openqasm.refusal import Refusal


def to_circuit(program: ast.Program) -> QuantumCircuit:
    """Converts a plain tree with Qiskit's importer.

    Raises:
        Refusal: at a statement that the importer cannot read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Qiskit 2.3 on its own Gate.control
        return _LocatingVisitor().convert(program).circuit


_REASONS = {
    "type error": "a product of angles, or a number over an angle, is not an angle in OpenQASM 3",
    "Parameter expression with unbound parameters {} is not numeric.": (
        "an angle contains a parameter that it does not depend on; leave that parameter out"
    ),
}
"""Plainer words for some reasons of the importer and of Qiskit."""


class _LocatingVisitor(ConvertVisitor):
    """Turns whatever the importer raises into a Refusal at the statement."""

    def visit_Program(self, node: ast.Program, context: Any) -> Any:  # noqa: N802 - the visitor's name
        for statement in node.statements:
            try:
                context = self.visit(statement, context)
            except (RecursionError, MemoryError):
                raise
            except Exception as error:  # the importer's own kinds, Qiskit's, Python's arithmetic
                raise Refusal.at(statement, _reason(error)) from error
        return context


def _reason(error: Exception) -> str:
    """Returns the error's text without the position that the importer puts in front."""
    if isinstance(error, ZeroDivisionError):
        return "is a division by zero"
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ConversionError) and text[:1].isdigit():
        text = text.partition(": ")[2]
    return _REASONS.get(text, text)
