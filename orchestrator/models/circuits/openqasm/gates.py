"""Gates of a plain tree: calls on single qubits, and the definitions that these calls need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.modifiers import simplify
from orchestrator.models.circuits.openqasm.names import BUILTIN, STDGATES, Names
from orchestrator.models.circuits.openqasm.phases import SUFFIX
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import Bit, Bits, GateType, Scope, broadcast, with_span
from orchestrator.models.circuits.openqasm.values import Number, fold, literal
from orchestrator.models.circuits.size import MOST_GATES

Library = Mapping[str, ast.QuantumGateDefinition]


class Gates:
    """The gates that are declared so far.

    Args:
        names: the names that the program declares.
        library: definitions of gates that the program may use without defining them.
        train: whether each constant angle of a gate, outside definitions, becomes a parameter.
        statement: yields the plain statements for a statement in a definition's body.

    Attributes:
        pending: declarations that the current statement needs: trained angles, and gates of the library.
        starts: initial values, by name, of the angles that became parameters.
    """

    def __init__(
        self,
        names: Names,
        library: Library,
        train: bool,
        statement: Callable[[ast.QASMNode, Scope], Iterator[ast.Statement]],
    ) -> None:
        self.names, self._library, self._train, self._statement = names, library, train, statement
        self.pending: list[ast.Statement] = []
        self.starts: dict[str, float] = {}
        self._defined: dict[str, ast.QuantumGateDefinition] = {}

    def definition(self, node: ast.QuantumGateDefinition) -> ast.Statement:
        """Returns a gate's plain definition; its formal parameters get unique names that keep their order."""
        name = node.name.name
        formals, qubits = ([item.name for item in items] for items in (node.arguments, node.qubits))
        hidden = {*formals, *qubits}
        if len(hidden) < len(formals) + len(qubits):
            raise Refusal.at(node, f"the definition of {name} uses a name twice")
        scope = Scope(
            {key: value for key, value in self.names.scope.constants.items() if key not in hidden},
            {formal: f"{name} {index:06d}" for index, formal in enumerate(formals)},
            {qubit: Bits((Bit(qubit, None),), single=True) for qubit in qubits},
            gate=name,
        )
        body: list[Any] = [plain for statement in node.body for plain in self._statement(statement, scope)]
        cost = scope.weight + scope.leaves
        self.names.gates[name] = GateType(len(formals), len(qubits), max(scope.leaves, 1), max(cost, 1))
        names = [ast.Identifier(formal) for formal in scope.free.values()]
        self._defined[name] = with_span(ast.QuantumGateDefinition(node.name, names, node.qubits, body), node)
        return self._defined[name]

    def call(self, node: ast.QuantumGate | ast.QuantumPhase, scope: Scope) -> Iterator[ast.Statement]:
        """Yields the calls on single qubits that stand for a gate's call."""
        kind = self._gate_type(node)
        modifiers, repetitions = simplify(node, scope, MOST_GATES)
        controls = sum(count for _, count in modifiers)
        if len(node.qubits) != kind.qubits + controls:
            message = f"acts on {kind.qubits + controls} qubits, has {len(node.qubits)}"
            raise Refusal.at(node, message)
        targets = list(broadcast(node, [scope.find(qubit, scope.qubits) for qubit in node.qubits]))
        arguments = self._arguments(node, scope, [modifier for modifier, _ in modifiers])
        name, kept = "", [modifier for modifier, _ in modifiers]
        times = len(targets) * repetitions
        if isinstance(node, ast.QuantumGate):
            name = self._phased_name(node.name.name, scope, kept)
            powers = any(modifier.modifier.name == "pow" for modifier in kept)
            if kept and name in self._defined and not powers:
                name, kept = self._define_modified(name, modifiers), []
            kind = self.names.gates[name]
        times *= max(1, 5 * sum(count for _, count in modifiers) ** 2) if kept else 1
        scope.leaves += times * kind.leaves
        scope.charge(node, times * kind.weight)
        for bits in targets:
            operands = [bit.operand() for bit in bits]
            call: ast.Statement = (
                ast.QuantumPhase(kept, arguments[0], operands)
                if isinstance(node, ast.QuantumPhase)
                else ast.QuantumGate(kept, ast.Identifier(name), arguments, operands)
            )
            yield from [with_span(call, node)] * repetitions

    def _define_modified(self, name: str, modifiers: list[tuple[ast.QuantumGateModifier, int]]) -> str:
        """Defines a gate under modifiers as a gate of its own, and returns its name.

        Its body is the gate's body under these modifiers, as Qiskit does not bind the arguments of every
        controlled gate. Modifiers remain only at gates without a definition.
        """
        modified = " ".join([name, *(f"{modifier.modifier.name}{count}" for modifier, count in modifiers)])
        if modified in self.names.gates:
            return modified
        origin = self._defined[name]
        kept = [modifier for modifier, _ in modifiers]
        inverted = any(modifier.modifier.name == "inv" for modifier in kept)
        count, taken = sum(count for _, count in modifiers), len(origin.qubits)
        controls = [ast.Identifier(f"control {index}") for index in range(taken, taken + count)]
        statements = origin.body[:: -1 if inverted else 1]
        body: list[Any] = [_modify(kept, controls, statement) for statement in statements]
        qubits = [*controls, *origin.qubits]
        definition = ast.QuantumGateDefinition(ast.Identifier(modified), origin.arguments, qubits, body)
        self.pending.append(self.definition(with_span(definition, origin)))
        return modified

    def _gate_type(self, node: ast.QuantumGate | ast.QuantumPhase) -> GateType:
        """Returns the gate's type; a gate of the library is defined first."""
        if isinstance(node, ast.QuantumPhase):
            return GateType(1, 0)
        name = node.name.name
        if node.duration is not None:
            raise Refusal.at(node, "a gate's duration is not supported; leave it out")
        if name not in self.names.gates and name in self._library:
            self.pending.append(self.definition(self._library[name]))
        if name not in self.names.gates:
            hint = '; include "stdgates.inc" defines it' if name in STDGATES else ""
            raise Refusal.at(node, f"{name} is not a gate that is defined above{hint}", name)
        kind = self.names.gates[name]
        if len(node.arguments) != kind.arguments:
            raise Refusal.at(node, f"{name} takes {kind.arguments} angles, has {len(node.arguments)}")
        return kind

    def _phased_name(self, name: str, scope: Scope, modifiers: list[ast.QuantumGateModifier]) -> str:
        """Returns the gate's name, or that of the gate with its global phase if the phase has an effect."""
        phased, origin = name + SUFFIX, BUILTIN if name == "U" else STDGATES.get(name)
        has_effect = scope.gate or any(modifier.modifier.name != "inv" for modifier in modifiers)
        own = self.names.gates[name] is not origin or scope.gate.partition(" ")[0] == phased
        if own or not has_effect or phased not in self._library:
            return name
        if phased not in self.names.gates:
            self.pending.append(self.definition(self._library[phased]))
        return phased

    def _arguments(
        self, node: ast.QuantumGate | ast.QuantumPhase, scope: Scope, modifiers: list[ast.QuantumGateModifier]
    ) -> list[ast.Expression]:
        angles = [node.argument] if isinstance(node, ast.QuantumPhase) else node.arguments
        if angles and any(modifier.modifier.name == "pow" for modifier in modifiers):
            raise Refusal.at(node, "a fractional power of a gate with angles is not supported")
        trains = self._train and not scope.gate and bool(node.qubits)
        values = [fold(angle, scope.constants, scope.free) for angle in angles]
        return [
            self._trained_angle(value, angle)
            if trains and not isinstance(value, ast.Expression)
            else literal(value, angle)
            for value, angle in zip(values, angles, strict=True)
        ]

    def _trained_angle(self, value: Number, angle: ast.Expression) -> ast.Expression:
        """Returns a parameter instead of a constant angle."""
        if angle.span is None:
            raise ValueError("a trained angle has no position")
        name = f"{angle.span.start_line}:{angle.span.start_column + 1}"
        if name not in self.starts:
            self.starts[name] = float(value)
            declared = ast.IODeclaration(ast.IOKeyword.input, ast.FloatType(), ast.Identifier(name))
            self.pending.append(declared)
        if self.starts[name] != value:
            message = "differs between iterations of a loop, cannot be trained; write the loop out"
            raise Refusal.at(angle, message)
        return with_span(ast.Identifier(name), angle)


def _modify(
    modifiers: list[ast.QuantumGateModifier], controls: list[ast.Identifier], node: ast.Statement
) -> ast.Statement:
    """Adds modifiers and their controls to a gate of a plain tree."""
    if isinstance(node, ast.QuantumPhase):
        modified: ast.Statement = ast.QuantumPhase(
            [*modifiers, *node.modifiers], node.argument, [*controls, *node.qubits]
        )
    elif isinstance(node, ast.QuantumGate):
        name, arguments = node.name, node.arguments
        modified = ast.QuantumGate([*modifiers, *node.modifiers], name, arguments, [*controls, *node.qubits])
    else:
        raise TypeError(node)
    return with_span(modified, node)
