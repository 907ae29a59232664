"""From any syntax tree to a plain one, which Qiskit's importer reads rightly.

In the plain tree constants are numbers, loops are written out, each gate acts on single qubits, whole
powers are repetitions, barriers and delays are left out, and the formal parameters of gates have names
whose order by name is their order: ``qiskit_qasm3_import`` 0.6 binds arguments to the formal parameters
sorted by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.modifiers import plain
from orchestrator.models.circuits.openqasm.names import BUILTIN, STDGATES, Names
from orchestrator.models.circuits.openqasm.phases import SUFFIX
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import (
    PHYSICAL,
    Bit,
    Bits,
    GateType,
    Scope,
    broadcast,
    physical,
    placed,
)
from orchestrator.models.circuits.openqasm.values import Number, fold, literal
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

Library = Mapping[str, ast.QuantumGateDefinition]


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
            body += [*elaboration.before, *made]
            elaboration.before.clear()
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
    return Elaborated(ast.Program(body, "3.0"), elaboration.starts)


def _declared(statement: ast.QASMNode) -> set[str]:
    """The name that a statement would have declared."""
    for field in ("name", "qubit", "identifier", "target"):
        if isinstance(name := getattr(statement, field, None), ast.Identifier):
            return {name.name}
    return set()


class _Elaboration:
    """What is known so far.

    Attributes:
        names: what the program declares.
        before: declarations that the current statement needs: trained angles, and gates of the library.
        starts: as in ``Elaborated``.
    """

    def __init__(self, library: Library, train: bool) -> None:
        self._library, self._train = library, train
        self.names = Names()
        self.before: list[ast.Statement] = []
        self.starts: dict[str, float] = {}
        self._defined: dict[str, ast.QuantumGateDefinition] = {}

    def statement(self, node: ast.QASMNode, scope: Scope) -> Iterator[ast.Statement]:
        """What stands for a statement in the plain tree."""
        match node:
            case ast.QuantumGate() | ast.QuantumPhase():
                yield from self._gate(node, scope)
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
                    yield from self._measurement(node, value, placed(ast.Identifier(name.name), node))
            case ast.ConstantDeclaration():
                self.names.constant(node)
            case ast.IODeclaration():
                yield from self.names.input(node)
            case ast.AliasStatement():
                self.names.alias(node)
            case ast.QuantumGateDefinition():
                self.names.declare(node, node.name.name)
                yield self._definition(node)
            case ast.QuantumReset(qubits=qubit):
                for bit in self.names.scope.find(qubit, self.names.scope.qubits).bits:
                    _charge(node, self.names.scope, 1)
                    yield placed(ast.QuantumReset(bit.operand()), node)
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
            _charge(node, scope, 1)
            measured = ast.QuantumMeasurement(qubit.operand())
            yield placed(ast.QuantumMeasurementStatement(measured, clbit.operand()), node)

    def _definition(self, node: ast.QuantumGateDefinition) -> ast.Statement:
        """A gate's definition, whose formal parameters get names that are sorted, and used nowhere else."""
        name = node.name.name
        formals, qubits = ([each.name for each in names] for names in (node.arguments, node.qubits))
        hidden = {*formals, *qubits}
        if len(hidden) < len(formals) + len(qubits):
            raise Refusal.at(node, f"the definition of {name} gives two things the same name")
        scope = Scope(
            {key: value for key, value in self.names.scope.constants.items() if key not in hidden},
            {formal: f"{name} {index:06d}" for index, formal in enumerate(formals)},
            {qubit: Bits((Bit(qubit, None),), single=True) for qubit in qubits},
            gate=name,
        )
        body: list[Any] = [made for statement in node.body for made in self.statement(statement, scope)]
        cost = scope.weight + scope.leaves
        self.names.gates[name] = GateType(len(formals), len(qubits), max(scope.leaves, 1), max(cost, 1))
        names = [ast.Identifier(formal) for formal in scope.free.values()]
        self._defined[name] = placed(ast.QuantumGateDefinition(node.name, names, node.qubits, body), node)
        return self._defined[name]

    def _loop(self, node: ast.ForInLoop, scope: Scope) -> Iterator[ast.Statement]:
        """A loop written out."""
        name, turns = node.identifier.name, scope.turns(node.set_declaration)
        if not isinstance(node.type, ast.IntType | ast.UintType):
            raise Refusal.at(node, "the variable of a loop must be int or uint")
        if name in scope.constants or name in scope.free or name in scope.qubits:
            raise Refusal.at(node, f"the variable {name} of the loop hides another name; rename it")
        _charge(node, scope, len(turns))
        try:
            for turn in turns:
                scope.constants[name] = turn
                for statement in node.block:
                    if not isinstance(statement, ast.QuantumStatement | ast.ForInLoop):
                        raise Refusal.at(statement, "is not read in a loop (legal: gates, loops)")
                    yield from self.statement(statement, scope)
        finally:
            scope.constants.pop(name, None)

    # Gates.

    def _gate(self, node: ast.QuantumGate | ast.QuantumPhase, scope: Scope) -> Iterator[ast.Statement]:
        kind = self._kind(node)
        modifiers, repetitions = plain(node, scope, MOST_GATES)
        controls = sum(count for _, count in modifiers)
        if len(node.qubits) != kind.qubits + controls:
            message = f"acts on {kind.qubits + controls} qubits, has {len(node.qubits)}"
            raise Refusal.at(node, message)
        targets = list(broadcast(node, [scope.find(qubit, scope.qubits) for qubit in node.qubits]))
        arguments = self._arguments(node, scope, [modifier for modifier, _ in modifiers])
        name, kept = "", [modifier for modifier, _ in modifiers]
        times = len(targets) * repetitions
        if isinstance(node, ast.QuantumGate):
            name = self._name(node.name.name, scope, kept)
            if kept and name in self._defined and not any(each.modifier.name == "pow" for each in kept):
                name, kept = self._derived(name, modifiers), []
            kind = self.names.gates[name]
        times *= max(1, 5 * sum(count for _, count in modifiers) ** 2) if kept else 1
        scope.leaves += times * kind.leaves
        _charge(node, scope, times * kind.weight)
        for bits in targets:
            operands = [bit.operand() for bit in bits]
            made: ast.Statement = (
                ast.QuantumPhase(kept, arguments[0], operands)
                if isinstance(node, ast.QuantumPhase)
                else ast.QuantumGate(kept, ast.Identifier(name), arguments, operands)
            )
            yield from [placed(made, node)] * repetitions

    def _derived(self, name: str, modifiers: list[tuple[ast.QuantumGateModifier, int]]) -> str:
        """The name of a gate that is another one under modifiers, with a definition of its own.

        Its body is the other's, under these modifiers: Qiskit does not bind the arguments of all that is
        controlled. What remains to be controlled or inverted are gates without a definition.
        """
        derived = " ".join([name, *(f"{each.modifier.name}{count}" for each, count in modifiers)])
        if derived in self.names.gates:
            return derived
        origin = self._defined[name]
        kept = [modifier for modifier, _ in modifiers]
        inverted = any(modifier.modifier.name == "inv" for modifier in kept)
        count, taken = sum(count for _, count in modifiers), len(origin.qubits)
        controls = [ast.Identifier(f"control {index}") for index in range(taken, taken + count)]
        body: list[Any] = [_under(kept, controls, each) for each in origin.body[:: -1 if inverted else 1]]
        qubits = [*controls, *origin.qubits]
        definition = ast.QuantumGateDefinition(ast.Identifier(derived), origin.arguments, qubits, body)
        self.before.append(self._definition(placed(definition, origin)))
        return derived

    def _kind(self, node: ast.QuantumGate | ast.QuantumPhase) -> GateType:
        """How the gate is called; one of the library is defined now."""
        if isinstance(node, ast.QuantumPhase):
            return GateType(1, 0)
        name = node.name.name
        if node.duration is not None:
            raise Refusal.at(node, "a gate's duration is not read; leave it out")
        if name not in self.names.gates and name in self._library:
            self.before.append(self._definition(self._library[name]))
        if name not in self.names.gates:
            hint = '; include "stdgates.inc" defines it' if name in STDGATES else ""
            raise Refusal.at(node, f"{name} is no gate that is defined above{hint}", name)
        kind = self.names.gates[name]
        if len(node.arguments) != kind.arguments:
            raise Refusal.at(node, f"{name} takes {kind.arguments} angles, has {len(node.arguments)}")
        return kind

    def _name(self, name: str, scope: Scope, modifiers: list[ast.QuantumGateModifier]) -> str:
        """The gate's name; where its global phase may be seen, that of the gate with its phase."""
        phased, origin = name + SUFFIX, BUILTIN if name == "U" else STDGATES.get(name)
        seen = scope.gate or any(modifier.modifier.name != "inv" for modifier in modifiers)
        own = self.names.gates[name] is not origin or scope.gate.partition(" ")[0] == phased
        if own or not seen or phased not in self._library:
            return name
        if phased not in self.names.gates:
            self.before.append(self._definition(self._library[phased]))
        return phased

    def _arguments(
        self, node: ast.QuantumGate | ast.QuantumPhase, scope: Scope, modifiers: list[ast.QuantumGateModifier]
    ) -> list[ast.Expression]:
        given = [node.argument] if isinstance(node, ast.QuantumPhase) else node.arguments
        if given and any(modifier.modifier.name == "pow" for modifier in modifiers):
            raise Refusal.at(node, "a power that is not whole, of a gate with angles, is not read")
        trains = self._train and not scope.gate and bool(node.qubits)
        values = [fold(argument, scope.constants, scope.free) for argument in given]
        return [
            self._trained(value, argument)
            if trains and not isinstance(value, ast.Expression)
            else literal(value, argument)
            for value, argument in zip(values, given, strict=True)
        ]

    def _trained(self, value: Number, argument: ast.Expression) -> ast.Expression:
        """A parameter in the place of a number."""
        if argument.span is None:
            raise ValueError("a trained angle has no place")
        name = f"{argument.span.start_line}:{argument.span.start_column + 1}"
        if name not in self.starts:
            self.starts[name] = float(value)
            declared = ast.IODeclaration(ast.IOKeyword.input, ast.FloatType(), ast.Identifier(name))
            self.before.append(declared)
        if self.starts[name] != value:
            raise Refusal.at(argument, "changes from turn to turn of a loop, cannot be trained; write it out")
        return placed(ast.Identifier(name), argument)


def _under(
    modifiers: list[ast.QuantumGateModifier], controls: list[ast.Identifier], node: ast.Statement
) -> ast.Statement:
    """A gate of a plain tree under more modifiers."""
    if isinstance(node, ast.QuantumPhase):
        made: ast.Statement = ast.QuantumPhase(
            [*modifiers, *node.modifiers], node.argument, [*controls, *node.qubits]
        )
    elif isinstance(node, ast.QuantumGate):
        name, arguments = node.name, node.arguments
        made = ast.QuantumGate([*modifiers, *node.modifiers], name, arguments, [*controls, *node.qubits])
    else:
        raise TypeError(node)
    return placed(made, node)


def _charge(node: ast.QASMNode, scope: Scope, weight: int) -> None:
    """Counts the work; Refusal where it is too much.

    A gate in the definition of a gate counts once more, and so on: Qiskit binds the arguments of nested
    definitions level by level, at some 0.1 ms for a gate and level.
    """
    scope.weight += weight
    if scope.weight > MOST_GATES:
        raise Refusal.at(
            node, f"with this, the program has too many gates, written out (legal: {MOST_GATES})"
        )
