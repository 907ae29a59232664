"""The modifiers of a gate: inv, pow, ctrl and negctrl."""

from __future__ import annotations

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import MOST_BITS, Scope, with_span
from orchestrator.models.circuits.openqasm.values import literal, number, whole


def simplify(
    node: ast.QuantumGate | ast.QuantumPhase, scope: Scope, most: int
) -> tuple[list[tuple[ast.QuantumGateModifier, int]], int]:
    """Returns a gate's modifiers without whole powers, and how often the gate is repeated instead.

    Whole powers commute with controls and inversions, so that all of them make one number of repetitions.

    Args:
        most: largest legal number of repetitions.

    Returns:
        The modifiers, each with the number of controls that it adds; the repetitions.

    Raises:
        Refusal: a fractional power of a whole power, or a number that is out of range.
    """
    kept: list[tuple[ast.QuantumGateModifier, int]] = []
    exponent = 1
    for modifier in reversed(node.modifiers):
        plain, power = _modifier(modifier, scope)
        if plain and plain[0].modifier.name == "pow" and exponent != 1:
            raise Refusal.at(modifier, "a fractional power of a whole power is not supported")
        exponent *= power
        if abs(exponent) > most:
            raise Refusal.at(modifier, f"repeats a gate more than {most} times")
        if plain and plain[0].modifier.name == "inv":
            _invert(kept)
        elif plain:
            kept.append(plain)
    if exponent < 0:
        _invert(kept)
    return kept[::-1], abs(exponent)


def _invert(kept: list[tuple[ast.QuantumGateModifier, int]]) -> None:
    """Inverts a gate under its controls, or removes such an inversion; the innermost modifier is first.

    Qiskit's inverse of a controlled CU is wrong. The equivalent controlled inverse is right.
    """
    index = len(kept)
    while index and kept[index - 1][1]:
        index -= 1
    if index and kept[index - 1][0].modifier.name == "inv":
        del kept[index - 1]
    else:
        kept.insert(index, (ast.QuantumGateModifier(ast.GateModifierName.inv), 0))


def _modifier(
    node: ast.QuantumGateModifier, scope: Scope
) -> tuple[tuple[ast.QuantumGateModifier, int] | None, int]:
    """Returns the modifier with the number of controls that it adds, or None and a whole power."""
    if node.modifier.name == "inv":
        return (node, 0), 1
    if node.modifier.name == "pow":
        if node.argument is None:
            raise Refusal.at(node, "pow needs a number")
        power = number(node.argument, scope.constants, scope.free)
        if power == int(power):
            return None, int(power)
        exponent = literal(power, node.argument)
        return (with_span(ast.QuantumGateModifier(node.modifier, exponent), node), 0), 1
    controls = 1 if node.argument is None else whole(node.argument, scope.constants, scope.free)
    if not 0 < controls <= MOST_BITS:
        raise Refusal.at(node, f"adds {controls} controls (legal: 1 to {MOST_BITS})")
    count = ast.IntegerLiteral(controls)
    return (with_span(ast.QuantumGateModifier(node.modifier, count), node), controls), 1
