"""Scopes of names while a syntax tree is elaborated, and the bits that an operand names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.values import Number, whole
from orchestrator.models.circuits.size import MOST_GATES, MOST_QUBITS

Node = TypeVar("Node", bound=ast.QASMNode)
Operand = ast.Identifier | ast.IndexedIdentifier

MOST_BITS = MOST_QUBITS
"""Limit of the qubits, and of the classical bits, of a program."""

PHYSICAL = "$"
"""Name of the register of the qubits $0, $1, …"""


@dataclass(frozen=True)
class Bit:
    """A qubit or classical bit, in a register or (index None) by itself."""

    register: str
    index: int | None

    def operand(self) -> Operand:
        """Returns the bit as an operand in OpenQASM."""
        name = ast.Identifier(self.register)
        return name if self.index is None else ast.IndexedIdentifier(name, [[ast.IntegerLiteral(self.index)]])


@dataclass(frozen=True)
class Bits:
    """The bits of an operand: a single one, or several, over which a gate is repeated."""

    bits: tuple[Bit, ...]
    single: bool = False


@dataclass(frozen=True)
class GateType:
    """The type of a gate.

    Attributes:
        arguments: number of angles.
        qubits: number of qubits.
        leaves: number of gates when it is written out.
        weight: work to read it.
    """

    arguments: int
    qubits: int
    leaves: int = 1
    weight: int = 1


@dataclass
class Scope:
    """The names of the program, or of the body of a gate's definition.

    Attributes:
        constants: numbers by name, the variables of loops included.
        free: the parameters' names in the plain tree, by their names in the program.
        qubits: bits by name of the qubit or register.
        gate: name of the gate that is defined; empty outside definitions.
        leaves, weight: sums over the gates so far, as in ``GateType``.
    """

    constants: dict[str, Number] = field(default_factory=dict)
    free: dict[str, str] = field(default_factory=dict)
    qubits: dict[str, Bits] = field(default_factory=dict)
    gate: str = ""
    leaves: int = 0
    weight: int = 0

    def find(self, node: ast.QASMNode, names: Mapping[str, Bits]) -> Bits:
        """Returns the bits that an operand names, among those of ``names``.

        Raises:
            Refusal: the name is unknown, or an index is out of range.
        """
        match node:
            case ast.Identifier(name=name) if name in names:
                return names[name]
            case ast.Identifier(name=name) if names is self.qubits and _is_physical(name) and not self.gate:
                return _physical_qubit(node, name)
            case ast.Identifier(name=name):
                raise Refusal.at(node, f"{name} is not declared here, or of another type", name)
            case ast.IndexedIdentifier(name=inner, indices=indices):
                return self._indexed(node, self.find(with_span(inner, node), names), indices)
            case ast.IndexExpression(collection=inner, index=index):
                return self._indexed(node, self.find(inner, names), [index])
            case ast.Concatenation(lhs=left, rhs=right):
                return Bits(self.find(left, names).bits + self.find(right, names).bits)
        raise Refusal.at(node, "is not a qubit, bit or register")

    def _indexed(self, node: ast.QASMNode, bits: Bits, indices: Sequence[ast.IndexElement]) -> Bits:
        for index in indices:
            if bits.single:
                raise Refusal.at(node, "a single bit has no index")
            bits = self._select(node, bits.bits, index)
        return bits

    def _select(self, node: ast.QASMNode, bits: tuple[Bit, ...], index: ast.IndexElement) -> Bits:
        if isinstance(index, ast.DiscreteSet):
            return Bits(tuple(bits[self._position(value, len(bits))] for value in index.values))
        if len(index) != 1:
            raise Refusal.at(node, "has several indices, must have one")
        if isinstance(index[0], ast.RangeDefinition):
            return Bits(tuple(bits[k] for k in self._range(index[0], len(bits))))
        return Bits((bits[self._position(index[0], len(bits))],), single=True)

    def _position(self, node: ast.QASMNode, size: int) -> int:
        """Returns an index; a negative one counts from the end."""
        index = whole(node, self.constants, self.free)
        if not -size <= index < size:
            raise Refusal.at(node, f"index {index} is out of range (legal: 0 to {size - 1})")
        return index % size

    def _range(self, node: ast.RangeDefinition, size: int) -> range:
        step = 1 if node.step is None else whole(node.step, self.constants, self.free)
        if step == 0:
            raise Refusal.at(node, "the step of a range is 0")
        ends = (0, size - 1) if step > 0 else (size - 1, 0)
        start, end = (
            default if bound is None else self._position(bound, size)
            for bound, default in zip((node.start, node.end), ends, strict=True)
        )
        return range(start, end + (1 if step > 0 else -1), step)

    def loop_values(self, node: ast.QASMNode) -> Sequence[int]:
        """Returns the values of a loop's variable."""
        if isinstance(node, ast.DiscreteSet):
            return [whole(value, self.constants, self.free) for value in node.values]
        if not isinstance(node, ast.RangeDefinition) or node.start is None or node.end is None:
            raise Refusal.at(node, "a loop goes over a range [a:b] or a set {a, b} of whole numbers")
        start, end = (whole(value, self.constants, self.free) for value in (node.start, node.end))
        step = 1 if node.step is None else whole(node.step, self.constants, self.free)
        if step == 0:
            raise Refusal.at(node, "the step of a range is 0")
        return range(start, end + (1 if step > 0 else -1), step)

    def charge(self, node: ast.QASMNode, weight: int) -> None:
        """Adds to the scope's weight; Refusal if it is too large.

        A gate inside a definition counts once more for each level. Qiskit binds the arguments of nested
        definitions level by level, at some 0.1 ms for a gate and level.
        """
        self.weight += weight
        if self.weight > MOST_GATES:
            raise Refusal.at(
                node, f"with this, the program has too many gates, written out (legal: at most {MOST_GATES})"
            )


def broadcast(node: ast.QASMNode, operands: Sequence[Bits]) -> Iterator[tuple[Bit, ...]]:
    """Yields the bits of each gate of a statement: single bits are repeated, registers are iterated over.

    Raises:
        Refusal: registers of different lengths, or a bit twice in one gate.
    """
    sizes = {len(operand.bits) for operand in operands if not operand.single}
    if len(sizes) > 1:
        lengths = ", ".join(map(str, sorted(sizes)))
        raise Refusal.at(node, f"takes registers of different lengths ({lengths})")
    for index in range(max(sizes, default=1)):
        bits = tuple(operand.bits[0 if operand.single else index] for operand in operands)
        if len(set(bits)) < len(bits):
            raise Refusal.at(node, "names a qubit twice")
        yield bits


def count_physical(statements: Sequence[ast.QASMNode]) -> int:
    """Counts the qubits $0, $1, … up to the last one in elaborated statements."""
    return max(chain.from_iterable(_physical_indices(statement) for statement in statements), default=-1) + 1


def _physical_indices(statement: ast.QASMNode) -> Iterator[int]:
    for operand in _operands(statement):
        match operand:
            case ast.IndexedIdentifier(
                name=ast.Identifier(name=name), indices=[[ast.IntegerLiteral(value=index)]]
            ) if name == PHYSICAL:
                yield index


def _operands(statement: ast.QASMNode) -> Sequence[ast.QASMNode]:
    match statement:
        case ast.QuantumGate() | ast.QuantumPhase():
            return statement.qubits
        case ast.QuantumReset():
            return [statement.qubits]
        case ast.QuantumMeasurementStatement():
            return [statement.measure.qubit]
    return []


def _is_physical(name: str) -> bool:
    return name.startswith("$")


def _physical_qubit(node: ast.QASMNode, name: str) -> Bits:
    digits = name.removeprefix("$")
    if len(digits) > len(str(MOST_BITS)) or int(digits) >= MOST_BITS:
        raise Refusal.at(node, f"qubit {name:.20} is out of range (legal: $0 to ${MOST_BITS - 1})")
    return Bits((Bit(PHYSICAL, int(digits)),), single=True)


def root(node: ast.QASMNode) -> str:
    """Returns the name of the first register of an operand."""
    match node:
        case ast.Identifier(name=name):
            return name
        case ast.IndexedIdentifier(name=inner) | ast.IndexExpression(collection=inner):
            return root(inner)
        case ast.Concatenation(lhs=left):
            return root(left)
    return ""


def with_span(node: Node, origin: ast.QASMNode) -> Node:
    """Gives a node another's span (the parser takes a single name's offset in the file for a column)."""
    node.span = origin.span
    return node
