"""The names that a program declares: registers, constants and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import (
    MOST_BITS,
    Bit,
    Bits,
    GateType,
    Scope,
    root,
    with_span,
)
from orchestrator.models.circuits.openqasm.values import CONSTANTS, number, whole

STDGATES: Mapping[str, GateType] = MappingProxyType(
    {name: GateType(0, 1) for name in ("x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "id")}
    | {name: GateType(1, 1) for name in ("p", "rx", "ry", "rz", "phase", "u1")}
    | {name: GateType(0, 2) for name in ("cx", "cy", "cz", "ch", "swap", "CX")}
    | {name: GateType(1, 2) for name in ("cp", "crx", "cry", "crz", "cphase")}
    | {name: GateType(0, 3) for name in ("ccx", "cswap")}
    | {"cu": GateType(4, 2), "u2": GateType(2, 1), "u3": GateType(3, 1)}
)
"""The gates of ``stdgates.inc``."""

BUILTIN = GateType(3, 1)
"""The built-in gate U, which needs no include."""


class Names:
    """The names of a program.

    Attributes:
        scope: constants, parameters and qubits.
        clbits: classical bits and registers.
        gates: the type of each gate.
    """

    def __init__(self) -> None:
        self.scope = Scope()
        self.clbits: dict[str, Bits] = {}
        self.gates = {"U": BUILTIN}
        self._taken = dict.fromkeys([*CONSTANTS, "U"], "OpenQASM itself")

    def declare(self, node: ast.QASMNode, name: str, owner: str = "") -> None:
        """Reserves a name; Refusal if it is taken."""
        if name in self._taken:
            raise Refusal.at(node, f"the name {name} is taken by {self._taken[name]}")
        self._taken[name] = owner or (f"line {node.span.start_line}" if node.span else "the program")

    def include(self, node: ast.Include) -> Iterator[ast.Statement]:
        """Declares the gates of ``stdgates.inc``, the only file that can be included."""
        if node.filename != "stdgates.inc":
            message = (
                f"the file {node.filename} cannot be included (legal: stdgates.inc); paste its text here"
            )
            raise Refusal.at(node, message)
        for name in STDGATES:
            self.declare(node, name, "a gate of stdgates.inc")
        self.gates |= STDGATES
        yield node

    def qubits(self, node: ast.QubitDeclaration) -> Iterator[ast.Statement]:
        """Declares a register of qubits, or a single qubit."""
        name = node.qubit.name
        self.scope.qubits[name] = self._register(node, name, node.size, self.scope.qubits)
        yield with_span(ast.QubitDeclaration(node.qubit, _size(self.scope.qubits[name])), node)

    def classical(self, node: ast.ClassicalDeclaration) -> Iterator[ast.Statement]:
        """Declares a register of classical bits, or a single bit."""
        if not isinstance(node.type, ast.BitType):
            raise Refusal.at(
                node, "variables are not supported (legal: bit, const, input float, input angle)"
            )
        name, value = node.identifier.name, node.init_expression
        if value is not None and not isinstance(value, ast.QuantumMeasurement):
            raise Refusal.at(node, "bits cannot be initialised; leave out the value")
        self.clbits[name] = self._register(node, name, node.type.size, self.clbits)
        yield with_span(
            ast.ClassicalDeclaration(ast.BitType(_size(self.clbits[name])), node.identifier), node
        )

    def constant(self, node: ast.ConstantDeclaration) -> None:
        """Declares a constant."""
        name, scope = node.identifier.name, self.scope
        match node.type:
            case ast.FloatType() | ast.AngleType():
                value: int | float = float(number(node.init_expression, scope.constants, scope.free))
            case ast.IntType() | ast.UintType():
                value = whole(node.init_expression, scope.constants, scope.free)
            case _:
                raise Refusal.at(
                    node, "constants of this type are not supported (legal: float, angle, int, uint)"
                )
        self.declare(node, name)
        scope.constants[name] = value

    def input(self, node: ast.IODeclaration) -> Iterator[ast.Statement]:
        """Declares a parameter."""
        name = node.identifier.name
        if node.io_identifier.name != "input":
            raise Refusal.at(node, "output is not supported; the observable is what is measured")
        if not isinstance(node.type, ast.FloatType | ast.AngleType):
            kind = type(node.type).__name__.removesuffix("Type").lower()
            raise Refusal.at(node, f"input {kind} is not supported (legal: input float, input angle)")
        self.declare(node, name)
        self.scope.free[name] = name
        yield with_span(ast.IODeclaration(node.io_identifier, ast.FloatType(), node.identifier), node)

    def alias(self, node: ast.AliasStatement) -> None:
        """Declares a name for bits that are already declared."""
        names = self.clbits if root(node.value) in self.clbits else self.scope.qubits
        bits = self.scope.find(node.value, names)
        self.declare(node, node.target.name)
        names[node.target.name] = bits

    def _register(
        self, node: ast.QASMNode, name: str, size: ast.Expression | None, others: Mapping[str, Bits]
    ) -> Bits:
        count = 1 if size is None else whole(size, self.scope.constants, self.scope.free)
        used = len({bit for bits in others.values() for bit in bits.bits})
        if not 0 < count <= MOST_BITS - used:
            legal = f"1 to {MOST_BITS}" + (f", {used} of which are declared already" if used else "")
            raise Refusal.at(node, f"{name} has {count} bits (legal: {legal})")
        self.declare(node, name)
        if size is None:
            return Bits((Bit(name, None),), single=True)
        return Bits(tuple(Bit(name, index) for index in range(count)))


def _size(bits: Bits) -> ast.Expression | None:
    return None if bits.single else ast.IntegerLiteral(len(bits.bits))
