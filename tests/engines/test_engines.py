"""The contract of the circuit engines: the same circuits, the same numbers, whatever engine and backend."""

import math
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.backends import aerbackend
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error
from random_circuits import drawings
from sums import arrays, assert_close, assert_same_bits, rows_of

from orchestrator.api.placing import Where
from orchestrator.api.running import open_run, run
from orchestrator.backends.aer import adjoint as aer_adjoint
from orchestrator.backends.aer.backend import Aer
from orchestrator.backends.aer.bound import BoundAdjoint
from orchestrator.backends.aer.gates import append, operator
from orchestrator.backends.aer.noise import Noise
from orchestrator.backends.aer.simulator import no_gpu, options, run_options, simulator
from orchestrator.backends.aer.simulator import run as run_on_aer
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import GradientSum, Shard
from orchestrator.engines.measured import meter
from orchestrator.engines.measured.loss import fewest_shots
from orchestrator.errors import InputError
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.gates import NONE, Gate, Opcode, RotationAxis
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read
from orchestrator.runs.digest import digest
from orchestrator.streams import Purpose, Streams
from orchestrator.tables.statistics import step_statistics
from orchestrator.training.recorder import recorded

EXACT = 1e-10
DIFFERENCES = 1e-8
"""Central differences with h = 1e-5: rounding of about 1e-16/h, and h²E'''/6 for doubled angles."""

AER: dict[str, Any] = {"kind": "aer"}


def engine(name: str, **others: Any) -> Engine:
    return discover(Engine)[f"engine={name}"].parse({"engine": name, **others})


def ansatz(name: str, features: int = 2, qubits: int = 3, observable: Any = "Z2 Y1 X0") -> Program:
    settings = {"kind": "circuit", "qubits": qubits, "layers": 2, "ansatz": name, "observable": observable}
    return Circuit.parse(settings).build(features, 2)


def awkward() -> Program:
    """Controlled rotations, shared and scaled angles, an input between them, two Pauli strings."""
    (x,), (a, b, c) = ParameterVector("x", 1), ParameterVector("θ", 3)
    drawn = QuantumCircuit(3)
    drawn.h(range(3))
    drawn.crx(a, 0, 1)
    drawn.cp(b, 1, 2)
    drawn.ry(2 * x + 0.3, 2)
    drawn.crz(-0.5 * a + 0.2, 2, 0)
    drawn.rzz(b, 0, 1)
    drawn.cry(c, 0, 2)
    drawn.ry(2 * a, 1)
    observable = SparsePauliOp(["ZYI", "IXX"], [0.75, -0.5])
    drawing = Drawing(drawn, (Operator(observable),), (x,), ((a, b, c),), 0)
    return read(lambda: drawing, "awkward")


CIRCUITS = {
    "efficient-su2": ansatz("efficient-su2"),
    "random-pauli": ansatz("random-pauli"),
    "awkward": awkward(),
}


def part(program: Program, rows: int = 3, samples: int = 3, seed: int = 0) -> tuple[np.ndarray, Shard]:
    """Random parameters and a shard of two classes with uneven weights."""
    random = np.random.default_rng(seed)
    weights = random.uniform(0.5, 1.5, (rows, samples))
    shard = Shard(
        random.uniform(0.0, math.pi, (rows, samples, program.inputs)),
        random.integers(0, 2, (rows, samples)).astype(float),
        weights / weights.sum(-1, keepdims=True),
        random.integers(0, 3, (rows, program.axes), dtype=np.int8),
        Streams(np.arange(rows) + 10 * seed, 5),
    )
    return random.uniform(0.0, 2.0 * math.pi, (rows, program.parameters)), shard


def take(shard: Shard, rows: slice) -> Shard:
    arrays = (shard.inputs[rows], shard.targets[rows], shard.weights[rows], shard.axes[rows])
    streams = Streams(shard.streams.seeds[rows], shard.streams.steps[rows])
    return Shard(*arrays, streams, shard.number)


def repeated(shard: Shard, times: int) -> Shard:
    """One row many times, with a seed for each."""
    arrays = (np.repeat(a, times, 0) for a in (shard.inputs, shard.targets, shard.weights, shard.axes))
    return Shard(*arrays, Streams(np.arange(times), 3), 1)


def twice(shard: Shard) -> Shard:
    """All rows and their seeds, twice."""
    arrays = (
        np.tile(a, (2,) + (1,) * (a.ndim - 1))
        for a in (shard.inputs, shard.targets, shard.weights, shard.axes)
    )
    return Shard(
        *arrays, Streams(np.tile(shard.streams.seeds, 2), np.tile(shard.streams.steps, 2)), shard.number
    )


def gradient(engine: Engine, program: Program, parameters, shard: Shard, loss: str = "mse") -> GradientSum:
    return engine.prepare(program, loss, 2).gradient(parameters, shard)


# Exact: every engine and backend against every other.

EXACT_ENGINES = {
    "adjoint": engine("adjoint"),
    "adjoint-aer": engine("adjoint", backend=AER),
    "shift": engine("parameter-shift"),
    "shift-aer": engine("parameter-shift", backend=AER),
    "shift-aer-density": engine("parameter-shift", backend={**AER, "method": "density_matrix"}),
    "shift-aer-mps": engine("parameter-shift", backend={**AER, "method": "matrix_product_state"}),
    "difference": engine("finite-difference"),
    "difference-aer": engine("finite-difference", backend=AER),
}


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_exact_engines_agree(circuit: str):
    program = CIRCUITS[circuit]
    parameters, shard = part(program)
    totals = {name: gradient(one, program, parameters, shard) for name, one in EXACT_ENGINES.items()}
    for (name, one), (other_name, other) in combinations(totals.items(), 2):
        error = DIFFERENCES if "difference" in name + other_name else EXACT
        for field, value in arrays(one).items():
            if field != "cost.executions":
                expected, message = arrays(other)[field], f"{field}: {name}, {other_name}"
                np.testing.assert_allclose(value, expected, rtol=0.0, atol=error, err_msg=message)


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy", "hinge", "linear", "expectation"])
def test_exact_engines_agree_on_every_loss(loss: str):
    program = CIRCUITS["awkward"]
    parameters, shard = part(program)
    expected = gradient(engine("adjoint"), program, parameters, shard, loss)
    for backend in ({"kind": "batched"}, AER):
        found = gradient(engine("parameter-shift", backend=backend), program, parameters, shard, loss)
        for field in ("loss", "gradient", "moments.square"):
            np.testing.assert_allclose(arrays(found)[field], arrays(expected)[field], rtol=0.0, atol=EXACT)


def test_aer_predicts_what_the_batched_kernel_predicts():
    program = CIRCUITS["awkward"]
    parameters, shard = part(program)
    one, other = (
        engine(name, backend=backend).prepare(program, "mse", 2).predict(parameters, shard.inputs, shard.axes)
        for name, backend in (("parameter-shift", AER), ("spsa", {"kind": "batched", "shots": 10}))
    )
    np.testing.assert_allclose(one, other, rtol=0.0, atol=EXACT)


def test_circuit_in_which_nothing_varies_is_evaluated():
    drawn = QuantumCircuit(1)
    drawn.rx(0.3, 0)
    program = read(lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (), 0), "fixed")
    parameters, shard = part(program)
    for one in EXACT_ENGINES.values():
        total = gradient(one, program, parameters, shard, "expectation")
        assert total.gradient.shape == (3, 0)
        np.testing.assert_allclose(total.loss, math.cos(0.3), rtol=EXACT)


def test_spsa_has_the_gradient_as_its_mean_over_directions():
    program = CIRCUITS["awkward"]
    parameters, shard = part(program, rows=1, samples=2)
    many, shard = np.repeat(parameters, 2000, 0), repeated(shard, 2000)
    found = gradient(engine("spsa", step=1e-4), program, many, shard)  # so that c² is far below the error
    assert_zero_on_average(found.gradient - gradient(engine("adjoint"), program, many, shard).gradient)
    assert found.noise is None


def test_spsa_of_a_mini_batch_does_not_depend_on_its_shards():
    program, spsa = CIRCUITS["awkward"], engine("spsa", directions=2)
    parameters, shard = part(program, samples=4)
    halves = [
        replace(
            shard,
            inputs=shard.inputs[:, h],
            targets=shard.targets[:, h],
            weights=shard.weights[:, h],
            number=n,
        )
        for n, h in enumerate((slice(0, 2), slice(2, 4)))
    ]
    total = reduce(add, (gradient(spsa, program, parameters, half) for half in halves))
    whole = gradient(spsa, program, parameters, shard)
    np.testing.assert_allclose(total.gradient, whole.gradient, rtol=0.0, atol=EXACT)


@given(drawings(), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_exact_engines_agree_on_random_circuits(drawing: Drawing, seed: int):
    program = read(lambda: drawing, "random")
    parameters, shard = part(program, 2, 3, seed)
    expected = gradient(EXACT_ENGINES["adjoint"], program, parameters, shard)
    for name in ("adjoint-aer", "shift", "shift-aer"):
        found = gradient(EXACT_ENGINES[name], program, parameters, shard)
        for field in ("loss", "gradient", "moments.square"):
            # Squares reach 1e3: up to 20 gates of scale 2 share a parameter.
            np.testing.assert_allclose(arrays(found)[field], arrays(expected)[field], rtol=EXACT, atol=EXACT)


@given(drawings(curved=True), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_derivatives_on_aer_agree_on_random_circuits_with_any_angles(drawing: Drawing, seed: int):
    program = read(lambda: drawing, "random")
    parameters, shard = part(program, 2, 3, seed)
    expected = derivatives(BatchedProgram(program), parameters, shard)
    for ready in (Aer.parse(AER).adjoint(program), bound(program)):
        for one, other in zip(derivatives(ready, parameters, shard), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0.0, atol=EXACT)


def test_adjoint_on_aer_cuts_a_batch_that_is_too_large_for_one_state(monkeypatch: pytest.MonkeyPatch):
    program = CIRCUITS["awkward"]
    parameters, shard = part(program, samples=7)
    whole = gradient(EXACT_ENGINES["adjoint-aer"], program, parameters, shard)
    monkeypatch.setattr(aer_adjoint, "_LARGEST_STATE", 5)  # three qubits, the ancilla, two samples
    cut = gradient(EXACT_ENGINES["adjoint-aer"], program, parameters, shard)
    np.testing.assert_allclose(cut.gradient, whole.gradient, rtol=0.0, atol=EXACT)


@pytest.mark.parametrize(
    "backend", [{"kind": "batched", "shots": 10}, {**AER, "shots": 10}, {**AER, "method": "density_matrix"}]
)
def test_adjoint_needs_statevectors(backend: dict[str, Any]):
    with pytest.raises(ConfigError, match="use engine: parameter-shift"):
        engine("adjoint", backend=backend)


@pytest.mark.parametrize("name", ["parameter-shift", "finite-difference", "spsa"])
def test_shard_bytes_is_an_upper_bound_that_is_not_far_off(name: str):
    program, one = ansatz("efficient-su2", features=6, qubits=6), engine(name)
    parameters, shard = part(program, 20, 40)
    ready = one.prepare(program, "mse", 2)
    ready.gradient(parameters, shard)
    tracemalloc.start()
    ready.gradient(parameters, shard)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= one.shard_bytes(program, 20, 40) <= 3 * peak


# Shots.

SHOTS = {"kind": "batched", "shots": 50}
SAMPLED_ENGINES: dict[str, dict[str, Any]] = {
    "parameter-shift": {},
    "finite-difference": {"step": 0.4},
    "spsa": {"step": 0.4, "directions": 2},
}


@pytest.mark.parametrize("shots", [4, 10, 50])
@pytest.mark.parametrize("loss", ["mse", "linear", "expectation"])
@pytest.mark.parametrize("name", SAMPLED_ENGINES)
def test_shots_are_unbiased_and_know_their_variance(name: str, loss: str, shots: int):
    program, sampled = CIRCUITS["awkward"], {"kind": "batched", "shots": shots}
    parameters, shard = part(program, rows=1, samples=2)
    many, shard = np.repeat(parameters, 4000, 0), repeated(shard, 4000)
    exact = gradient(engine(name, **SAMPLED_ENGINES[name]), program, many, shard, loss)
    found = gradient(engine(name, **SAMPLED_ENGINES[name], backend=sampled), program, many, shard, loss)
    assert found.noise.gradient.any()
    for deviation in (
        found.loss - exact.loss,
        (found.loss - exact.loss) ** 2 - found.noise.loss,
        found.gradient - exact.gradient,
        (found.gradient - exact.gradient) ** 2 - found.noise.gradient,
    ):
        assert_zero_on_average(deviation)


@pytest.mark.parametrize("name", SAMPLED_ENGINES)
def test_few_shots_are_refused_with_mse_alone(name: str):
    program, few = CIRCUITS["awkward"], engine(name, backend={**SHOTS, "shots": 3})
    for loss in ("binary-cross-entropy", "hinge", "linear", "expectation"):
        few.fits(program, loss)
    with pytest.raises(InputError, match=r"gradient.backend.shots: is 3, must be 4 or more with loss: mse"):
        few.prepare(program, "mse", 2)
    engine(name, backend={**SHOTS, "shots": 4}).fits(program, "mse")
    engine(name).fits(program, "mse")
    assert fewest_shots("mse", "softmax") == 2  # to first order


@pytest.mark.parametrize("loss", ["mse", "linear"])
def test_variance_of_the_shift_rule_has_no_bias_however_few_the_shots(loss: str):
    program, sampled = CIRCUITS["awkward"], engine("parameter-shift", backend={**SHOTS, "shots": 4})
    parameters, shard = part(program, rows=1, samples=1)
    many, shard = np.repeat(parameters, 10_000, 0), repeated(shard, 10_000)
    found = gradient(sampled, program, many, shard, loss)
    exact = gradient(engine("adjoint"), program, many, shard, loss)
    assert_zero_on_average((found.gradient - exact.gradient) ** 2 - found.noise.gradient)


@pytest.mark.parametrize("loss", ["binary-cross-entropy", "hinge"])
def test_variance_of_a_biased_loss_is_that_of_repetitions_at_many_shots(loss: str):
    """The variance is of first order; for a cross-entropy it includes the spread of the slope."""
    program, sampled, repetitions = CIRCUITS["awkward"], {**SHOTS, "shots": 20_000}, 2000
    parameters, shard = part(program, rows=1, samples=1, seed=1)
    many, shard = np.repeat(parameters, repetitions, 0), repeated(shard, repetitions)
    exact = gradient(engine("adjoint"), program, many, shard, loss)
    found = gradient(engine("parameter-shift", backend=sampled), program, many, shard, loss)
    # a variance of N normal numbers has relative error sqrt(2/N): five times this, and terms of order 1/shots
    tolerance = 5.0 * math.sqrt(2.0 / repetitions) + 0.02
    for deviation, predicted in (
        (found.loss - exact.loss, found.noise.loss),
        (found.gradient - exact.gradient, found.noise.gradient),
    ):
        np.testing.assert_allclose(np.square(deviation).mean(0), predicted.mean(0), rtol=tolerance)


def turned() -> Program:
    """<Z> = cos θ."""
    drawn, theta = QuantumCircuit(1), Parameter("θ")
    drawn.ry(theta, 0)
    return read(lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), ((theta,),), 0), "turned")


@pytest.mark.parametrize("loss", ["expectation", "mse"])
@pytest.mark.parametrize("weights", [[1 / 7] * 7, [1 / 3] * 3, [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])
def test_shots_alone_make_neither_signal_nor_noise_of_samples(weights: list[float], loss: str):
    """Mini-batches of up to seven equal samples at θ = 0: ∇L is 0, and shots of E at ±π/2 scatter most."""
    sampled = engine("parameter-shift", backend={**SHOTS, "shots": 10}).prepare(turned(), loss, 2)
    p, rows = np.tile(weights, (4000, 1)), 4000
    shards = [
        Shard(
            np.zeros((rows, cut.shape[1], 0)),
            np.zeros(cut.shape),
            np.ascontiguousarray(cut),
            np.zeros((rows, 0), np.int8),
            Streams(np.arange(rows), 0),
            number,
        )
        for number, cut in enumerate((p[:, :2], p[:, 2:]))
    ]
    total = reduce(add, [sampled.gradient(np.zeros((rows, 1)), shard) for shard in shards])
    found = recorded(total, None, None, np.zeros((rows, 1)), None)
    training = sum(weight**2 for weight in weights) if len(weights) == 7 else 1 / 7
    steps = step_statistics(found, np.zeros(1, bool), training)
    assert_zero_on_average(steps["signal_square"])
    assert_zero_on_average(steps["noise_trace"])
    assert_zero_on_average(total.gradient[:, 0])


def assert_zero_on_average(deviation: np.ndarray) -> None:
    standard_error = deviation.std(0, ddof=1) / math.sqrt(len(deviation))
    assert np.all(np.abs(deviation.mean(0)) <= 5 * standard_error)


def test_shots_on_aer_are_those_on_the_batched_kernel():
    program = CIRCUITS["awkward"]
    parameters, shard = part(program)
    one, other = (
        gradient(engine("parameter-shift", backend={"kind": kind, "shots": 1000}), program, parameters, shard)
        for kind in ("aer", "batched")
    )
    # The same uniform numbers, and probabilities that differ by rounding errors only.
    assert_close(one, other, relative=0.0, absolute=EXACT)


def test_shots_and_executions_are_counted():
    program = CIRCUITS["awkward"]  # 11 trainable rotations, all in the light cone, and two Pauli strings
    parameters, shard = part(program, samples=4)
    rotations = int((program.live & (program.gates["parameter"] >= 0)).sum())
    total = gradient(engine("parameter-shift", backend=SHOTS), program, parameters, shard)
    np.testing.assert_array_equal(total.cost.executions, 4 * 2 * (2 * rotations + 1))
    np.testing.assert_array_equal(total.cost.shots, 50 * total.cost.executions)
    total = gradient(engine("spsa", directions=3), program, parameters, shard)
    np.testing.assert_array_equal(total.cost.executions, 4 * 7)
    np.testing.assert_array_equal(total.cost.shots, 0)


@pytest.mark.parametrize("loss", ["binary-cross-entropy", "cross-entropy"])
def test_cross_entropy_of_few_shots_is_finite_where_the_exact_one_is_not(loss: str):
    shard = Shard(
        np.zeros((1, 1, 0)), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 0), np.int8), Streams([0], 0)
    )
    sampled = engine("parameter-shift", backend={"kind": "batched", "shots": 20})
    total = gradient(sampled, turned(), np.full((1, 1), math.pi), shard, loss)
    assert total.loss[0] == pytest.approx(math.log(42))  # -log (0 + ½)/(20 + 1)
    assert np.isfinite(total.gradient).all()


def test_only_losses_that_are_neither_linear_nor_quadratic_are_biased_by_shots():
    biased = {"binary-cross-entropy", "cross-entropy", "hinge"}
    sampled, exact, model = engine("spsa", backend=SHOTS), engine("spsa"), rotations(1)
    for loss in ("mse", "linear", "expectation", *biased):
        assert sampled.biased(model, loss) == (loss in biased)
        assert not exact.biased(model, loss)


# The same bits.

BIT_ENGINES = {
    **EXACT_ENGINES,
    "shift-shots": engine("parameter-shift", backend=SHOTS),
    "shift-aer-shots": engine("parameter-shift", backend={**AER, "shots": 50}),
    "spsa-shots": engine("spsa", directions=3, backend=SHOTS),
}


@pytest.mark.parametrize("name", BIT_ENGINES)
def test_row_has_the_same_bits_alone_and_in_a_pack(name: str):
    assert_rows_keep_their_bits(BIT_ENGINES[name], CIRCUITS["random-pauli"])


def assert_rows_keep_their_bits(engine: Engine, program: Program) -> None:
    parameters, shard = part(program, rows=5, samples=3)
    together = gradient(engine, program, parameters, shard)
    for row in (0, 3):
        own = slice(row, row + 1)
        alone = gradient(engine, program, parameters[own], take(shard, own))
        assert_same_bits(alone, rows_of(together, own))


def test_bits_of_shots_depend_on_trial_step_and_shard():
    program, sampled = CIRCUITS["awkward"], engine("parameter-shift", backend=SHOTS)
    parameters, shard = part(program, rows=1)
    usual = gradient(sampled, program, parameters, shard)
    for changed in (
        replace(shard, number=1),
        replace(shard, streams=Streams([1], 5)),
        replace(shard, streams=Streams([0], 6)),
    ):
        assert np.all(gradient(sampled, program, parameters, changed).gradient != usual.gradient)


class Noting(Streams):
    """Notes the lanes that are drawn from."""

    def uniform(self, purpose: Purpose, count: int, lane: int = 0) -> np.ndarray:
        self.lanes = [*getattr(self, "lanes", ()), lane]
        return super().uniform(purpose, count, lane)


@pytest.mark.parametrize("name", SAMPLED_ENGINES)
def test_no_two_settings_of_a_mini_batch_share_shots(name: str):
    program, sampled = CIRCUITS["awkward"], engine(name, backend=SHOTS, **SAMPLED_ENGINES[name])
    parameters, shard = part(program, rows=1)
    shards = [replace(shard, number=k, streams=Noting([0], 5)) for k in range(3)]
    executions = [gradient(sampled, program, parameters, one).cost.executions[0] for one in shards]
    lanes = [lane for one in shards for lane in one.streams.lanes]
    assert len(set(lanes)) == len(lanes) == sum(executions) / shard.weights.shape[1]


def test_bits_do_not_depend_on_how_many_settings_a_call_has(monkeypatch: pytest.MonkeyPatch):
    program, sampled = CIRCUITS["awkward"], engine("parameter-shift", backend=SHOTS)
    parameters, shard = part(program)
    usual = gradient(sampled, program, parameters, shard)
    monkeypatch.setattr(meter, "CALL_BYTES", 1)
    assert_same_bits(gradient(sampled, program, parameters, shard), usual)


@pytest.mark.parametrize("name", BIT_ENGINES)
def test_parameter_that_is_not_finite_spoils_its_own_row_only(name: str):
    program = CIRCUITS["efficient-su2"]
    parameters, shard = part(program)
    clean = gradient(BIT_ENGINES[name], program, parameters, shard)
    parameters[1, 0] = math.inf
    total = gradient(BIT_ENGINES[name], program, parameters, shard)
    assert np.isnan(total.loss[1])
    np.testing.assert_array_equal(total.gradient[[0, 2]], clean.gradient[[0, 2]])


# Traps of Aer.


def test_controlled_rotations_on_aer_follow_their_parameters():
    """Bound at run time, they keep their unbound values in Aer, without a warning (qiskit-aer issue 2403)."""
    *thetas, last = ParameterVector("θ", 5)
    drawn = QuantumCircuit(2)
    drawn.h([0, 1])
    drawn.rx(last, 0)  # Aer binds this one; without it, Aer would report the others
    for gate, theta in zip((drawn.cp, drawn.crx, drawn.cry, drawn.crz), thetas, strict=True):
        gate(theta, 0, 1)
        drawn.ry(0.4, 0)
    program = read(
        lambda: Drawing(drawn, (Operator(SparsePauliOp("ZX")),), (), ((*thetas, last),), 0), "controlled"
    )
    parameters, shard = part(program, rows=4, samples=1)
    found = Aer(kind="aer").prepare(program).expectation(parameters, shard.inputs, shard.axes)[..., 0]
    bound = [Statevector(drawn.assign_parameters(row)) for row in parameters]
    expected = [state.expectation_value(SparsePauliOp("ZX")).real for state in bound]
    np.testing.assert_allclose(found[:, 0], expected, rtol=0.0, atol=EXACT)


def test_phases_on_aer_are_right_where_fusion_would_spoil_them():
    """Fusion, active from 14 qubits on, flips the sign of <YZ…Z> after these gates (qiskit-aer issue 2245).

    Aer gets these gates unchanged: as rotations of a program, fusion treats them correctly.
    """
    drawn = QuantumCircuit(15)
    drawn.h(0)
    drawn.cx(1, 0)
    drawn.x(0)
    drawn.s(0)
    drawn.x(0)
    observable = SparsePauliOp.from_sparse_list([("Y" + 14 * "Z", range(15), 1.0)], num_qubits=15)
    expected = Statevector(drawn).expectation_value(observable).real
    drawn.save_expectation_value(observable, drawn.qubits, label="value")
    found = run_on_aer(simulator("CPU", "statevector"), drawn).data(0)["value"]
    assert found == pytest.approx(expected, abs=EXACT)


def test_shots_on_aer_do_not_depend_on_the_position_in_the_call():
    """Aer seeds element i of a call with seed + 2113 i; a trial's counts must not depend on i."""
    program, sampled = CIRCUITS["awkward"], engine("parameter-shift", backend={**AER, "shots": 100})
    parameters, shard = part(program, rows=1)
    first = gradient(sampled, program, parameters, shard)
    both = gradient(sampled, program, np.repeat(parameters, 2, 0), twice(shard))
    np.testing.assert_array_equal(both.gradient, np.repeat(first.gradient, 2, 0))


# Noise.


def rotations(layers: int) -> Program:
    """RX gates on one qubit, one after another; Z is measured."""
    drawn, thetas = QuantumCircuit(1), tuple(ParameterVector("θ", layers))
    for theta in thetas:
        drawn.rx(theta, 0)
    return read(lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (thetas,), 0), "rotations")


def noisy(**noise: float) -> dict[str, Any]:
    return {**AER, "method": "density_matrix", "noise": noise}


def test_depolarizing_noise_shrinks_the_gradient_by_the_same_factor_after_each_gate():
    """<Z> = (1-λ)^L cos Σθ (Wang et al. 2021, arXiv 2007.14384, where it is an equality)."""
    program = rotations(5)
    parameters, shard = part(program, samples=1)
    noise = engine("parameter-shift", backend=noisy(depolarizing=0.1))
    total, angle = gradient(noise, program, parameters, shard, "expectation"), parameters.sum(-1)
    np.testing.assert_allclose(total.loss, 0.9**5 * np.cos(angle), rtol=0.0, atol=EXACT)
    expected = np.repeat(-(0.9**5) * np.sin(angle)[:, None], 5, 1)
    np.testing.assert_allclose(total.gradient, expected, rtol=0.0, atol=EXACT)


def test_amplitude_damping_pulls_towards_the_ground_state():
    program = rotations(1)
    parameters, shard = part(program, samples=1)
    damped = engine("parameter-shift", backend=noisy(amplitude_damping=0.3))
    total = gradient(damped, program, parameters, shard, "expectation")
    np.testing.assert_allclose(total.loss, 0.3 + 0.7 * np.cos(parameters[:, 0]), rtol=0.0, atol=EXACT)


def test_amplitude_damping_lets_gates_matter_that_ideally_do_not():
    """ZZ after a CX acts as Z on the target alone, but not if the qubits decay in between."""
    drawn, theta = QuantumCircuit(2), Parameter("θ")
    drawn.ry(theta, 0)
    drawn.cx(0, 1)
    program = read(lambda: Drawing(drawn, (Operator(SparsePauliOp("ZZ")),), (), ((theta,),), 0), "damped")
    assert program.dead.all()
    parameters, shard = part(program, samples=1)
    damped = gradient(
        engine("parameter-shift", backend=noisy(amplitude_damping=0.3)),
        program,
        parameters,
        shard,
        "expectation",
    )
    difference = engine("finite-difference", backend=noisy(amplitude_damping=0.3))
    expected = gradient(difference, program, parameters, shard, "expectation")
    assert np.all(np.abs(damped.gradient) > 1e-3)
    np.testing.assert_allclose(damped.gradient, expected.gradient, rtol=0.0, atol=DIFFERENCES)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_noise_after_gates_is_that_of_an_aer_noise_model(circuit: str):
    program = CIRCUITS[circuit]
    parameters, shard = part(program, rows=1, samples=1)
    backend = Aer.parse(noisy(depolarizing=0.02, amplitude_damping=0.05))
    found = backend.prepare(program).expectation(parameters, shard.inputs, shard.axes)[0, 0, 0]
    after_gate = depolarizing_error(0.02, 1).compose(amplitude_damping_error(0.05))
    model = NoiseModel()
    model.add_all_qubit_quantum_error(after_gate, ["rx", "ry", "rz"])
    model.add_all_qubit_quantum_error(after_gate.tensor(after_gate), ["cx", "cz"])
    drawn = QuantumCircuit(program.qubits)
    for record in program.gates:
        gate = Gate(*record.item())
        angle = gate.offset
        angle += gate.scale * parameters[0, gate.parameter] if gate.parameter != NONE else 0.0
        angle += gate.scale * shard.inputs[0, 0, gate.input] if gate.input != NONE else 0.0
        axis = shard.axes[0, gate.axis - RotationAxis.DRAWN] if gate.axis >= RotationAxis.DRAWN else gate.axis
        append(drawn, gate, *([(axis, angle)] if gate.opcode == Opcode.ROTATION else []))
    drawn.save_expectation_value(
        operator(program.observables[0].terms, program.qubits), range(program.qubits)
    )
    result = (
        AerSimulator(method="density_matrix", noise_model=model, max_parallel_threads=1).run(drawn).result()
    )
    assert found == pytest.approx(result.data(0)["expectation_value"], abs=EXACT)


def test_readout_errors_shrink_a_pauli_string_once_for_each_of_its_qubits():
    program = CIRCUITS["efficient-su2"]  # three qubits are measured
    parameters, shard = part(program)
    ideal = gradient(engine("parameter-shift"), program, parameters, shard, "expectation")
    read_out = engine("parameter-shift", backend={**AER, "noise": {"readout": 0.1}})
    total = gradient(read_out, program, parameters, shard, "expectation")
    np.testing.assert_allclose(total.gradient, 0.8**3 * ideal.gradient, rtol=0.0, atol=EXACT)


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state"])
def test_noise_after_gates_needs_a_density_matrix(method: str):
    with pytest.raises(ConfigError, match="use method: density_matrix"):
        Aer.parse({**AER, "method": method, "noise": {"depolarizing": 0.1}})


# Devices.


def test_gpu_runs_all_bindings_as_one_batch_on_one_card():
    chosen = options("GPU", "statevector")
    assert chosen["runtime_parameter_bind_enable"]
    assert chosen["batched_shots_gpu"]
    assert not chosen["cuStateVec_enable"]
    assert not chosen["fusion_enable"]
    assert chosen["shots"] == 1
    assert run_options("GPU") == {"target_gpus": [0]}
    for name, value in chosen.items():  # Aer takes them without a GPU, too
        assert getattr(simulator("GPU", "statevector").options, name) == value


def test_cpu_binds_before_the_run_and_computes_on_one_thread():
    assert options("CPU", "statevector") == {
        "device": "CPU",
        "method": "statevector",
        "max_parallel_threads": 1,
        "fusion_enable": False,
        "shots": 1,
    }
    assert run_options("CPU") == {}


@pytest.mark.parametrize("device", ["CPU", "GPU"])
def test_options_of_a_run_reach_aer(device: str, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    taken = aerbackend.generate_aer_config
    monkeypatch.setattr(
        aerbackend, "generate_aer_config", lambda *args, **kw: asked.append(taken(*args, **kw)) or asked[-1]
    )
    circuit = QuantumCircuit(1)
    circuit.save_statevector()
    with suppress(RuntimeError):  # there may be no GPU
        run_on_aer(simulator(device, "statevector"), circuit)
    assert (asked[0].device, asked[0].target_gpus) == (device, [0] if device == "GPU" else [])


@pytest.mark.skipif(not no_gpu(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["adjoint", "parameter-shift"])
def test_missing_gpu_is_refused_where_it_would_compute_with_the_way_out(name: str):
    """The plan does not refuse it: a cluster may have a GPU."""
    wanting = engine(name, backend={**AER, "device": "GPU"})
    assert wanting.gpus == 1
    for refused in (wanting.check, lambda: wanting.prepare(CIRCUITS["awkward"], "mse", 2)):
        with pytest.raises(InputError, match=r"gradient\.backend\.device: .*Aer offers CPU.*qiskit-aer-gpu"):
            refused()


def test_matrix_products_are_not_for_a_gpu():
    with pytest.raises(ConfigError, match="runs on CPUs only"):
        Aer.parse({**AER, "device": "GPU", "method": "matrix_product_state"})


ON_AER: dict[str, tuple[str, dict[str, Any]]] = {
    "adjoint": ("adjoint", {}),
    "shift": ("parameter-shift", {}),
    "shift-density": ("parameter-shift", {"method": "density_matrix"}),
    "shift-shots": ("parameter-shift", {"shots": 50}),
    "spsa-shots": ("spsa", {"shots": 50}),
    "difference": ("finite-difference", {}),
}


@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize("name", ON_AER)
@pytest.mark.parametrize("device", DEVICES)
def test_aer_gives_the_numbers_of_the_kernel_on_every_device(device: str, name: str, circuit: str):
    program, (kind, options) = CIRCUITS[circuit], ON_AER[name]
    parameters, shard = part(program)
    on_aer = engine(kind, backend={**AER, "device": device, **options})
    shots = {key: value for key, value in options.items() if key == "shots"}
    here = engine(kind, backend={"kind": "batched", **shots})
    found, expected = (gradient(one, program, parameters, shard) for one in (on_aer, here))
    error = DIFFERENCES if name == "difference" else EXACT
    assert_close(found, expected, relative=0.0, absolute=error)


@pytest.mark.parametrize("name", ON_AER)
@pytest.mark.parametrize("device", DEVICES)
def test_row_on_aer_has_the_same_bits_alone_and_in_a_pack_on_every_device(device: str, name: str):
    program, (kind, options) = CIRCUITS["random-pauli"], ON_AER[name]
    assert_rows_keep_their_bits(engine(kind, backend={**AER, "device": device, **options}), program)


# The adjoint scheme of GPUs, on a CPU.


def bound(program: Program, runtime: bool = True) -> BoundAdjoint:
    """The program with its angles bound at run time, as on a GPU, or before."""
    ready = simulator("CPU", "statevector")
    ready.set_options(runtime_parameter_bind_enable=runtime)
    return BoundAdjoint(program, ready, Noise(), program.live)


def derivatives(ready: Any, parameters: np.ndarray, shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    """E [N] and dE/dθ [N, P] of all samples."""
    parts = list(ready.parts(parameters, shard.inputs, shard.axes))
    return tuple(np.concatenate([getattr(p, name) for p in parts]) for name in ("expectation", "derivative"))


@pytest.mark.parametrize("runtime", [True, False])
@pytest.mark.parametrize("circuit", [*CIRCUITS, "projector", "identity"])
def test_adjoint_by_bindings_gives_the_derivatives_of_the_kernel(
    circuit: str, runtime: bool, monkeypatch: pytest.MonkeyPatch
):
    observables = {"projector": {"zero-projector": 0.5, "Y0 X2": 0.25}, "identity": {"I": 0.5, "Z1": 0.5}}
    program = CIRCUITS.get(circuit) or ansatz("efficient-su2", observable=observables[circuit])
    parameters, shard = part(program)
    monkeypatch.setattr("orchestrator.backends.aer.bound.BINDINGS", 4)  # parts end inside a row
    found = derivatives(bound(program, runtime), parameters, shard)
    for one, other in zip(found, derivatives(BatchedProgram(program), parameters, shard), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.0, atol=EXACT)


def test_adjoint_by_bindings_weighs_several_observables_as_the_kernel_does():
    written = {"observables": ["Z0", {"X1": 0.5, "zero-projector": 0.5}], "readout": "softmax"}
    program = Circuit.parse({"kind": "circuit", "qubits": 3, "layers": 2, **written}).build(2, 2)
    parameters, shard = part(program)
    cotangents = np.random.default_rng(0).normal(size=(3, 3, 2))
    for field in ("expectation", "derivative"):
        one, other = (
            np.concatenate([getattr(p, field) for p in ready.parts(*point, cotangents)])
            for point in [(parameters, shard.inputs, shard.axes)]
            for ready in (bound(program), BatchedProgram(program))
        )
        np.testing.assert_allclose(one, other, rtol=0.0, atol=EXACT)


def test_adjoint_by_bindings_leaves_alone_what_is_beside_a_value_that_is_not_finite():
    program = CIRCUITS["efficient-su2"]
    parameters, shard = part(program)
    clean, parameters[1, 0] = derivatives(bound(program), parameters, shard), math.inf
    for one, other in zip(derivatives(bound(program), parameters, shard), clean, strict=True):
        assert np.isnan(one[3:6]).all()
        np.testing.assert_array_equal(np.delete(one, slice(3, 6), 0), np.delete(other, slice(3, 6), 0))


def test_adjoint_by_bindings_takes_a_circuit_in_which_nothing_varies():
    drawn = QuantumCircuit(1)
    drawn.rx(0.3, 0)
    program = read(lambda: Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (), 0), "fixed")
    value, jacobian = derivatives(bound(program), *part(program))
    np.testing.assert_allclose(value, math.cos(0.3), rtol=EXACT)
    assert jacobian.shape == (9, 0)


def test_bytes_of_adjoint_by_bindings_are_an_upper_bound_that_is_not_far_off():
    program = ansatz("efficient-su2", features=6, qubits=6)
    parameters, shard = part(program, 20, 40)
    ready = bound(program)
    derivatives(ready, parameters, shard)
    tracemalloc.start()
    derivatives(ready, parameters, shard)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= Aer.parse({**AER, "device": "GPU"}).adjoint_bytes(program, 20, 40) <= 4 * peak


# A whole sweep.

SWEEP = """\
name: sampled
base:
  data: {source: moons, rows: 40, noise: 0.2, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: mse
  gradient: {engine: spsa, backend: {kind: batched, shots: 20}}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 5, shards: 2}
  steps: 4
sweep:
  - cases:
      spsa: {}
      shift: {gradient: {engine: parameter-shift, backend: {kind: aer, shots: 20}}}
      biased: {loss: binary-cross-entropy}
      probe: {mode: probe, updates: []}
  - seed: {range: 3}
"""


def test_plan_refuses_too_few_shots_with_mse_where_they_stand(tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("seed: {range: 3}", "gradient.backend.shots: [4, 3]"))
    with pytest.raises(InputError) as caught:
        run(tmp_path / "sweep.yaml", tmp_path / "out", where=Where(inline=True))
    assert {(fault.path, fault.line) for fault in caught.value.faults} == {("gradient.backend.shots", 16)}
    assert all("is 3, must be 4 or more with loss: mse" in fault.message for fault in caught.value.faults)
    assert not (tmp_path / "out").exists()


def test_sweep_with_shots_has_the_same_bits_in_packs_and_chunks_of_any_size(tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    digests = set()
    for number, overrides in enumerate(([], ["placement.pack=1", "placement.chunk_steps=1"])):
        out = tmp_path / str(number)
        run(tmp_path / "sweep.yaml", out, where=Where(inline=True), overrides=overrides)
        digests.add(digest(open_run(out)).total)
    assert len(digests) == 1
    trials = open_run(out).trials.to_pylist()
    assert all(trial["bias"] == (trial["case"] == "biased") for trial in trials)
    assert all(trial["shots"] > 0 for trial in trials)
