"""Angles that are functions of parameters and inputs: read from Qiskit, evaluated by NumPy for many rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.groups import Array

Tree = tuple[Any, ...]
"""("number", 2.0), ("parameter", k), ("input", k), or the name of a function and its arguments."""

_UNARY: Mapping[str, Any] = {
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "ASIN": np.arcsin,
    "ACOS": np.arccos,
    "ATAN": np.arctan,
    "EXP": np.exp,
    "LOG": np.log,
    "ABS": np.abs,
    "SIGN": np.sign,
    "CONJ": np.conjugate,
}
_BINARY: Mapping[str, Any] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "POW": np.power,
}
_FUNCTIONS = {**_UNARY, **_BINARY}
"""NumPy's functions, by Qiskit's names of operations on expressions."""

_REVERSED = {"RSUB": "SUB", "RDIV": "DIV", "RPOW": "POW"}

_COORDINATES = (0.83, 1.27, 0.59, 1.71, 1.09)
"""The point where a tree is compared with Qiskit's value; beyond five, they repeat, 7 % larger each time."""


@dataclass(frozen=True)
class Expression:
    """A real function of parameters and inputs, with its derivatives by the parameters.

    Attributes:
        value: the function.
        slopes: pairs (k, derivative by parameter k), for the parameters that the function depends on.
    """

    value: Tree
    slopes: tuple[tuple[int, Tree], ...]


def read_expression(value: Any, symbols: Mapping[Any, Tree]) -> Expression:
    """Reads a Qiskit expression; the derivatives are Qiskit's own.

    Args:
        value: a ``ParameterExpression``.
        symbols: ("parameter", k) or ("input", k) for each of its parameters.

    Raises:
        ValueError: the expression is complex, or not differentiable by a parameter.
    """
    order = sorted(value.parameters, key=lambda symbol: symbols[symbol])
    try:
        slopes = tuple(
            (symbols[symbol][1], _tree(value.gradient(symbol), symbols))
            for symbol in order
            if symbols[symbol][0] == "parameter"
        )
    except RuntimeError as error:
        raise ValueError("it has no derivative") from error
    return Expression(_tree(value, symbols), slopes)


def sample_point(symbols: Iterable[Any]) -> dict[Any, float]:
    """Returns a value for each symbol, at which expressions are compared."""
    return {symbol: _COORDINATES[k % 5] * 1.07 ** (k // 5) for k, symbol in enumerate(symbols)}


def value_at(value: Any, point: Mapping[Any, float]) -> complex:
    """Returns Qiskit's own value of an expression at a point; NaN where it is undefined or infinite."""
    try:
        return complex(value.bind(point))
    except (RuntimeError, ZeroDivisionError):  # where the value is undefined or infinite
        return complex("nan")


def evaluate(tree: Tree, parameters: Array, inputs: Array) -> Array:
    """Evaluates a tree at ``parameters`` [N, P] and ``inputs`` [N, F].

    Returns:
        float64 [N], NaN where the function is undefined. A row's value does not depend on the other rows.
    """
    with np.errstate(all="ignore"):
        return np.asarray(_evaluate(tree, parameters, inputs), np.float64)


def _evaluate(tree: Tree, parameters: Array, inputs: Array) -> Any:
    name, *arguments = tree
    if name == "number":
        return np.full(len(parameters), arguments[0])
    if name in ("parameter", "input"):
        values = parameters if name == "parameter" else inputs
        return np.ascontiguousarray(values[:, arguments[0]])
    return _FUNCTIONS[name](*(_evaluate(argument, parameters, inputs) for argument in arguments))


def _tree(value: Any, symbols: Mapping[Any, Tree]) -> Tree:
    """Replays the operations that built an expression, on a stack of trees.

    Qiskit's printed form would be ambiguous: ``2*c/(-a*b)`` is printed as ``2*c/-a*b``.
    """
    from qiskit.circuit import Parameter

    if not getattr(value, "parameters", ()):
        return ("number", _number(value))
    if isinstance(value, Parameter):
        return symbols[value]
    stack: list[Tree] = []
    for step in value._qpy_replay:
        name = str(step.op).rpartition(".")[2]
        if name in _UNARY:
            stack.append((name, _operand(step.lhs, symbols, stack)))
            continue
        second, first = _operand(step.rhs, symbols, stack), _operand(step.lhs, symbols, stack)
        stack.append((_REVERSED[name], second, first) if name in _REVERSED else (name, first, second))
    if len(stack) != 1:
        raise ValueError("it cannot be read")
    _check_value(stack[0], value, symbols)
    return stack[0]


def _operand(operand: Any, symbols: Mapping[Any, Tree], stack: list[Tree]) -> Tree:
    if operand is None and not stack:
        raise ValueError("it cannot be read")
    if operand is None:
        return stack.pop()
    return symbols[operand] if operand in symbols else ("number", _number(operand))


def _check_value(tree: Tree, value: Any, symbols: Mapping[Any, Tree]) -> None:
    """Raises ValueError if a tree's value at the sample point is not Qiskit's own."""
    point = sample_point(sorted(value.parameters, key=lambda symbol: symbols[symbol]))
    expected = value_at(value, point)
    values: dict[str, Array] = {}
    for kind in ("parameter", "input"):
        by_index = {symbols[symbol][1]: x for symbol, x in point.items() if symbols[symbol][0] == kind}
        values[kind] = np.array([[by_index.get(k, 0.0) for k in range(max(by_index, default=-1) + 1)]])
    actual = evaluate(tree, values["parameter"], values["input"]).item()
    if np.isfinite([actual, expected]).all() and abs(actual - expected) > 1e-9 * max(1.0, abs(expected)):
        raise ValueError(f"it is read as {actual!r} where Qiskit has {expected!r}")


def _number(value: Any) -> float:
    number = complex(value)
    if number.imag:
        raise ValueError("it is not real")
    return number.real
