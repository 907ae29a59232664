"""From any syntax tree to a plain one, which Qiskit's importer reads correctly.

In the plain tree, constants are numbers and loops are written out. Each gate acts on single qubits. Whole
powers are repetitions; barriers and delays are left out. The formal parameters of gates are renamed, so
that sorting by name keeps their order: ``qiskit_qasm3_import`` 0.6 binds arguments in the sorted order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.gates import Gates, Library
from orchestrator.models.circuits.openqasm.names import Names
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import PHYSICAL, Scope, count_physical, with_span
from orchestrator.models.circuits.size import MOST_GATES

_UNSUPPORTED: Mapping[type, str] = {
    ast.BranchingStatement: "if is not supported; a circuit has gates only",
    ast.WhileLoop: "while is not supported; a circuit has gates only",
    ast.SwitchStatement: "switch is not supported; a circuit has gates only",
    ast.SubroutineDefinition: "def is not supported; define a gate, or write the gates out",
    ast.ExternDeclaration: "extern and opaque are not supported; give a definition",
    ast.CalibrationDefinition: "defcal is not supported",
    ast.CalibrationStatement: "cal is not supported",
    ast.CalibrationGrammarDeclaration: "defcalgrammar is not supported",
    ast.Pragma: "pragmas are not supported",
    ast.Box: "box is not supported; leave it out",
    ast.EndStatement: "end is not supported; leave it out, and the statements after it",
    ast.ClassicalAssignment: "assignments are not supported; declare a const",
    ast.ExpressionStatement: "this is an expression, not a statement",
    ast.CompoundStatement: "a block by itself is not supported; leave out its braces",
}


@dataclass(frozen=True)
class Elaborated:
    """A plain tree.

    Attributes:
        program: statements that Qiskit's importer reads.
        starts: initial values, by name, of the angles that became parameters.
    """

    program: ast.Program
    starts: Mapping[str, float]


def elaborate(program: ast.Program, library: Library, train: bool) -> Elaborated:
    """Elaborates a program into a plain tree.

    Args:
        program: is not changed.
        library: definitions of gates that the program may use without defining them.
        train: whether each constant angle of a gate, outside definitions, becomes a parameter. Its name is
            the angle's ``line:column``.

    Raises:
        ExceptionGroup: all Refusals.
    """
    elaboration = _Elaboration(library, train)
    body: list[ast.Statement | ast.Pragma] = []
    refusals: list[Refusal] = []
    undeclared: set[str] = set()  # by statements that were refused
    for statement in program.statements:
        try:
            plain = list(elaboration.statement(statement, elaboration.names.scope))
            body += [*elaboration.gates.pending, *plain]
            elaboration.gates.pending.clear()
        except Refusal as refusal:
            refusals += [] if refusal.unknown in undeclared else [refusal]
            undeclared |= _declared(statement)
        if elaboration.names.scope.weight > MOST_GATES:
            break
    if not refusals and not elaboration.names.scope.qubits and not count_physical(body):
        refusals = [Refusal(0, 0, "declares no qubit")]
    if refusals:
        raise ExceptionGroup("cannot be read", refusals)
    if count := count_physical(body):
        body.insert(0, ast.QubitDeclaration(ast.Identifier(PHYSICAL), ast.IntegerLiteral(count)))
    return Elaborated(ast.Program(body, "3.0"), elaboration.gates.starts)


def _declared(statement: ast.QASMNode) -> set[str]:
    """Returns the name that a statement declares, if any."""
    for field in ("name", "qubit", "identifier", "target"):
        if isinstance(name := getattr(statement, field, None), ast.Identifier):
            return {name.name}
    return set()


class _Elaboration:
    """Elaborates statements one by one; keeps the names and gates that are declared so far."""

    def __init__(self, library: Library, train: bool) -> None:
        self.names = Names()
        self.gates = Gates(self.names, library, train, self.statement)

    def statement(self, node: ast.QASMNode, scope: Scope) -> Iterator[ast.Statement]:
        """Yields the plain statements for a statement."""
        match node:
            case ast.QuantumGate() | ast.QuantumPhase():
                yield from self.gates.call(node, scope)
            case ast.QuantumBarrier() | ast.DelayInstruction():  # without effect
                for qubit in node.qubits:
                    scope.find(qubit, scope.qubits)
            case ast.ForInLoop():
                yield from self._loop(node, scope)
            case _ if scope.gate:
                raise Refusal.at(
                    node, _UNSUPPORTED.get(type(node), "is not legal in the definition of a gate")
                )
            case _:
                yield from self._global(node)

    def _global(self, node: ast.QASMNode) -> Iterator[ast.Statement]:
        match node:
            case ast.Include():
                yield from self.names.include(node)
            case ast.QubitDeclaration():
                yield from self.names.qubits(node)
            case ast.ClassicalDeclaration(identifier=name, init_expression=value):
                yield from self.names.classical(node)
                if isinstance(value, ast.QuantumMeasurement):
                    yield from self._measurement(node, value, with_span(ast.Identifier(name.name), node))
            case ast.ConstantDeclaration():
                self.names.constant(node)
            case ast.IODeclaration():
                yield from self.names.input(node)
            case ast.AliasStatement():
                self.names.alias(node)
            case ast.QuantumGateDefinition():
                self.names.declare(node, node.name.name)
                yield self.gates.definition(node)
            case ast.QuantumReset(qubits=qubit):
                for bit in self.names.scope.find(qubit, self.names.scope.qubits).bits:
                    self.names.scope.charge(node, 1)
                    yield with_span(ast.QuantumReset(bit.operand()), node)
            case ast.QuantumMeasurementStatement(measure=measure, target=target):
                yield from self._measurement(node, measure, target)
            case _:
                raise Refusal.at(
                    node, _UNSUPPORTED.get(type(node), "statements of this kind are not supported")
                )

    def _measurement(
        self, node: ast.QASMNode, measure: ast.QuantumMeasurement, target: ast.QASMNode | None
    ) -> Iterator[ast.Statement]:
        if target is None:
            raise Refusal.at(node, "a measurement needs a bit for its result, as in c[0] = measure q[0];")
        scope = self.names.scope
        qubits, clbits = scope.find(measure.qubit, scope.qubits), scope.find(target, self.names.clbits)
        if len(qubits.bits) != len(clbits.bits):
            message = f"measures {len(qubits.bits)} qubits into {len(clbits.bits)} bits"
            raise Refusal.at(node, message)
        for qubit, clbit in zip(qubits.bits, clbits.bits, strict=True):
            scope.charge(node, 1)
            measured = ast.QuantumMeasurement(qubit.operand())
            yield with_span(ast.QuantumMeasurementStatement(measured, clbit.operand()), node)

    def _loop(self, node: ast.ForInLoop, scope: Scope) -> Iterator[ast.Statement]:
        """Writes a loop out."""
        name, values = node.identifier.name, scope.loop_values(node.set_declaration)
        if not isinstance(node.type, ast.IntType | ast.UintType):
            raise Refusal.at(node, "the variable of a loop must be int or uint")
        if name in scope.constants or name in scope.free or name in scope.qubits:
            raise Refusal.at(node, f"the variable {name} of the loop hides another name; rename it")
        scope.charge(node, len(values))
        try:
            for value in values:
                scope.constants[name] = value
                for statement in node.block:
                    if not isinstance(statement, ast.QuantumStatement | ast.ForInLoop):
                        raise Refusal.at(statement, "is not supported in a loop (legal: gates, loops)")
                    yield from self.statement(statement, scope)
        finally:
            scope.constants.pop(name, None)
