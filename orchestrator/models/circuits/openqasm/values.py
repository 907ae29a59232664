"""Numbers and angles of a syntax tree: constant parts are computed, the rest keeps its form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.refusal import Refusal

Number = int | float

CONSTANTS: Mapping[str, float] = {
    "pi": math.pi,
    "π": math.pi,
    "tau": math.tau,
    "τ": math.tau,
    "euler": math.e,
    "ℇ": math.e,
}
"""The constants that OpenQASM 3 predefines, by name."""

_FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "arccos": math.acos,
    "arcsin": math.asin,
    "arctan": math.atan,
    "cos": math.cos,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_LARGEST = 2**63
"""Whole numbers must be smaller."""


def fold(
    node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]
) -> Number | ast.Expression:
    """Returns a number if the expression is constant; else the expression with its constant parts computed.

    Args:
        node: an expression.
        constants: numbers by name.
        free: the parameters' names in the plain tree, by their names in the program.

    Raises:
        Refusal: the expression is not a number, or not supported.
    """
    match node:
        case ast.IntegerLiteral() | ast.FloatLiteral():
            return _check_range(node, node.value)
        case ast.Identifier(name=name):
            return _look_up(node, name, constants, free)
        case ast.UnaryExpression(op=op, expression=inner) if op.name == "-":
            value = fold(inner, constants, free)
            return (
                _with_span(ast.UnaryExpression(op, value), node)
                if isinstance(value, ast.Expression)
                else -value
            )
        case ast.BinaryExpression():
            return _binary(node, fold(node.lhs, constants, free), fold(node.rhs, constants, free))
        case ast.FunctionCall():
            return _call(node, [fold(argument, constants, free) for argument in node.arguments])
        case ast.Cast(type=ast.FloatType() | ast.AngleType(), argument=inner):
            value = fold(inner, constants, free)
            return value if isinstance(value, ast.Expression) else float(value)
    raise Refusal.at(node, "is not supported as a number (legal: numbers, names, + - * / **, functions)")


def number(node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]) -> Number:
    """Returns the number of a constant expression; Refusal if it depends on a parameter."""
    value = fold(node, constants, free)
    if isinstance(value, ast.Expression):
        raise Refusal.at(node, "depends on a parameter, must be constant")
    return value


def whole(node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]) -> int:
    """Returns the whole number of a constant expression; Refusal if it is not whole."""
    value = number(node, constants, free)
    if not isinstance(value, int):
        raise Refusal.at(node, f"is {value}, must be a whole number")
    return value


def literal(value: Number | ast.Expression, node: ast.QASMNode) -> ast.Expression:
    """Returns a folded value as an expression with the span of ``node``; whole numbers become floats."""
    return value if isinstance(value, ast.Expression) else _with_span(ast.FloatLiteral(float(value)), node)


def _look_up(
    node: ast.QASMNode, name: str, constants: Mapping[str, Number], free: Mapping[str, str]
) -> Number | ast.Expression:
    if name in free:
        return _with_span(ast.Identifier(free[name]), node)
    if name in constants:
        return constants[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    raise Refusal.at(node, f"{name} is not a known constant, parameter or input", name)


def _binary(
    node: ast.BinaryExpression, left: Number | ast.Expression, right: Number | ast.Expression
) -> Number | ast.Expression:
    sign = node.op.name
    if sign in ("/", "%") and right == 0:
        raise Refusal.at(node, "is a division by zero")
    if not isinstance(left, ast.Expression) and not isinstance(right, ast.Expression):
        return _compute(node, sign, left, right)
    if sign not in ("+", "-", "*", "/"):
        raise Refusal.at(node, f"{sign} of a parameter is not supported (legal: + - * /)")
    if sign == "*" and 0 in (left, right):  # Qiskit cannot hash an expression without parameters
        return literal(0.0, node)
    return _with_span(ast.BinaryExpression(node.op, literal(left, node.lhs), literal(right, node.rhs)), node)


def _compute(node: ast.QASMNode, sign: str, left: Number, right: Number) -> Number:
    try:
        match sign:
            case "+":
                return _check_range(node, left + right)
            case "-":
                return _check_range(node, left - right)
            case "*":
                return _check_range(node, left * right)
            case "/":
                return _check_range(node, _divide(node, left, right))
            case "%" if isinstance(left, int) and isinstance(right, int) and left >= 0 < right:
                return left % right
            case "**":
                return _check_range(node, _power(left, right))
    except (ArithmeticError, ValueError) as error:
        raise Refusal.at(node, f"is not a number: {error}") from error
    raise Refusal.at(node, f"{sign} of these numbers is not supported")


def _divide(node: ast.QASMNode, left: Number, right: Number) -> Number:
    """Divides; refuses a division of whole numbers with a remainder, which OpenQASM 3 would drop."""
    if not (isinstance(left, int) and isinstance(right, int)):
        return left / right
    if left % right:
        message = f"{left}/{right} is a division of whole numbers, {abs(left) // abs(right)} in OpenQASM 3"
        raise Refusal.at(node, f"{message}; write {left}.0/{right}")
    return left // right


def _power(left: Number, right: Number) -> Number:
    power = float(left) ** float(right)
    if isinstance(power, complex):
        raise ValueError("a root of a negative number")
    exact = isinstance(left, int) and isinstance(right, int) and right >= 0 and abs(power) < _LARGEST
    return left**right if exact else power


def _call(node: ast.FunctionCall, arguments: list[Number | ast.Expression]) -> Number:
    name = node.name.name
    if any(isinstance(argument, ast.Expression) for argument in arguments):
        raise Refusal.at(node, f"{name} of a parameter is not supported (legal: + - * /)")
    values = [float(value) for value in arguments if not isinstance(value, ast.Expression)]
    try:
        if name == "pow" and len(values) == 2:
            return _check_range(node, _power(*values))
        if name in _FUNCTIONS and len(values) == 1:
            return _check_range(node, _FUNCTIONS[name](*values))
    except (ArithmeticError, ValueError) as error:
        raise Refusal.at(node, f"is not a number: {error}") from error
    legal = ", ".join(sorted([*_FUNCTIONS, "pow"]))
    raise Refusal.at(node, f"{name} of {len(values)} numbers is not supported (legal: {legal})")


def _check_range(node: ast.QASMNode, value: Number) -> Number:
    if abs(value) >= _LARGEST if isinstance(value, int) else not math.isfinite(value):
        raise Refusal.at(node, "is not finite, or a whole number of 2^63 or more")
    return value


def _with_span(node: ast.Expression, origin: ast.QASMNode) -> ast.Expression:
    node.span = origin.span
    return node
