"""Angles and their derivatives are those of Qiskit's expressions, for every operation that these have."""
# ruff: noqa: ARG005 - in the table, functions take the same arguments

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from random_circuits import derivatives, program_of

from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.observable import Operator

ROUNDING = 1e-12
"""Of sin(angle), with angles below 5: thousands of roundings of 1e-16."""

A, B, C = Parameter("a"), Parameter("b"), Parameter("c")
POINTS = np.array([[0.3, 0.7], [0.8, 0.55]])


def sines(angle: Any) -> tuple[np.ndarray, np.ndarray]:
    """E [2] and dE/d(a, b) [2, 2] of RY(angle) at the points, with E = <X> = sin(angle)."""
    drawn = QuantumCircuit(1)
    drawn.ry(angle, 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("X")),), (), ((A, B),), 0))
    value, slopes = derivatives(program, POINTS, np.zeros((2, 1, 0)), np.zeros((2, 0), np.int8))
    return value[:, 0], slopes[:, 0]


class Operation(NamedTuple):
    """f(u, v) as Qiskit has it, as Python's numbers have it, and ∂f/∂u and ∂f/∂v by hand."""

    symbolic: Callable[[Any, Any], Any]
    number: Callable[[float, float], float]
    by_u: Callable[[float, float], float]
    by_v: Callable[[float, float], float] = lambda u, v: 0


OPERATIONS = {
    "__add__": Operation(lambda u, v: u + v, lambda u, v: u + v, lambda u, v: 1, lambda u, v: 1),
    "__radd__": Operation(lambda u, v: 2 + u, lambda u, v: 2 + u, lambda u, v: 1),
    "__sub__": Operation(lambda u, v: u - v, lambda u, v: u - v, lambda u, v: 1, lambda u, v: -1),
    "__rsub__": Operation(lambda u, v: 2 - u, lambda u, v: 2 - u, lambda u, v: -1),
    "__mul__": Operation(lambda u, v: u * v, lambda u, v: u * v, lambda u, v: v, lambda u, v: u),
    "__rmul__": Operation(lambda u, v: 3 * u, lambda u, v: 3 * u, lambda u, v: 3),
    "__truediv__": Operation(
        lambda u, v: u / v, lambda u, v: u / v, lambda u, v: 1 / v, lambda u, v: -u / v**2
    ),
    "__rtruediv__": Operation(lambda u, v: 1 / u, lambda u, v: 1 / u, lambda u, v: -1 / u**2),
    "__pow__": Operation(
        lambda u, v: u**v, lambda u, v: u**v, lambda u, v: v * u ** (v - 1), lambda u, v: u**v * math.log(u)
    ),
    "__rpow__": Operation(lambda u, v: 2**u, lambda u, v: 2**u, lambda u, v: 2**u * math.log(2)),
    "__neg__": Operation(lambda u, v: -u, lambda u, v: -u, lambda u, v: -1),
    "__pos__": Operation(lambda u, v: +u, lambda u, v: u, lambda u, v: 1),
    "__abs__": Operation(lambda u, v: abs(u - 1), lambda u, v: 1 - u, lambda u, v: -1),
    "abs": Operation(lambda u, v: (u - 1).abs(), lambda u, v: 1 - u, lambda u, v: -1),
    "sin": Operation(lambda u, v: u.sin(), lambda u, v: math.sin(u), lambda u, v: math.cos(u)),
    "cos": Operation(lambda u, v: u.cos(), lambda u, v: math.cos(u), lambda u, v: -math.sin(u)),
    "tan": Operation(lambda u, v: u.tan(), lambda u, v: math.tan(u), lambda u, v: 1 / math.cos(u) ** 2),
    "arcsin": Operation(
        lambda u, v: u.arcsin(), lambda u, v: math.asin(u), lambda u, v: 1 / math.sqrt(1 - u * u)
    ),
    "arccos": Operation(
        lambda u, v: u.arccos(), lambda u, v: math.acos(u), lambda u, v: -1 / math.sqrt(1 - u * u)
    ),
    "arctan": Operation(lambda u, v: u.arctan(), lambda u, v: math.atan(u), lambda u, v: 1 / (1 + u * u)),
    "exp": Operation(lambda u, v: u.exp(), lambda u, v: math.exp(u), lambda u, v: math.exp(u)),
    "log": Operation(lambda u, v: u.log(), lambda u, v: math.log(u), lambda u, v: 1 / u),
    "conjugate": Operation(lambda u, v: u.conjugate(), lambda u, v: u, lambda u, v: 1),
    "subs": Operation(
        lambda u, v: (u * C).sin().subs({C: v}),
        lambda u, v: math.sin(u * v),
        lambda u, v: v * math.cos(u * v),
        lambda u, v: u * math.cos(u * v),
    ),
    "assign": Operation(
        lambda u, v: (u + C**2).assign(C, v), lambda u, v: u + v**2, lambda u, v: 1, lambda u, v: 2 * v
    ),
    "bind": Operation(lambda u, v: (u * C).bind({C: 0.5}), lambda u, v: u / 2, lambda u, v: 1 / 2),
    "gradient": Operation(
        lambda u, v: (u * C**3).gradient(C).subs({C: v}),
        lambda u, v: 3 * u * v**2,
        lambda u, v: 3 * v**2,
        lambda u, v: 6 * u * v,
    ),
}
"""Operations by their names in ``ParameterExpression``."""

REFUSED = {"sign"}
"""Operations that Qiskit does not differentiate; they are read for inputs only."""

NO_OPERATION = {
    *("bind_all", "is_real", "is_symbol", "name", "num_parameters", "numeric", "parameters", "simplify"),
    *("structurally_equal", "sympify", "uuid", "vector", "index"),
}


def test_every_operation_of_qiskits_expressions_is_in_the_table():
    special = {name for name in OPERATIONS if name.startswith("__")}
    arithmetic = {name for name in dir(float) if name.startswith("__") and name not in dir(object)}
    assert arithmetic & set(dir(ParameterExpression)) == special | {"__float__", "__int__"}
    named = {name for name in dir(ParameterExpression) if not name.startswith("_")}
    assert named - NO_OPERATION == (OPERATIONS.keys() - special) | REFUSED


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operation_has_the_value_and_the_derivatives_of_its_formula(operation: Operation):
    value, slopes = sines(operation.symbolic(A, B))
    for row, (a, b) in enumerate(POINTS.tolist()):
        cosine = math.cos(operation.number(a, b))
        assert value[row] == pytest.approx(math.sin(operation.number(a, b)), abs=ROUNDING)
        expected = [cosine * operation.by_u(a, b), cosine * operation.by_v(a, b)]
        np.testing.assert_allclose(slopes[row], expected, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operation_inside_others_has_the_derivatives_of_the_chain_rule(operation: Operation):
    """The angle is 2 f(ab, b) - b."""
    value, slopes = sines(2 * operation.symbolic(A * B, B) - B)
    for row, (a, b) in enumerate(POINTS.tolist()):
        angle, u, v = (2 * operation.number(a * b, b) - b), operation.by_u(a * b, b), operation.by_v(a * b, b)
        assert value[row] == pytest.approx(math.sin(angle), abs=ROUNDING)
        expected = [math.cos(angle) * 2 * u * b, math.cos(angle) * (2 * (u * a + v) - 1)]
        np.testing.assert_allclose(slopes[row], expected, rtol=0.0, atol=10 * ROUNDING)


def test_sign_of_an_input_is_read():
    drawn, x = QuantumCircuit(1), Parameter("x")
    drawn.ry(x.sign() / 2, 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("X")),), (x,), (), 0))
    inputs = np.array([[[-0.7], [0.2]]])
    value, _ = derivatives(program, np.zeros((1, 0)), inputs, np.zeros((1, 0), np.int8))
    np.testing.assert_allclose(value, [[-math.sin(0.5), math.sin(0.5)]], rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize(
    "angle", [(5 * A).arcsin(), (A * 1e4).exp(), ((A - A) / A) ** 2, (A - 5).log()], ids=str
)
def test_angle_that_is_undefined_at_some_points_is_read(angle: ParameterExpression):
    """Qiskit raises where it would have to bind NaN or an infinite number."""
    drawn = QuantumCircuit(1)
    drawn.ry(angle, 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("X")),), (), ((A,),), 0))
    value, _ = derivatives(program, np.array([[0.1], [1.0]]), np.zeros((2, 1, 0)), np.zeros((2, 0), np.int8))
    assert value.shape == (2, 1)


def _nonlinear(a: Parameter, b: Parameter) -> list:
    """Thirty expressions; Qiskit below 2.5.2 reads ten of them wrongly (issues 16259, 16260, 16262)."""
    return [
        *((2 * a) ** 3, 2 ** (3 * a), (a + b) ** 2, a**2 - b**2, a**2 + b**2, (2 / a) / (3 / b)),
        *((2 * a) / (3 / b), (2 / a) / (3 * b), (a * b) ** 0.5, (-a) ** 2, -(a**2), a ** (b - 2)),
        *((a - b) * (-(a * 2)), (1.5 * a + 0.25).sin() * b, (a * b).exp() * 0.01, (a / b).arctan()),
        *(1e-7 * a * b + a, (a**2).log(), 0.12345678901234567 * a * b, (a * a * a - b * a) / 7, abs(a - b)),
        *((a - 2 * b).abs() * a, (a * b).cos() ** 2, a * b / b, (a + b) * (a - b), ((a + 1) ** 2) ** 1.5),
        *(a.tan() * 0.1, 1 / (a**2 + 1), (a**b) * 0.01, (2 * a + b) ** -1),
    ]


def _nonlinear_by_floats(a: float, b: float) -> list[float]:
    """The same in Python's own arithmetic, independent of Qiskit."""
    return [
        *((2 * a) ** 3, 2 ** (3 * a), (a + b) ** 2, a**2 - b**2, a**2 + b**2, (2 / a) / (3 / b)),
        *((2 * a) / (3 / b), (2 / a) / (3 * b), (a * b) ** 0.5, (-a) ** 2, -(a**2), a ** (b - 2)),
        *((a - b) * (-(a * 2)), math.sin(1.5 * a + 0.25) * b, math.exp(a * b) * 0.01, math.atan(a / b)),
        *(1e-7 * a * b + a, math.log(a**2), 0.12345678901234567 * a * b, (a * a * a - b * a) / 7, abs(a - b)),
        *(abs(a - 2 * b) * a, math.cos(a * b) ** 2, a * b / b, (a + b) * (a - b), ((a + 1) ** 2) ** 1.5),
        *(math.tan(a) * 0.1, 1 / (a**2 + 1), (a**b) * 0.01, (2 * a + b) ** -1),
    ]


@pytest.mark.parametrize(
    ("symbolic", "expected"),
    [
        (lambda a, b: 2 * a / (-a * b), lambda a, b: 2 * a / (-a * b)),
        (lambda a, b: 1 / (-a * b), lambda a, b: 1 / (-a * b)),
        (lambda a, b: (a + b) / (-a * b), lambda a, b: (a + b) / (-a * b)),
        (lambda a, b: a.exp() / (-a * b), lambda a, b: math.exp(a) / (-a * b)),
        (lambda a, b: a - (b - (a - b)), lambda a, b: a - (b - (a - b))),
        (lambda a, b: (2 - a) ** (3 / b), lambda a, b: (2 - a) ** (3 / b)),
        (lambda a, b: a**1e-20 + 0 * b, lambda a, b: a**1e-20 + 0 * b),
    ],
)
def test_angle_is_what_was_computed_not_what_is_printed(symbolic: Callable, expected: Callable):
    """Qiskit prints 2*a/(-a*b) as 2*a/-a*b, and takes the slope of a**1e-20 for a constant."""
    value, _ = sines(symbolic(A, B))
    numbers = [math.sin(expected(*point)) for point in POINTS.tolist()]
    np.testing.assert_allclose(value, numbers, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("kind", range(30))
def test_angle_and_gradient_of_an_expression_are_those_of_pythons_arithmetic(kind: int):
    def energy(a: float, b: float) -> float:
        return math.sin(_nonlinear_by_floats(a, b)[kind])

    (value, slopes), h = sines(_nonlinear(A, B)[kind]), 1e-5
    for row, (a, b) in enumerate(POINTS.tolist()):
        assert value[row] == pytest.approx(energy(a, b), abs=ROUNDING)
        by_a = (energy(a + h, b) - energy(a - h, b)) / (2 * h)
        by_b = (energy(a, b + h) - energy(a, b - h)) / (2 * h)
        # h² times the third derivative, up to 1e5 for the steepest, relative to slopes up to 40
        np.testing.assert_allclose(slopes[row], [by_a, by_b], rtol=1e-7, atol=1e-7)
