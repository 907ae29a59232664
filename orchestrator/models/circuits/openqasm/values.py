"""Numbers and angles of a syntax tree: what is constant is computed, the rest keeps its form."""

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
"""The names that OpenQASM 3 itself gives to numbers."""

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
"""Whole numbers are below."""


def fold(
    node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]
) -> Number | ast.Expression:
    """A number if the expression is constant; else the expression with its constant parts as numbers.

    Args:
        node: an expression.
        constants: the numbers that names stand for.
        free: the names that stand for parameters, each with the name that it gets.

    Raises:
        Refusal: it is no number, or nothing that can be read.
    """
    match node:
        case ast.IntegerLiteral() | ast.FloatLiteral():
            return _legal(node, node.value)
        case ast.Identifier(name=name):
            return _named(node, name, constants, free)
        case ast.UnaryExpression(op=op, expression=inner) if op.name == "-":
            value = fold(inner, constants, free)
            return (
                _placed(ast.UnaryExpression(op, value), node) if isinstance(value, ast.Expression) else -value
            )
        case ast.BinaryExpression():
            return _binary(node, fold(node.lhs, constants, free), fold(node.rhs, constants, free))
        case ast.FunctionCall():
            return _called(node, [fold(argument, constants, free) for argument in node.arguments])
        case ast.Cast(type=ast.FloatType() | ast.AngleType(), argument=inner):
            value = fold(inner, constants, free)
            return value if isinstance(value, ast.Expression) else float(value)
    raise Refusal.at(
        node, "is not a number that can be read here (legal: numbers, names, + - * / **, functions)"
    )


def number(node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]) -> Number:
    """The number that a constant expression is; Refusal if it depends on a parameter."""
    value = fold(node, constants, free)
    if isinstance(value, ast.Expression):
        raise Refusal.at(node, "depends on a parameter, must be constant")
    return value


def whole(node: ast.QASMNode, constants: Mapping[str, Number], free: Mapping[str, str]) -> int:
    """The whole number that a constant expression is."""
    value = number(node, constants, free)
    if not isinstance(value, int):
        raise Refusal.at(node, f"is {value}, must be a whole number")
    return value


def literal(value: Number | ast.Expression, node: ast.QASMNode) -> ast.Expression:
    """A folded value as an expression at the place of ``node``; whole numbers as decimal ones."""
    return value if isinstance(value, ast.Expression) else _placed(ast.FloatLiteral(float(value)), node)


def _named(
    node: ast.QASMNode, name: str, constants: Mapping[str, Number], free: Mapping[str, str]
) -> Number | ast.Expression:
    if name in free:
        return _placed(ast.Identifier(free[name]), node)
    if name in constants:
        return constants[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    raise Refusal.at(node, f"{name} is no constant, parameter or input that is known here", name)


def _binary(
    node: ast.BinaryExpression, left: Number | ast.Expression, right: Number | ast.Expression
) -> Number | ast.Expression:
    sign = node.op.name
    if sign in ("/", "%") and right == 0:
        raise Refusal.at(node, "is a division by zero")
    if not isinstance(left, ast.Expression) and not isinstance(right, ast.Expression):
        return _computed(node, sign, left, right)
    if sign not in ("+", "-", "*", "/"):
        raise Refusal.at(node, f"{sign} of a parameter cannot be read (legal: + - * /)")
    if sign == "*" and 0 in (left, right):  # Qiskit's expressions that depend on nothing cannot be hashed
        return literal(0.0, node)
    return _placed(ast.BinaryExpression(node.op, literal(left, node.lhs), literal(right, node.rhs)), node)


def _computed(node: ast.QASMNode, sign: str, left: Number, right: Number) -> Number:
    try:
        match sign:
            case "+":
                return _legal(node, left + right)
            case "-":
                return _legal(node, left - right)
            case "*":
                return _legal(node, left * right)
            case "/":
                return _legal(node, _quotient(node, left, right))
            case "%" if isinstance(left, int) and isinstance(right, int) and left >= 0 < right:
                return left % right
            case "**":
                return _legal(node, _power(left, right))
    except (ArithmeticError, ValueError) as error:
        raise Refusal.at(node, f"is no number: {error}") from error
    raise Refusal.at(node, f"{sign} of these numbers cannot be read")


def _quotient(node: ast.QASMNode, left: Number, right: Number) -> Number:
    """Of whole numbers: OpenQASM 3 drops the remainder, which nobody wants of an angle."""
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


def _called(node: ast.FunctionCall, arguments: list[Number | ast.Expression]) -> Number:
    name = node.name.name
    if any(isinstance(argument, ast.Expression) for argument in arguments):
        raise Refusal.at(node, f"{name} of a parameter cannot be read (legal: + - * /)")
    values = [float(value) for value in arguments if not isinstance(value, ast.Expression)]
    try:
        if name == "pow" and len(values) == 2:
            return _legal(node, _power(*values))
        if name in _FUNCTIONS and len(values) == 1:
            return _legal(node, _FUNCTIONS[name](*values))
    except (ArithmeticError, ValueError) as error:
        raise Refusal.at(node, f"is no number: {error}") from error
    legal = ", ".join(sorted([*_FUNCTIONS, "pow"]))
    raise Refusal.at(node, f"{name} of {len(values)} numbers cannot be read (legal: {legal})")


def _legal(node: ast.QASMNode, value: Number) -> Number:
    if abs(value) >= _LARGEST if isinstance(value, int) else not math.isfinite(value):
        raise Refusal.at(node, "is not a finite number, or a whole number of 2^63 and more")
    return value


def _placed(made: ast.Expression, origin: ast.QASMNode) -> ast.Expression:
    made.span = origin.span
    return made
