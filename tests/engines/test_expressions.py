"""Angles that are expressions: values and derivatives against Qiskit, finite differences, and equal bits."""

import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from sums import assert_same_bits, rows_of

from orchestrator.backends.aer import bound
from orchestrator.backends.aer.bound import BoundAdjoint
from orchestrator.backends.aer.noise import Noise
from orchestrator.backends.aer.simulator import simulator
from orchestrator.backends.batched import differentiator
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.gradient import Shard
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.expression import evaluate, read_expression
from orchestrator.models.circuits.gates import NONE
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read

ADJOINT = Adjoint(engine="adjoint")
AER = simulator("CPU", "statevector")
ROUNDING = 1e-13
"""Between two simulations of a few gates: some hundred roundings of 1e-16."""

THETA, X = ParameterVector("θ", 2), ParameterVector("x y", 2)
LEAVES = {THETA[0]: ("parameter", 0), THETA[1]: ("parameter", 1), X[0]: ("input", 0), X[1]: ("input", 1)}

UNARY = ("sin", "cos", "arctan", "exp", "abs")
BINARY = (operator.add, operator.sub, operator.mul, lambda a, b: a / (b * b + 0.5))

properties = settings(max_examples=200, deadline=None)
leaves = st.one_of(st.sampled_from(list(LEAVES)), st.sampled_from([0.3, 2.0, -1.5]))


def combine(children: st.SearchStrategy) -> st.SearchStrategy:
    symbolic = children.filter(lambda value: not isinstance(value, float))
    return st.one_of(
        st.builds(lambda name, value: getattr(value, name)(), st.sampled_from(UNARY), symbolic),
        st.builds(lambda apply, a, b: apply(a, b), st.sampled_from(BINARY), symbolic, children),
        st.builds(lambda apply, a, b: apply(a, b), st.sampled_from(BINARY), children, symbolic),
        st.builds(lambda value, power: value**power, symbolic, st.sampled_from([2, 3])),
        st.builds(operator.neg, symbolic),
    )


expressions = st.recursive(leaves, combine, max_leaves=6).filter(
    lambda value: bool(getattr(value, "parameters", ()))
)
POINTS = np.random.default_rng(0).uniform(0.2, 1.4, (5, 4))


def by_qiskit(expression: object, point: np.ndarray) -> float:
    values = dict(zip(LEAVES, point, strict=True))
    return float(expression.bind({symbol: values[symbol] for symbol in expression.parameters}))


@given(expressions)
@properties
def test_expression_is_evaluated_as_qiskit_does(expression: object):
    try:
        expected = [by_qiskit(expression, point) for point in POINTS]
    except OverflowError:
        return
    read_in = read_expression(expression, LEAVES)
    found = evaluate(read_in.value, POINTS[:, :2], POINTS[:, 2:])
    if np.all(np.isfinite(expected)):
        # Qiskit evaluates in its own order: a few roundings, magnified where terms cancel.
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


A, B, C = THETA[0], THETA[1], X[0]


@pytest.mark.parametrize(
    "expression",
    [
        A / (B / C),
        A / (B * C),
        A - (B - C),
        A - (B + C),
        (A**B) ** C,
        A ** (B**C),
        -(A**2),
        (-A) ** 2,
        2 ** (-A),
        A / B / C,
        A * (-B),
        A - (-B),
        1 / (A + B) ** 3,
        123456789.123456789 * A,
    ],
    ids=str,
)
def test_order_of_operations_is_qiskits(expression: object):
    found = evaluate(read_expression(expression, LEAVES).value, POINTS[:, :2], POINTS[:, 2:])
    np.testing.assert_allclose(found, [by_qiskit(expression, point) for point in POINTS], rtol=1e-14)


def test_derivatives_are_those_of_the_function():
    angle = THETA[0] * X[0].sin() + (THETA[0] * THETA[1]) ** 2 / X[1] - THETA[1].exp()
    read_in, step = read_expression(angle, LEAVES), 1e-6
    parameters, inputs = POINTS[:, :2], POINTS[:, 2:]
    for k, slope in read_in.slopes:
        moved = step * (np.arange(2) == k)
        above = evaluate(read_in.value, parameters + moved, inputs)
        below = evaluate(read_in.value, parameters - moved, inputs)
        # h² f'''/6 is of the order of 1e-12, rounding of 1e-16 / 1e-6.
        found = evaluate(slope, parameters, inputs)
        np.testing.assert_allclose(found, (above - below) / (2 * step), rtol=1e-8, atol=1e-8)


def test_expression_where_it_is_undefined_is_nan_without_a_warning():
    read_in = read_expression(THETA[0].log() / X[0], LEAVES)
    assert np.isnan(evaluate(read_in.value, np.array([[-1.0, 0.0]]), np.ones((1, 2)))[0])


@pytest.mark.parametrize("angle", [THETA[0].sign(), 1j * THETA[0].sin(), THETA[0] * THETA[1].sign()])
def test_expression_that_is_not_differentiable_is_refused(angle: object):
    with pytest.raises(ValueError, match=r"no derivative|not real"):
        read_expression(angle, LEAVES)


# In circuits.


def drawing() -> Drawing:
    """Shared parameters, products of parameters and inputs, functions of inputs, and a linear sum."""
    drawn = QuantumCircuit(3)
    drawn.ry(X[0] * X[1], 0)
    drawn.rx(THETA[0] * X[0] + THETA[1], 0)
    drawn.h(1)
    drawn.cx(0, 1)
    drawn.rz(THETA[0] + 2 * THETA[1] - X[1] + 0.3, 1)
    drawn.crx(THETA[1].sin() * THETA[0], 1, 2)
    drawn.rz(THETA[1], 2)
    drawn.ry(X[0] * X[1], 2)
    drawn.cry((X[0] * 2).cos(), 0, 2)
    return Drawing(
        drawn, (Operator(SparsePauliOp(["ZXY", "XIZ"], [1.0, 0.5])),), tuple(X), (tuple(THETA),), 0
    )


def program() -> Program:
    return read(drawing, "test")


def point(rows: int, samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return (
        random.uniform(-2.0, 2.0, (rows, 2)),
        random.uniform(0.2, 2.0, (rows, samples, 2)),
        np.zeros((rows, 0), np.int8),
    )


def test_sum_of_parameters_and_inputs_is_a_rotation_for_each():
    drawn = QuantumCircuit(1)
    drawn.rx(2 * THETA[0] - X[1] + 0.5, 0)
    read_in = read(
        lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), tuple(X), (tuple(THETA),), 0), "sum"
    )
    assert read_in.angles == read_in.features == ()
    assert sorted(gate.item()[4:] for gate in read_in.gates) == [(NONE, 1, -1.0, 0.5), (0, NONE, 2.0, 0.0)]


def test_equal_expressions_are_computed_once():
    built = program()
    assert (len(built.features), built.parameters, built.inputs) == (3, 2, 2)
    assert len(built.angles) == 3


def test_circuit_of_expressions_agrees_with_qiskit():
    parameters, inputs, axes = point(3, 4)
    value = BatchedProgram(program()).expectation(parameters, inputs, axes)[..., 0]
    for row, sample in np.ndindex(3, 4):
        values = dict(zip([*THETA, *X], [*parameters[row], *inputs[row, sample]], strict=True))
        state = Statevector(drawing().circuit.assign_parameters(values))
        expected = state.expectation_value(drawing().operators[0].paulis).real
        assert value[row, sample] == pytest.approx(expected, abs=ROUNDING)


def test_gradient_follows_the_chain_rule():
    parameters, inputs, axes = point(2, 5)
    batched, step = BatchedProgram(program()), 1e-5
    (part,) = batched.parts(parameters, inputs, axes)
    np.testing.assert_array_equal(
        part.expectation, batched.expectation(parameters, inputs, axes).reshape(10, 1)
    )
    for k in range(2):
        moved = step * (np.arange(2) == k)
        above = batched.expectation(parameters + moved, inputs, axes)
        below = batched.expectation(parameters - moved, inputs, axes)
        # h² E'''/6 with slopes up to 4 and rounding of 1e-16 / 1e-5.
        np.testing.assert_allclose(
            part.derivative[:, k], (above - below).ravel() / (2 * step), rtol=0.0, atol=2e-8
        )


def test_parameter_is_dead_if_all_that_is_computed_from_it_is():
    drawn = QuantumCircuit(2)
    drawn.rx(THETA[0] * X[0], 0)
    drawn.rx(THETA[1] * X[0], 1)
    read_in = read(
        lambda: Drawing(drawn, (Operator(SparsePauliOp("IZ")),), tuple(X), (tuple(THETA),), 0), "dead"
    )
    assert read_in.dead.tolist() == [False, True]


def test_certificate_checks_the_value_of_expressions():
    assert ADJOINT.certify(program(), 0) == pytest.approx(0.0, abs=1e-12)


def test_program_with_expressions_survives_pickling():
    built = program()
    again = pickle.loads(pickle.dumps((built.angles, built.features)))
    assert again == (built.angles, built.features)


def test_expressions_are_read_in_one_order():
    """Qiskit's sets of parameters have no order."""

    def everything() -> tuple[object, ...]:
        thetas = [Parameter(name) for name in "abcdef"]
        drawn = QuantumCircuit(1)
        drawn.rx(math.prod(thetas[1:], start=thetas[0]), 0)
        built = read(
            lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (tuple(thetas),), 0), "order"
        )
        return built.gates.tobytes(), built.angles

    assert len({everything() for _ in range(20)}) == 1


def test_row_has_the_same_bits_alone_and_among_others():
    parameters, inputs, axes = point(65, 9)
    random = np.random.default_rng(1)
    weights, targets = random.uniform(0.0, 1.0, (65, 9)), random.integers(0, 2, (65, 9)).astype(float)
    ready = ADJOINT.prepare(program(), "mse", 2)
    together = ready.gradient(parameters, Shard(inputs, targets, weights, axes))
    for row in (0, 30, 64):
        one = slice(row, row + 1)
        alone = ready.gradient(parameters[one], Shard(inputs[one], targets[one], weights[one], axes[one]))
        assert_same_bits(alone, rows_of(together, one))


@pytest.mark.parametrize(
    ("made", "module", "limit", "value"),
    [
        (BatchedProgram, differentiator, "JACOBIAN_BYTES", 8 * 8 * 5),  # eight samples
        (lambda program: BoundAdjoint(program, AER, Noise(), program.live), bound, "BINDINGS", 4),
    ],
    ids=["batched", "Aer by bindings"],
)
def test_each_sample_has_its_own_chain_rule_however_many_are_held(
    made: Any, module: Any, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
):
    whole = list(made(program()).parts(*point(2, 9)))
    monkeypatch.setattr(module, limit, value)
    pieces = list(made(program()).parts(*point(2, 9)))
    assert len(pieces) > len(whole)
    one, other = (np.concatenate([part.derivative for part in parts]) for parts in (whole, pieces))
    np.testing.assert_allclose(other, one, rtol=0.0, atol=10 * ROUNDING)


def test_parameter_that_is_not_finite_ends_in_a_gradient_that_is_not_on_aer():
    engine = Adjoint.parse({"engine": "adjoint", "backend": {"kind": "aer"}})
    parameters, inputs, axes = point(2, 3)
    shard = Shard(inputs, np.ones((2, 3)), np.full((2, 3), 1 / 3), axes)
    parameters[1] = np.inf
    gradient = engine.prepare(program(), "mse", 2).gradient(parameters, shard).gradient
    assert np.isfinite(gradient[0]).all()
    assert np.isnan(gradient[1, ~program().dead]).all()


def test_shard_bytes_counts_what_is_computed():
    plain = QuantumCircuit(1)
    plain.rx(THETA[0] + THETA[1], 0)
    without = read(lambda: Drawing(plain, (Operator(SparsePauliOp("Z")),), (), (tuple(THETA),), 0), "plain")
    assert ADJOINT.shard_bytes(program(), 10, 10) > ADJOINT.shard_bytes(without, 10, 10)
