"""From any syntax tree to a plain one, which Qiskit's importer reads rightly.

In the plain tree constants are numbers, loops are written out, each gate acts on single qubits, whole
powers are repetitions, barriers and delays are left out, and the formal parameters of gates have names
whose order by name is their order: ``qiskit_qasm3_import`` 0.6 binds arguments to the formal parameters
sorted by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.gates import Gates, Library
from orchestrator.models.circuits.openqasm.names import Names
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import PHYSICAL, Scope, physical, with_span
from orchestrator.models.circuits.size import MOST_GATES

_UNREAD: Mapping[type, str] = {
    ast.BranchingStatement: "if is not read; a circuit has gates only",
    ast.WhileLoop: "while is not read; a circuit has gates only",
    ast.SwitchStatement: "switch is not read; a circuit has gates only",
    ast.SubroutineDefinition: "def is not read; define a gate, or write the gates out",
    ast.ExternDeclaration: "extern and opaque are not read; give a definition",
    ast.CalibrationDefinition: "defcal is not read",
    ast.CalibrationStatement: "cal is not read",
    ast.CalibrationGrammarDeclaration: "defcalgrammar is not read",
    ast.Pragma: "pragmas are not read",
    ast.Box: "box is not read; leave it out",
    ast.EndStatement: "end is not read; leave out what follows it",
    ast.ClassicalAssignment: "assignments are not read; declare a const",
    ast.ExpressionStatement: "this is an expression, not a statement",
    ast.CompoundStatement: "a block of its own is not read; leave out its braces",
}


@dataclass(frozen=True)
class Elaborated:
    """A plain tree.

    Attributes:
        program: statements that Qiskit's importer reads.
        starts: by name, the angles that became parameters, with the values that they had.
    """

    program: ast.Program
    starts: Mapping[str, float]


def elaborate(program: ast.Program, library: Library, train: bool) -> Elaborated:
    """The plain tree of a program.

    Args:
        program: is left as it is.
        library: definitions of gates that are known without being defined in the program.
        train: whether each constant angle of a gate, outside definitions, becomes a parameter; it is named
            after the line and column where it stands.

    Raises:
        ExceptionGroup: of all Refusals.
    """
    elaboration = _Elaboration(library, train)
    body: list[ast.Statement | ast.Pragma] = []
    refusals: list[Refusal] = []
    spoiled: set[str] = set()
    for statement in program.statements:
        try:
            made = list(elaboration.statement(statement, elaboration.names.scope))
            body += [*elaboration.gates.before, *made]
            elaboration.gates.before.clear()
        except Refusal as refusal:
            refusals += [] if refusal.unknown in spoiled else [refusal]
            spoiled |= _declared(statement)
        if elaboration.names.scope.weight > MOST_GATES:
            break
    if not refusals and not elaboration.names.scope.qubits and not physical(body):
        refusals = [Refusal(0, 0, "declares no qubit")]
    if refusals:
        raise ExceptionGroup("cannot be read", refusals)
    if count := physical(body):
        body.insert(0, ast.QubitDeclaration(ast.Identifier(PHYSICAL), ast.IntegerLiteral(count)))
    return Elaborated(ast.Program(body, "3.0"), elaboration.gates.starts)


def _declared(statement: ast.QASMNode) -> set[str]:
    """The name that a statement would have declared."""
    for field in ("name", "qubit", "identifier", "target"):
        if isinstance(name := getattr(statement, field, None), ast.Identifier):
            return {name.name}
    return set()


class _Elaboration:
    """What is known so far: what the program declares, and the gates."""

    def __init__(self, library: Library, train: bool) -> None:
        self.names = Names()
        self.gates = Gates(self.names, library, train, self.statement)

    def statement(self, node: ast.QASMNode, scope: Scope) -> Iterator[ast.Statement]:
        """What stands for a statement in the plain tree."""
        match node:
            case ast.QuantumGate() | ast.QuantumPhase():
                yield from self.gates.call(node, scope)
            case ast.QuantumBarrier() | ast.DelayInstruction():  # without effect
                for qubit in node.qubits:
                    scope.find(qubit, scope.qubits)
            case ast.ForInLoop():
                yield from self._loop(node, scope)
            case _ if scope.gate:
                raise Refusal.at(node, _UNREAD.get(type(node), "is not legal in the definition of a gate"))
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
                raise Refusal.at(node, _UNREAD.get(type(node), "statements of this kind are not read"))

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
        """A loop written out."""
        name, turns = node.identifier.name, scope.turns(node.set_declaration)
        if not isinstance(node.type, ast.IntType | ast.UintType):
            raise Refusal.at(node, "the variable of a loop must be int or uint")
        if name in scope.constants or name in scope.free or name in scope.qubits:
            raise Refusal.at(node, f"the variable {name} of the loop hides another name; rename it")
        scope.charge(node, len(turns))
        try:
            for turn in turns:
                scope.constants[name] = turn
                for statement in node.block:
                    if not isinstance(statement, ast.QuantumStatement | ast.ForInLoop):
                        raise Refusal.at(statement, "is not read in a loop (legal: gates, loops)")
                    yield from self.statement(statement, scope)
        finally:
            scope.constants.pop(name, None)
