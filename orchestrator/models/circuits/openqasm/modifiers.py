"""The modifiers of a gate: inv, pow, ctrl and negctrl."""

from __future__ import annotations

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import MOST_BITS, Scope, with_span
from orchestrator.models.circuits.openqasm.values import literal, number, whole


def plain(
    node: ast.QuantumGate | ast.QuantumPhase, scope: Scope, most: int
) -> tuple[list[tuple[ast.QuantumGateModifier, int]], int]:
    """The modifiers without whole powers, and how often the gate is to be repeated in their place.

    A whole power goes past controls and inversions, so that all of them make one number of repetitions.

    Args:
        most: repetitions that are legal.

    Returns:
        The modifiers, each with the number of controls that it adds; the repetitions.

    Raises:
        Refusal: a power of a power that is not whole, or numbers that are out of range.
    """
    kept: list[tuple[ast.QuantumGateModifier, int]] = []
    exponent = 1
    for modifier in reversed(node.modifiers):
        made, power = _modifier(modifier, scope)
        if made and made[0].modifier.name == "pow" and exponent != 1:
            raise Refusal.at(modifier, "a power that is not whole, of a whole power, is not read")
        exponent *= power
        if abs(exponent) > most:
            raise Refusal.at(modifier, f"repeats a gate more than {most} times")
        if made and made[0].modifier.name == "inv":
            _invert(kept)
        elif made:
            kept.append(made)
    if exponent < 0:
        _invert(kept)
    return kept[::-1], abs(exponent)


def _invert(kept: list[tuple[ast.QuantumGateModifier, int]]) -> None:
    """Inverts a gate under its controls, or takes such an inversion away; the innermost modifier is first.

    Qiskit's inverse of a controlled CU is wrong; its controlled inverse is right, and the same.
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
    """The modifier with the controls that it adds, or None for a whole power, and that power."""
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
