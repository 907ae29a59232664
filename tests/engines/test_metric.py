"""The Fubini–Study metric: against Qiskit's states, closed forms, and the promise of equal bits."""

import math
import tracemalloc
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from random_circuits import circuit, drawings, point, program_of, shard

from orchestrator.backends.batched import over_samples, tangents
from orchestrator.engines import metric as front
from orchestrator.engines.gradient import Shard
from orchestrator.engines.metric import Metric
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.drawn import is_drawn_rotation
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.updates.natural import metric_blocks

ROUNDING = 1e-13
"""Between two simulations of a few dozen gates: some hundred roundings of 1e-16."""

properties = settings(max_examples=40, deadline=None)
Z_LAST = SparsePauliOp("IZ")


def whole(program: Program, parameters, part: Shard) -> np.ndarray:
    """The full metric, summed over the shard, [R, P, P]."""
    found = Metric(program, ((0, program.parameters),)).weighted_sum(parameters, part)
    return found.reshape(-1, program.parameters, program.parameters)


def state(drawing: Drawing, parameters, inputs, axes) -> np.ndarray:
    """ψ, from Qiskit's own simulation of the drawing."""
    drawn = drawing.circuit.copy_empty_like()
    for item in drawing.circuit.data:
        if is_drawn_rotation(item.operation):
            angle, index = item.operation.params
            (drawn.rx, drawn.ry, drawn.rz)[axes[int(index)]](angle, item.qubits[0])
        else:
            drawn.append(item)
    symbols = [symbol for layer in drawing.layers for symbol in layer]
    values = dict(zip([*symbols, *drawing.inputs], [*parameters, *inputs], strict=True))
    return Statevector(drawn.assign_parameters({s: values[s] for s in drawn.parameters})).data


def by_qiskit(drawing: Drawing, parameters, inputs, axes) -> np.ndarray:
    """The metric [P, P], from the formula itself and central differences of Qiskit's states."""
    step = 1e-5
    psi = state(drawing, parameters, inputs, axes)
    slopes = [
        (state(drawing, parameters + shift, inputs, axes) - state(drawing, parameters - shift, inputs, axes))
        / (2 * step)
        for shift in step * np.eye(len(parameters))
    ]
    d = np.array(slopes)
    connection = d.conj() @ psi
    return (d.conj() @ d.T - np.outer(connection, connection.conj())).real


def assert_is_qiskits(drawing: Drawing, seed: int) -> None:
    """Compares two rows of two samples with uneven weights."""
    program = program_of(drawing)
    parameters, part = shard(program, 2, 2, seed)
    found = whole(program, parameters, part)
    for row in range(2):
        expected = sum(
            part.weights[row, b] * by_qiskit(drawing, parameters[row], part.inputs[row, b], part.axes[row])
            for b in range(2)
        )
        # up to 20 gates of scale 2 share a parameter: h² ψ'''/6 is 1e-10 · 20³ / 6 at worst, times |∂ψ| = 20
        np.testing.assert_allclose(found[row], expected, rtol=1e-6, atol=1e-6)


# Right numbers.


@given(drawings(), st.integers(0, 1000))
@properties
def test_metric_is_that_of_qiskits_states_on_random_circuits(drawing: Drawing, seed: int):
    """Shared and scaled parameters, controlled rotations, inputs, drawn axes, any gate."""
    assert_is_qiskits(drawing, seed)


@pytest.mark.parametrize(
    "options",
    [
        {"ansatz": "hardware-efficient", "encoding": "zz"},
        {"ansatz": "identity-blocks", "encoding": "iqp"},
        {"ansatz": "pauli-two-design", "reupload": True},
        {"ansatz": "qaoa", "observable": {"Z0 Z1": 0.5, "Z1 Z2": 0.25, "X0": 0.25}},
        {"ansatz": "random-pauli"},
    ],
    ids=lambda options: options["ansatz"],
)
def test_metric_is_that_of_qiskits_states_on_named_circuits(options: dict[str, object]):
    assert_is_qiskits(circuit(3, 2, 2, **options).redraw(), 1)


def curved() -> Drawing:
    """Angles that are functions of several parameters and inputs."""
    theta, x = ParameterVector("θ", 3), ParameterVector("x", 2)
    drawn = QuantumCircuit(2)
    drawn.ry(x[0].sin() * theta[0], 0)
    drawn.rx(theta[0] * theta[1] + x[1], 1)
    drawn.cx(0, 1)
    drawn.crz(theta[1] ** 2 * x[0].exp(), 1, 0)
    drawn.ry(0.5 * theta[2], 0)
    drawn.rx(theta[2] * theta[1], 1)
    return Drawing(drawn, (Operator(Z_LAST),), tuple(x), (tuple(theta),), 0)


@pytest.mark.parametrize("seed", range(5))
def test_metric_follows_computed_angles(seed: int):
    assert program_of(curved()).angles
    assert_is_qiskits(curved(), seed)


def test_blocks_are_those_of_the_whole_metric():
    program = circuit(3, 3, 3)
    parameters, part = shard(program, 2, 4)
    full = whole(program, parameters, part)
    spans = tuple((group.start, group.stop) for group in program.groups)
    found = Metric(program, spans).weighted_sum(parameters, part)
    expected = [full[:, start:stop, start:stop].reshape(2, -1) for start, stop in spans]
    np.testing.assert_allclose(found, np.concatenate(expected, 1), rtol=0.0, atol=ROUNDING)
    diagonal = Metric(program, metric_blocks("diagonal", program.groups)).weighted_sum(parameters, part)
    np.testing.assert_allclose(diagonal, np.diagonal(full, 0, 1, 2), rtol=0.0, atol=ROUNDING)


def test_metric_of_a_layer_is_the_covariance_of_its_generators():
    """¼(<P_i P_j> - <P_i><P_j>), P_i in the state before the layer; its rotations commute."""
    before, thetas = QuantumCircuit(3), ParameterVector("θ", 3)
    random = np.random.default_rng(4)
    for _ in range(2):
        for qubit in range(3):
            before.u(*random.uniform(0.0, 3.0, 3), qubit)
        before.cx(0, 1)
        before.cx(1, 2)
    layer = before.copy()
    layer.rx(thetas[0], 0)
    layer.ry(thetas[1], 1)
    layer.rz(thetas[2], 2)
    psi = Statevector(before)
    generators = [SparsePauliOp(label) for label in ("IIX", "IYI", "ZII")]
    means = np.array([psi.expectation_value(one).real for one in generators])
    pairs = [[psi.expectation_value(one @ other).real for other in generators] for one in generators]
    program = program_of(Drawing(layer, (Operator(SparsePauliOp("IIZ")),), (), (tuple(thetas),), 0))
    found = whole(program, *shard(program, 1, 1))[0]
    np.testing.assert_allclose(found, (np.array(pairs) - np.outer(means, means)) / 4, atol=ROUNDING)


def test_metric_of_a_first_layer_of_ry_is_a_quarter():
    program = circuit(4, 1, ansatz="real-amplitudes")
    found = whole(program, *shard(program, 1, 1))[0]
    np.testing.assert_allclose(found[:4, :4], np.eye(4) / 4, atol=ROUNDING)


def test_sum_over_a_batch_is_not_the_metric_of_the_superposed_state():
    """RZ(θ) after RX(x) has g_i = ¼ sin² x_i. For Σ sqrt(p_i)|i>ψ_i, g is ¼(1 - (Σ p_i cos x_i)²)."""
    x, theta, p = ParameterVector("x", 1), ParameterVector("θ", 1), np.array([0.25, 0.75])
    drawn = QuantumCircuit(1)
    drawn.rx(x[0], 0)
    drawn.rz(theta[0], 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("Z")),), tuple(x), (tuple(theta),), 0))
    angles = np.array([0.4, 2.0])
    part = Shard(angles.reshape(1, 2, 1), np.zeros((1, 2)), p[None], np.zeros((1, 0), np.int8))
    found = whole(program, np.array([[0.7]]), part)[0, 0, 0]
    superposed = (1.0 - (p @ np.cos(angles)) ** 2) / 4.0
    assert found == pytest.approx(p @ np.sin(angles) ** 2 / 4.0, abs=ROUNDING)
    assert abs(found - superposed) > 0.05


def test_parameter_without_effect_on_the_state_has_zeros():
    """RZ on |0> changes only a global phase; another parameter is in no gate."""
    theta = ParameterVector("θ", 4)
    drawn = QuantumCircuit(2)
    for k in (0, 1):
        drawn.rz(theta[k], k)
    drawn.ry(theta[2], 0)
    program = program_of(Drawing(drawn, (Operator(Z_LAST),), (), (tuple(theta),), 0))
    found = whole(program, *shard(program, 5, 1))
    assert np.count_nonzero(found) == 5
    np.testing.assert_allclose(found[:, 2, 2], 0.25, atol=ROUNDING)


def test_tiny_metric_is_right_to_many_digits():
    """RZ after RY(ε): ¼ sin² ε, which 1 - cos² ε would lose in rounding."""
    theta = ParameterVector("θ", 2)
    drawn = QuantumCircuit(1)
    drawn.ry(theta[0], 0)
    drawn.rz(theta[1], 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (tuple(theta),), 0))
    _, part = shard(program, 1, 1)
    found = whole(program, np.array([[1e-8, 0.3]]), part)[0, 1, 1]
    assert found == pytest.approx(math.sin(1e-8) ** 2 / 4, rel=1e-6)  # ∂ψ is known to 1e-16 of 1e-8


def test_row_that_is_not_finite_leaves_the_others_alone():
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 3, 4)
    clean = whole(program, parameters, part)
    parameters[1, 0] = math.nan
    found = whole(program, parameters, part)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])


# Same bits.


def cut(part: Shard, rows: slice, samples: slice = slice(None)) -> Shard:
    columns = (part.inputs, part.targets, part.weights)
    return Shard(*(column[rows, samples] for column in columns), part.axes[rows])


@pytest.mark.parametrize(
    "program",
    [circuit(3, 2, 3), circuit(3, 3, ansatz="random-pauli"), program_of(curved())],
    ids=["angles", "drawn axes", "curved"],
)
def test_row_has_the_same_bits_alone_and_among_others(program: Program):
    parameters, part = shard(program, 17, 5)
    together = whole(program, parameters, part)
    for row in (0, 9, 16):
        one = slice(row, row + 1)
        np.testing.assert_array_equal(whole(program, parameters[one], cut(part, one)), together[one])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two CPUs")
def test_bits_do_not_depend_on_the_number_of_threads():
    program = circuit(4, 2, 4)
    parameters, part = shard(program, 5, 7)
    threads, found = numba.get_num_threads(), []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            found.append(whole(program, parameters, part))
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(*found)


def test_bits_do_not_depend_on_how_many_samples_are_held(monkeypatch: pytest.MonkeyPatch):
    for program in (circuit(3, 2, 3), program_of(curved())):
        parameters, part = shard(program, 5, 13)
        together = whole(program, parameters, part)
        with monkeypatch.context() as patch:
            patch.setattr(front, "METRIC_BYTES", 11 * 8 * program.parameters**2)
            np.testing.assert_array_equal(whole(program, parameters, part), together)


def test_samples_add_up_however_the_batch_is_cut():
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 2, 11)
    pieces = [
        whole(program, parameters, cut(part, slice(None), slice(*ends))) for ends in pairwise((0, 1, 5, 11))
    ]
    np.testing.assert_allclose(sum(pieces), whole(program, parameters, part), rtol=0.0, atol=ROUNDING)


def test_kernel_is_compiled_once_for_all_circuits_and_arrays():
    for program in (circuit(2, 1), circuit(3, 2, 3, ansatz="random-pauli"), program_of(curved())):
        parameters, part = shard(program, 2, 3)
        writable = whole(program, parameters, part)
        for array in (parameters, part.inputs, part.targets, part.weights, part.axes):
            array.setflags(write=False)
        np.testing.assert_array_equal(whole(program, np.asfortranarray(parameters), part), writable)
    assert len(tangents.metrics.signatures) == len(over_samples.add_weighted.signatures) == 1


# Memory.


@pytest.mark.parametrize(
    "program", [circuit(9, 3, 9), circuit(2, 12, 2), program_of(curved())], ids=["wide", "deep", "curved"]
)
def test_bytes_are_an_upper_bound_that_is_not_far_off(program: Program):
    ready = Metric(program, ((0, program.parameters),))
    parameters, part = shard(program, 30, 40)
    ready.weighted_sum(parameters, part)
    tracemalloc.start()
    ready.weighted_sum(parameters, part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= ready.bytes(30, 40) <= 2 * peak


def test_bytes_of_sixty_qubits_are_computed_without_allocating():
    program = circuit(60, 2)
    assert Metric(program, ()).bytes(1, 1) > 2**60 * 16 * program.parameters


def test_metric_does_not_depend_on_the_observable():
    one, other = (circuit(3, 2, 3, observable=text) for text in ("ZII", "IIX"))
    parameters, inputs, axes = point(one, 1, 2)
    part = Shard(inputs, np.zeros((1, 2)), np.full((1, 2), 0.5), axes)
    assert not np.array_equal(one.dead, other.dead)
    np.testing.assert_array_equal(whole(one, parameters, part), whole(other, parameters, part))
