"""Gates of a plain tree: their calls on single qubits, and the definitions that those need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.modifiers import plain
from orchestrator.models.circuits.openqasm.names import BUILTIN, STDGATES, Names
from orchestrator.models.circuits.openqasm.phases import SUFFIX
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import Bit, Bits, GateType, Scope, broadcast, with_span
from orchestrator.models.circuits.openqasm.values import Number, fold, literal
from orchestrator.models.circuits.size import MOST_GATES

Library = Mapping[str, ast.QuantumGateDefinition]


class Gates:
    """The gates that are known so far.

    Args:
        names: what the program declares.
        library: definitions of gates that are known without being defined in the program.
        train: whether each constant angle of a gate, outside definitions, becomes a parameter.
        statement: what stands in the plain tree for a statement of a definition's body.

    Attributes:
        before: declarations that the current statement needs: trained angles, and gates of the library.
        starts: by name, the angles that became parameters, with the values that they had.
    """

    def __init__(
        self,
        names: Names,
        library: Library,
        train: bool,
        statement: Callable[[ast.QASMNode, Scope], Iterator[ast.Statement]],
    ) -> None:
        self.names, self._library, self._train, self._statement = names, library, train, statement
        self.before: list[ast.Statement] = []
        self.starts: dict[str, float] = {}
        self._defined: dict[str, ast.QuantumGateDefinition] = {}

    def definition(self, node: ast.QuantumGateDefinition) -> ast.Statement:
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
        body: list[Any] = [made for statement in node.body for made in self._statement(statement, scope)]
        cost = scope.weight + scope.leaves
        self.names.gates[name] = GateType(len(formals), len(qubits), max(scope.leaves, 1), max(cost, 1))
        names = [ast.Identifier(formal) for formal in scope.free.values()]
        self._defined[name] = with_span(ast.QuantumGateDefinition(node.name, names, node.qubits, body), node)
        return self._defined[name]

    def call(self, node: ast.QuantumGate | ast.QuantumPhase, scope: Scope) -> Iterator[ast.Statement]:
        """The calls, on single qubits, that stand for one."""
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
        scope.charge(node, times * kind.weight)
        for bits in targets:
            operands = [bit.operand() for bit in bits]
            made: ast.Statement = (
                ast.QuantumPhase(kept, arguments[0], operands)
                if isinstance(node, ast.QuantumPhase)
                else ast.QuantumGate(kept, ast.Identifier(name), arguments, operands)
            )
            yield from [with_span(made, node)] * repetitions

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
        self.before.append(self.definition(with_span(definition, origin)))
        return derived

    def _kind(self, node: ast.QuantumGate | ast.QuantumPhase) -> GateType:
        """How the gate is called; one of the library is defined now."""
        if isinstance(node, ast.QuantumPhase):
            return GateType(1, 0)
        name = node.name.name
        if node.duration is not None:
            raise Refusal.at(node, "a gate's duration is not read; leave it out")
        if name not in self.names.gates and name in self._library:
            self.before.append(self.definition(self._library[name]))
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
            self.before.append(self.definition(self._library[phased]))
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
        return with_span(ast.Identifier(name), argument)


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
    return with_span(made, node)
