"""A second reading of OpenQASM files, for the certificate: the state vector at one point.

OpenQASM 3 is simulated from the syntax tree by NumPy alone, with the language's own definitions of gates
(Cross et al. 2022, arXiv 2104.14722; see ``matrices``). Only the parser is shared with the first reading.
OpenQASM 2 is read by Qiskit, with the point's numbers instead of the trained angles.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from openqasm3 import ast

from orchestrator.models.circuits.openqasm import parsing
from orchestrator.models.circuits.openqasm.matrices import Complex, apply, power, stdgates, u
from orchestrator.models.circuits.openqasm.reading import language
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.substitution import state_by_qiskit, substitute

MOST_QUBITS = 10
"""Limit of the second reading."""

_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "%": operator.mod,
    "**": operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "arccos": math.acos,
    "arcsin": math.asin,
    "arctan": math.atan,
    "cos": math.cos,
    "exp": math.exp,
    "log": math.log,
    "pow": math.pow,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}


class Unevaluated(ValueError):  # noqa: N818 - no error: not certified
    """The second reading does not support a part of the program; the first reading may."""


class _TooLarge(Exception):  # noqa: N818 - leads to None
    pass


def statevector(text: str, values: Mapping[str, float]) -> Complex | None:
    """Simulates a program from |0…0>; measurements at its end are left out.

    Args:
        text: an OpenQASM 2 or 3 program.
        values: the values of inputs by name, and of trained angles by ``line:column``.

    Returns:
        complex128 [2^n], qubit 0 the lowest bit, up to a global phase; None above ``MOST_QUBITS`` qubits.

    Raises:
        Unevaluated: the program has a part that this reading does not support.

    Example:
        >>> abs(statevector("input float a; qubit q; U(a, 0, 0) q;", {"a": math.pi})).round(3).tolist()
        [0.0, 1.0]
    """
    text = text.removeprefix("\ufeff")
    try:
        if language(text) == 2:
            return state_by_qiskit(substitute(text, values), MOST_QUBITS)
        simulator = _Simulator(dict(values))
        for statement in parsing.parse(text).statements:
            simulator.run(statement)
    except _TooLarge:
        return None
    except (Refusal, RecursionError, ArithmeticError, ValueError, LookupError, TypeError) as error:
        raise Unevaluated(f"{type(error).__name__}: {error}") from error
    return simulator.state.reshape(-1)


# OpenQASM 3.


@dataclass
class _Simulator:
    """A program's state [2^n, columns], and the values of its names.

    Attributes:
        names: numbers by name.
        bits: qubits by name: an index, or a list of indices.
        gates: definitions by name.
        inside: whether the body of a gate is simulated.
        used: qubits that a gate has acted on.
        measured: qubits that were measured.
        matrices: cache, by gate and angles.
    """

    names: dict[str, Any]
    bits: dict[str, Any] = field(default_factory=dict)
    gates: dict[str, ast.QuantumGateDefinition] = field(default_factory=dict)
    state: Complex = field(default_factory=lambda: np.ones((1, 1), np.complex128))
    inside: bool = False
    used: set[int] = field(default_factory=set)
    measured: set[int] = field(default_factory=set)
    matrices: dict[Any, Complex] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """n, number of qubits."""
        return len(self.state).bit_length() - 1

    def run(self, node: ast.QASMNode) -> None:
        """Simulates a statement."""
        match node:
            case ast.QuantumGate() | ast.QuantumPhase():
                self._apply(node)
            case ast.QuantumGateDefinition(name=name):
                self.gates[name.name] = node
            case ast.Include(filename="stdgates.inc"):
                self.gates |= stdgates()
            case ast.QubitDeclaration(qubit=name, size=size):
                first = self.count
                self._grow(first + (1 if size is None else int(self._value(size))))
                self.bits[name.name] = first if size is None else list(range(first, self.count))
            case ast.ConstantDeclaration(type=kind, identifier=name, init_expression=value):
                number = self._value(value)
                whole = isinstance(kind, ast.IntType | ast.UintType)
                self.names[name.name] = int(number) if whole else float(number)
            case ast.AliasStatement(target=name, value=value):
                self.bits[name.name] = self._qubits(value)
            case ast.IODeclaration(identifier=name):
                self.names[name.name]  # KeyError without a value
            case ast.ForInLoop(identifier=name, set_declaration=values, block=block):
                for current in list(self._loop_values(values)):
                    self.names[name.name] = current
                    for statement in block:
                        self.run(statement)
            case _:
                self._run_without_effect(node)

    def _run_without_effect(self, node: ast.QASMNode) -> None:
        """Handles statements without effect, and those legal only at the beginning or the end."""
        match node:
            case ast.QuantumBarrier() | ast.DelayInstruction():
                pass
            case ast.ClassicalDeclaration(type=ast.BitType(), init_expression=value):
                if isinstance(value, ast.QuantumMeasurement):
                    self.measured.update(_flat(self._qubits(value.qubit)))
            case ast.QuantumMeasurementStatement(measure=measure):
                self.measured.update(_flat(self._qubits(measure.qubit)))
            case ast.QuantumReset(qubits=qubits):
                if self.used.union(self.measured).intersection(_flat(self._qubits(qubits))):
                    raise Unevaluated("a reset that is not at the beginning")
            case _:
                raise Unevaluated(f"a statement of the kind {type(node).__name__}")

    def _grow(self, count: int) -> None:
        if count > MOST_QUBITS:
            raise _TooLarge
        missing = 2**count - len(self.state)
        if missing > 0:
            self.state = np.concatenate([self.state, np.zeros((missing, 1), np.complex128)])

    # Gates.

    def _apply(self, node: ast.QuantumGate | ast.QuantumPhase) -> None:
        angles = [node.argument] if isinstance(node, ast.QuantumPhase) else node.arguments
        matrix = self._gate(node, [self._angle(angle) for angle in angles])
        for modifier in reversed(node.modifiers):
            matrix = self._modify(matrix, modifier)
        operands = [self._qubits(qubit) for qubit in node.qubits]
        lists = [operand for operand in operands if isinstance(operand, list)]
        for index in range(len(lists[0]) if lists else 1):
            qubits = [operand[index] if isinstance(operand, list) else operand for operand in operands]
            if any(len(operand) != len(lists[0]) for operand in lists) or len(set(qubits)) < len(qubits):
                raise Unevaluated("a gate on registers of different lengths, or twice on a qubit")
            if self.measured.intersection(qubits):
                raise Unevaluated("a gate after a measurement")
            self.used.update(qubits)
            self.state = apply(self.state, matrix, qubits)

    def _gate(self, node: ast.QuantumGate | ast.QuantumPhase, angles: list[float]) -> Complex:
        if isinstance(node, ast.QuantumPhase):
            return np.exp(np.array([[1j * angles[0]]]))
        name = node.name.name
        if name == "U":
            return u(*angles)
        key = (name, *angles)
        if key not in self.matrices:
            self.matrices[key] = self._matrix(self.gates[name], angles)
        return self.matrices[key]

    def _matrix(self, gate: ast.QuantumGateDefinition, angles: list[float]) -> Complex:
        """Simulates a gate's body on each basis state; its first qubit is the highest bit."""
        count = len(gate.qubits)
        names = {key: value for key, value in self.names.items() if key not in {q.name for q in gate.qubits}}
        names |= {formal.name: angle for formal, angle in zip(gate.arguments, angles, strict=True)}
        bits = {qubit.name: count - 1 - index for index, qubit in enumerate(gate.qubits)}
        body = _Simulator(names, bits, self.gates, np.eye(2**count, dtype=np.complex128), True)
        body.matrices = self.matrices
        for statement in gate.body:
            body.run(statement)
        return body.state

    def _modify(self, matrix: Complex, modifier: ast.QuantumGateModifier) -> Complex:
        name = modifier.modifier.name
        if name == "inv":
            return matrix.conj().T
        argument = 1 if modifier.argument is None else self._value(modifier.argument)
        if name == "pow":
            return power(matrix, argument)
        for _ in range(int(argument)):
            unit = np.eye(len(matrix))
            first, second = (unit, matrix) if name == "ctrl" else (matrix, unit)
            zero = np.zeros_like(unit)
            matrix = np.block([[first, zero], [zero, second]])
            if len(matrix) > 2**MOST_QUBITS:
                raise Unevaluated("more controls than there are qubits")
        return matrix

    # Numbers and qubits.

    def _angle(self, node: ast.Expression) -> float:
        """Returns the value of an angle; a trained one is looked up by its position."""
        position = f"{node.span.start_line}:{node.span.start_column + 1}" if node.span else ""
        if not self.inside and position in self.names:
            return float(self.names[position])
        return float(self._value(node))

    def _value(self, node: ast.QASMNode) -> Any:
        match node:
            case ast.IntegerLiteral(value=value) | ast.FloatLiteral(value=value):
                return value
            case ast.Identifier(name=name):
                return self.names[name] if name in self.names else _constant(name)
            case ast.UnaryExpression(op=op, expression=inner) if op.name == "-":
                return -self._value(inner)
            case ast.BinaryExpression(op=op, lhs=left, rhs=right):
                return _compute(op.name, self._value(left), self._value(right))
            case ast.FunctionCall(name=name, arguments=arguments):
                return _FUNCTIONS[name.name](*(self._value(argument) for argument in arguments))
            case ast.Cast(type=ast.FloatType() | ast.AngleType(), argument=inner):
                return float(self._value(inner))
        raise Unevaluated(f"an expression of the kind {type(node).__name__}")

    def _loop_values(self, node: ast.QASMNode) -> Sequence[int]:
        if isinstance(node, ast.DiscreteSet):
            return [self._value(value) for value in node.values]
        if not isinstance(node, ast.RangeDefinition) or node.start is None or node.end is None:
            raise Unevaluated("a loop over anything but a range or a set")
        start, end = self._value(node.start), self._value(node.end)
        step = 1 if node.step is None else self._value(node.step)
        return range(start, end + (1 if step > 0 else -1), step)

    def _qubits(self, node: ast.QASMNode) -> Any:
        """Returns the index of a qubit, or a list of indices."""
        match node:
            case ast.Identifier(name=name) if name.startswith("$"):
                self._grow(int(name[1:]) + 1)
                return int(name[1:])
            case ast.Identifier(name=name):
                return self.bits[name]
            case ast.IndexedIdentifier(name=inner, indices=indices):
                return reduce(self._indexed, indices, self._qubits(inner))
            case ast.IndexExpression(collection=inner, index=index):
                return self._indexed(self._qubits(inner), index)
            case ast.Concatenation(lhs=left, rhs=right):
                return [*_flat(self._qubits(left)), *_flat(self._qubits(right))]
        raise Unevaluated(f"qubits of the kind {type(node).__name__}")

    def _indexed(self, qubits: list[int], index: Any) -> Any:
        if isinstance(index, ast.DiscreteSet):
            return [qubits[self._value(value)] for value in index.values]
        (index,) = index
        if not isinstance(index, ast.RangeDefinition):
            return qubits[self._value(index)]
        step = 1 if index.step is None else self._value(index.step)
        low, high = (0, len(qubits) - 1)[:: 1 if step > 0 else -1]
        start = low if index.start is None else self._value(index.start) % len(qubits)
        end = high if index.end is None else self._value(index.end) % len(qubits)
        return [
            qubits[k] for k in range(len(qubits))[:: 1 if step > 0 else -1] if _in_range(k, start, end, step)
        ]


def _in_range(index: int, start: int, end: int, step: int) -> bool:
    """Returns whether an index is in a range by ``step`` from ``start`` to ``end``, both included."""
    steps = (index - start) / step
    return steps >= 0 and steps == int(steps) and steps <= (end - start) / step


def _constant(name: str) -> float:
    values = {"pi": math.pi, "π": math.pi, "tau": 2 * math.pi, "τ": 2 * math.pi, "euler": math.e, "ℇ": math.e}
    return values[name]


def _compute(sign: str, left: Any, right: Any) -> Any:
    if sign != "/":
        return _SIGNS[sign](left, right)
    if isinstance(left, int) and isinstance(right, int):
        if left % right:
            raise Unevaluated("a division of whole numbers with a remainder")
        return left // right
    return left / right


def _flat(qubits: Any) -> list[int]:
    return qubits if isinstance(qubits, list) else [qubits]
