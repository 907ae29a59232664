"""Angles that are functions of parameters and inputs: read from Qiskit, evaluated by NumPy for many rows."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tree = tuple[Any, ...]
"""("number", 2.0), ("parameter", k), ("input", k), or the name of a function and its arguments."""

_FUNCTIONS: Mapping[str, Any] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "exp": np.exp,
    "log": np.log,
    "abs": np.abs,
    "sign": np.sign,
    "conj": np.conjugate,
}
_OPERATORS: Mapping[type, str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.USub: "negative",
}


@dataclass(frozen=True)
class Expression:
    """A real function of parameters and inputs, with its derivatives by the parameters.

    Attributes:
        value: the function.
        slopes: pairs (k, derivative by parameter k), of the parameters that it depends on.
    """

    value: Tree
    slopes: tuple[tuple[int, Tree], ...]


def read_expression(value: Any, symbols: Mapping[Any, Tree]) -> Expression:
    """What a Qiskit expression says; its derivatives are Qiskit's own.

    Args:
        value: a ``ParameterExpression``.
        symbols: ("parameter", k) or ("input", k) for each of its parameters.

    Raises:
        ValueError: it is complex, or not differentiable by a parameter.
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


def evaluate(tree: Tree, parameters: Array, inputs: Array) -> Array:
    """The function at ``parameters`` [N, P] and ``inputs`` [N, F], float64 [N]; NaN where it is undefined.

    A row's value does not depend on the other rows.
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
    function = _FUNCTIONS.get(name) or getattr(np, name)
    return function(*(_evaluate(argument, parameters, inputs) for argument in arguments))


def _tree(value: Any, symbols: Mapping[Any, Tree]) -> Tree:
    """Qiskit prints expressions in Python's notation; their parameters' names need not be Python's."""
    from qiskit.circuit import Parameter

    found = sorted(getattr(value, "parameters", ()), key=lambda symbol: symbols[symbol])
    names = {f"v{index}": symbols[symbol] for index, symbol in enumerate(found)}
    plain = {symbol: Parameter(name) for symbol, name in zip(found, names, strict=True)}
    text = str(value.subs(plain)) if found else repr(_number(value))
    try:
        return _walk(ast.parse(text, mode="eval").body, names)
    except SyntaxError as error:  # how an imaginary unit is printed
        raise ValueError("it is not real") from error


def _number(value: Any) -> float:
    number = complex(value)
    if number.imag:
        raise ValueError("it is not real")
    return number.real


def _walk(node: ast.expr, names: Mapping[str, Tree]) -> Tree:
    match node:
        case ast.Constant(value=int() | float() as number):
            return ("number", float(number))
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Name(id="pi" | "π"):
            return ("number", np.pi)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return (_OPERATORS[type(operator)], _walk(left, names), _walk(right, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ("negative", _walk(operand, names))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in _FUNCTIONS:
            return (name, _walk(argument, names))
    raise ValueError(f"{ast.unparse(node)} is not understood")
