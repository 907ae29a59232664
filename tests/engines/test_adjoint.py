"""Adjoint gradients: against Qiskit, finite differences and closed forms, and the promise of equal bits."""

import math
import tracemalloc
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterVector
from qiskit.circuit.library import (
    CCXGate,
    CRXGate,
    CXGate,
    PauliGate,
    QFTGate,
    RYGate,
    UnitaryGate,
)
from qiskit.quantum_info import Clifford, SparsePauliOp, Statevector, random_unitary
from random_circuits import (
    ADJOINT,
    RANDOM,
    ROUNDING,
    STANDARD,
    check_with_reference,
    circuit,
    derivatives,
    drawings,
    point,
    program_of,
    shard,
)
from reference import simulate
from sums import arrays, assert_same_bits, rows_of

from orchestrator.backends.batched import differentiator, kernel, over_samples
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.engines.backprop import Backprop
from orchestrator.engines.gradient import Shard
from orchestrator.errors import InputError
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.drawn import is_drawn_rotation
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.losses import value_and_slope
from orchestrator.models.mlp import Mlp

properties = settings(max_examples=40, deadline=None)


def by_qiskit(drawing: Drawing, parameters, inputs, axes) -> float:
    """E of one row, from Qiskit's own simulation of the drawing."""
    circuit = drawing.circuit.copy_empty_like()
    for item in drawing.circuit.data:
        if is_drawn_rotation(item.operation):
            angle, index = item.operation.params
            (circuit.rx, circuit.ry, circuit.rz)[axes[int(index)]](angle, item.qubits[0])
        else:
            circuit.append(item)
    symbols = [symbol for layer in drawing.layers for symbol in layer]
    values = dict(zip([*symbols, *drawing.inputs], [*parameters, *inputs], strict=True))
    bound = circuit.assign_parameters({symbol: values[symbol] for symbol in circuit.parameters})
    return float(Statevector(bound).expectation_value(drawing.operators[0].paulis).real)


# Right numbers.


@given(drawings(curved=True), st.integers(0, 1000))
@properties
def test_random_circuit_is_read_as_qiskit_means_it_and_computed_as_by_the_reference(
    drawing: Drawing, seed: int
):
    """Dead parameters included: the reference has no light cone."""
    program = program_of(drawing)
    check_with_reference(program, 2, 2, seed, atol=10 * ROUNDING)
    parameters, inputs, axes = point(program, 2, 2, seed)
    value, _ = simulate(program, parameters, inputs, axes)
    expected = by_qiskit(drawing, parameters[1], inputs[1, 1], axes[1])
    assert value[1, 1, 0] == pytest.approx(expected, abs=10 * ROUNDING)


OTHER_GATES = (
    CXGate(ctrl_state=0),
    CCXGate(ctrl_state=1),
    CRXGate(0.4, ctrl_state=0),
    RYGate(0.3).control(3, annotated=False),
    RYGate(0.3).control(3, annotated=True),
    Clifford(CXGate()),
    UnitaryGate(random_unitary(2, seed=1)),
    UnitaryGate(random_unitary(8, seed=1)),
    PauliGate("XYZ"),
    QFTGate(3),
)


@pytest.mark.parametrize("gate", [*STANDARD.values(), *OTHER_GATES], ids=lambda gate: gate.name)
def test_gate_is_read_as_qiskit_means_it(gate: Gate):
    """Values equal Qiskit's; derivatives equal central differences of Qiskit's values."""
    symbols = tuple(ParameterVector("θ", len(gate.params))) if gate in STANDARD.values() else ()
    drawn, random = QuantumCircuit(4), RANDOM(3)
    for qubit in range(4):
        drawn.u(*random.uniform(0, 3, 3), qubit)
    drawn.append(
        gate.base_class(*(2 * symbol + 1 for symbol in symbols)) if symbols else gate, range(gate.num_qubits)
    )
    for qubit in range(4):
        drawn.rx(0.3 + qubit, qubit)
    drawing = Drawing(drawn, (Operator(SparsePauliOp(["ZXYI", "YZXZ"], [0.5, -1.2])),), (), (symbols,), 0)
    program = program_of(drawing)
    parameters, inputs, axes = point(program, 1, 1)
    value, jacobian = derivatives(program, parameters, inputs, axes)
    assert value[0, 0] == pytest.approx(by_qiskit(drawing, parameters[0], (), ()), abs=ROUNDING)
    for k, shift in enumerate(1e-5 * np.eye(len(symbols))):
        above, below = (by_qiskit(drawing, parameters[0] + s, (), ()) for s in (shift, -shift))
        # h² E‴/6 is of the order of 1e-10, rounding 1e-15/h.
        assert jacobian[0, 0, k] == pytest.approx((above - below) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("observable", ["Z0", "Z3", "Z1 Z2", "X0", "X1 X3"])
@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_live_parameter_has_a_gradient_somewhere_and_a_dead_one_nowhere(ansatz: str, observable: str):
    program = circuit(4, 3, ansatz=ansatz, observable=observable)
    _, jacobian = derivatives(program, *point(program, 64, 1))
    largest = np.abs(jacobian).max((0, 1))
    np.testing.assert_array_equal(largest == 0.0, program.dead)
    assert np.all(largest[~program.dead] > 1e-3)


# Closed forms.


def test_expectation_of_deep_random_circuits_varies_as_for_haar_unitaries():
    """Var<O> = 1/(d+1)."""
    program = circuit(3, 60, ansatz="random-pauli", observable="Z0 Z1")
    square = BatchedProgram(program).expectation(*point(program, 4000, 1))[..., 0] ** 2
    standard_error = square.std() / math.sqrt(square.size)
    assert abs(square.mean() - 1 / 9) < 5 * standard_error


@pytest.mark.parametrize(("qubits", "layers"), [(2, 40), (4, 80)])
def test_first_gradient_of_random_pauli_circuits_varies_as_mcclean_et_al_found(qubits: int, layers: int):
    """Var = d / [3(d²-1)] in the deep limit, O = Z1 Z2."""
    program = circuit(qubits, layers, ansatz="random-pauli", observable="Z0 Z1")
    _, jacobian = derivatives(program, *point(program, 3000, 1))
    square = jacobian[:, 0, 0] ** 2
    standard_error = square.std() / math.sqrt(square.size)
    dimension = 2**qubits
    assert abs(square.mean() - dimension / (3 * (dimension**2 - 1))) < 5 * standard_error


# The sums of a shard.


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy", "hinge", "linear", "expectation"])
def test_gradient_sums_are_those_of_the_samples(loss: str):
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 3, 11)
    total = ADJOINT.prepare(program, loss, 2).gradient(parameters, part)
    value, jacobian = derivatives(program, parameters, part.inputs, part.axes)
    sample_loss, slope = value_and_slope(loss, "expectation", value[..., None], part.targets, 2)
    gradients, p = slope * jacobian, part.weights
    expected = {
        "weight": p.sum(-1),
        "loss": (p * sample_loss).sum(-1),
        "gradient": (p[..., None] * gradients).sum(1),
        "cost.executions": np.full(3, 11.0),
        "cost.shots": np.zeros(3),
        "cost.qpu_seconds": np.zeros(3),
        "moments.weight_square": (p * p).sum(-1),
        "moments.square": (p[..., None] * gradients**2).sum(1),
    }
    found = arrays(total)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        # Eleven summands, added in another order.
        np.testing.assert_allclose(found[name], array, rtol=1e-13, atol=1e-15, err_msg=name, strict=True)


def test_predict_gives_the_expectation_that_the_gradient_is_computed_at():
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 2, 5)
    ready = ADJOINT.prepare(program, "expectation", 0)
    prediction = ready.predict(parameters, part.inputs, part.axes)
    assert prediction.shape == (2, 5, 1)
    np.testing.assert_array_equal(
        ready.gradient(parameters, part).loss, (part.weights * prediction[..., 0]).sum(-1)
    )


def test_circuit_without_parameters_has_an_empty_gradient():
    drawn = QuantumCircuit(1)
    drawn.h(0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("X")),), (), (), 0))
    total = ADJOINT.prepare(program, "expectation", 0).gradient(*shard(program, 2, 1))
    assert total.gradient.shape == (2, 0)
    np.testing.assert_allclose(total.loss, 1.0, rtol=ROUNDING)


def test_parameter_that_is_not_finite_spoils_its_own_row_only():
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 4, 3)
    ready = ADJOINT.prepare(program, "mse", 2)
    clean = ready.gradient(parameters, part)
    parameters[1, ~program.dead] = math.inf
    total = ready.gradient(parameters, part)
    assert not np.isfinite(total.loss[1])
    others = [0, 2, 3]
    np.testing.assert_array_equal(total.gradient[others], clean.gradient[others])


def test_adjoint_takes_circuits_only_and_backprop_networks_only():
    network = Mlp.parse({"kind": "mlp", "hidden": [2], "activation": "relu", "output": "linear"}).build(2, 0)
    program = circuit()
    assert ADJOINT.differentiates(program)
    assert not ADJOINT.differentiates(network)
    assert not Backprop(engine="backprop").differentiates(program)
    for use in (
        lambda: ADJOINT.prepare(network, "mse", 0),
        lambda: ADJOINT.shard_bytes(network, 1, 1),
        lambda: ADJOINT.certify(network, 0),
    ):
        with pytest.raises(InputError, match=r"gradient\.engine"):
            use()


def test_loss_that_does_not_go_with_an_expectation_value_is_refused():
    with pytest.raises(InputError, match="loss"):
        ADJOINT.prepare(circuit(3, 2, 3), "mse", 3)


# The same bits.


@given(row=st.integers(0, 256), samples=st.integers(1, 10), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_row_has_the_same_bits_alone_and_among_257(row: int, samples: int, seed: int):
    program = circuit(3, 2, 3, ansatz="random-pauli")
    parameters, part = shard(program, 257, samples, seed)
    ready = ADJOINT.prepare(program, "mse", 2)
    together = ready.gradient(parameters, part)
    one = slice(row, row + 1)
    own = Shard(part.inputs[one], part.targets[one], part.weights[one], part.axes[one])
    alone = ready.gradient(parameters[one], own)
    assert_same_bits(alone, rows_of(together, one))
    np.testing.assert_array_equal(
        ready.predict(parameters[one], own.inputs, own.axes),
        ready.predict(parameters, part.inputs, part.axes)[one],
    )


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two CPUs")
def test_bits_do_not_depend_on_the_number_of_threads():
    program = circuit(4, 3, 4)
    parameters, part = shard(program, 5, 37)
    ready, threads = ADJOINT.prepare(program, "mse", 2), numba.get_num_threads()
    totals = []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            totals.append(ready.gradient(parameters, part))
    finally:
        numba.set_num_threads(threads)
    assert_same_bits(*totals)


@given(st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=15, deadline=None)
def test_sample_has_the_same_bits_however_the_batch_is_cut(cuts: list[int]):
    program = circuit(3, 2, 3)
    parameters, inputs, axes = point(program, 3, 40)
    value, jacobian = derivatives(program, parameters, inputs, axes)
    bounds = [0, *sorted(cuts), 40]
    for start, stop in pairwise(bounds):
        if start < stop:
            piece = derivatives(program, parameters, inputs[:, start:stop], axes)
            np.testing.assert_array_equal(piece[0], value[:, start:stop])
            np.testing.assert_array_equal(piece[1], jacobian[:, start:stop])


def test_bits_do_not_depend_on_how_much_of_the_jacobian_is_held(monkeypatch: pytest.MonkeyPatch):
    program = circuit(3, 2, 3)
    parameters, part = shard(program, 5, 13)
    ready = ADJOINT.prepare(program, "mse", 2)
    whole = ready.gradient(parameters, part)
    monkeypatch.setattr(differentiator, "JACOBIAN_BYTES", 11 * 8 * program.parameters)
    assert_same_bits(ready.gradient(parameters, part), whole)


def test_kernel_is_compiled_once_for_all_circuits_and_arrays():
    for program in (circuit(2, 1), circuit(3, 2, 3, ansatz="random-pauli")):
        parameters, part = shard(program, 2, 3)
        ready = ADJOINT.prepare(program, "mse", 2)
        writable = ready.gradient(parameters, part)
        for array in (parameters, part.inputs, part.targets, part.weights, part.axes):
            array.setflags(write=False)
        assert_same_bits(ready.gradient(np.asfortranarray(parameters), part), writable)
    double = [one for one in kernel.evaluate.signatures if "float64" in str(one[0])]  # not complex64's
    assert len(double) == len(over_samples.add_moments.signatures) == 1


# Memory.


def test_shard_bytes_is_an_upper_bound_that_is_not_far_off():
    program = circuit(10, 2, 10)
    parameters, part = shard(program, 30, 40)
    ready = ADJOINT.prepare(program, "mse", 2)
    ready.gradient(parameters, part)
    tracemalloc.start()
    ready.gradient(parameters, part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= ADJOINT.shard_bytes(program, 30, 40) <= 2 * peak


def test_shard_bytes_of_sixty_qubits_is_computed_without_allocating():
    assert ADJOINT.shard_bytes(circuit(60, 2), 1, 1) > 2**60 * 2 * 16
