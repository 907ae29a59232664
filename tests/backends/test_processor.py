"""Noise of a named processor, against Aer's own simulator of the processor, which samples measurements."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit.transpiler import InstructionProperties
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import fake_provider

from orchestrator.api.placing import Where
from orchestrator.api.running import open_run, run
from orchestrator.backends.aer.backend import Aer
from orchestrator.backends.aer.processor import Processor
from orchestrator.backends.aer.simulator import simulator
from orchestrator.backends.aer.transpiled import MeasuredString, simulated_qubits
from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Shard
from orchestrator.errors import InputError
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read
from orchestrator.runs.digest import digest
from orchestrator.streams import Streams
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Trial

MANILA = "FakeManilaV2"  # five qubits in a line; CX
ARMONK = "FakeArmonkV2"  # one qubit
ALMADEN = "FakeAlmadenV2"  # u1, u2, u3; CX
PEEKSKILL = "FakePeekskill"  # ECR
PRAGUE = "FakePrague"  # CZ
FRACTIONAL = "FakeFractionalBackend"  # RX by any angle

SHOTS = 200_000


def noisy(processor: str, **others: Any) -> dict[str, Any]:
    return {"kind": "aer", "method": "density_matrix", "noise": {"processor": processor}, **others}


def ring() -> tuple[QuantumCircuit, ParameterVector]:
    """A ring of three qubits with every kind of gate. On a line of qubits it needs swaps."""
    drawn, θ = QuantumCircuit(3), ParameterVector("θ", 6)
    for qubit in range(3):
        drawn.rx(θ[qubit], qubit)
        drawn.ry(θ[3 + qubit], qubit)
        drawn.rz(θ[2 - qubit], qubit)
    drawn.cx(0, 1)
    drawn.cz(1, 2)
    drawn.cx(2, 0)
    drawn.rx(0.3, 0)
    return drawn, θ


def program_of(drawn: QuantumCircuit, θ: ParameterVector, observable: SparsePauliOp) -> Program:
    return read(lambda: Drawing(drawn, (Operator(observable),), (), (tuple(θ),), 0), "drawn")


def expectation(program: Program, processor: str, parameters: np.ndarray) -> np.ndarray:
    """E [R] at parameters [R, P]."""
    inputs, axes = np.zeros((len(parameters), 1, 0)), np.zeros((len(parameters), 0), np.int8)
    return Aer.parse(noisy(processor)).prepare(program).expectation(parameters, inputs, axes)[:, 0, 0]


def points(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(0.0, 2.0 * math.pi, (count, width))


def engine(name: str, backend: dict[str, Any], **others: Any) -> Engine:
    return discover(Engine)[f"engine={name}"].parse({"engine": name, "backend": backend, **others})


def shard(rows: int) -> Shard:
    """One sample without features per row. A row's seed is its index."""
    one = np.ones((rows, 1))
    return Shard(np.zeros((rows, 1, 0)), one, one, np.zeros((rows, 0), np.int8), Streams(np.arange(rows), 0))


# Numbers.


@cache
def aers_own(processor: str) -> AerSimulator:
    return AerSimulator.from_backend(getattr(fake_provider, processor)(), method="density_matrix")


def sampled(drawn: QuantumCircuit, string: str, simulator: AerSimulator, points: np.ndarray) -> np.ndarray:
    """Means of a Pauli string over SHOTS, measured as a user of Qiskit would, at each point [R, P]."""
    measured, pauli = drawn.copy(), Pauli(string)
    qubits = [qubit for qubit in range(drawn.num_qubits) if pauli.x[qubit] or pauli.z[qubit]]
    for qubit in qubits:
        if pauli.x[qubit]:
            if pauli.z[qubit]:
                measured.sdg(qubit)
            measured.h(qubit)
    measured.add_bits(QuantumCircuit(0, len(qubits)).clbits)
    measured.measure(qubits, range(len(qubits)))
    physical = transpile(measured, simulator, optimization_level=1, seed_transpiler=0)
    parameters = sorted(drawn.parameters, key=lambda parameter: parameter.name)
    bound = [physical.assign_parameters(dict(zip(parameters, point, strict=True))) for point in points]
    counts = simulator.run(bound, shots=SHOTS, seed_simulator=5).result().get_counts()
    return np.array(
        [sum(n * (-1) ** bits.count("1") for bits, n in of_point.items()) / SHOTS for of_point in counts]
    )


@pytest.mark.parametrize(
    ("processor", "string"),
    [
        (MANILA, "ZZZ"),
        (MANILA, "YIX"),
        *(pytest.param(MANILA, string, marks=pytest.mark.long) for string in ("ZII", "IIX", "XYZ")),
        pytest.param(ALMADEN, "IZZ", marks=pytest.mark.long),
        (ALMADEN, "YXI"),
        (PEEKSKILL, "XYZ"),
        (PRAGUE, "XYZ"),
        (FRACTIONAL, "XYZ"),
    ],
)
def test_expectation_is_what_aer_samples_on_the_same_processor(processor: str, string: str) -> None:
    drawn, θ = ring()
    at = points(4, len(θ))
    found = expectation(program_of(drawn, θ, SparsePauliOp(string)), processor, at)
    assert_sampled(found, sampled(drawn, string, aers_own(processor), at))


def assert_sampled(exact: np.ndarray, means: np.ndarray) -> None:
    assert np.all(np.abs(means - exact) < 5.0 * np.sqrt((1.0 - exact**2) / SHOTS))


def test_comparison_detects_the_noise_of_a_processor() -> None:
    """Without noise, the same numbers differ by some hundred standard errors."""
    drawn, θ = ring()
    program, at = program_of(drawn, θ, SparsePauliOp("ZZZ")), points(4, len(θ))
    ideal = Aer.parse({"kind": "aer"}).prepare(program)
    exact = ideal.expectation(at, np.zeros((4, 1, 0)), np.zeros((4, 0), np.int8))[:, 0, 0]
    assert np.abs(exact - expectation(program, MANILA, at)).max() > 0.1


def test_expectation_is_the_sum_over_its_strings_and_its_constant() -> None:
    drawn, θ = ring()
    at = points(2, len(θ))
    terms = {"III": 0.25, "XYZ": -0.5, "IZI": 0.75}
    whole = program_of(drawn, θ, SparsePauliOp(list(terms), list(terms.values())))
    parts = [
        c * expectation(program_of(drawn, θ, SparsePauliOp(string)), MANILA, at)
        for string, c in terms.items()
    ]
    np.testing.assert_allclose(expectation(whole, MANILA, at), sum(parts), rtol=0.0, atol=1e-14)


def test_rotation_about_z_has_only_the_noise_of_the_readout() -> None:
    """<Z> of |0> is 1 - 2p, with p the probability of a wrong bit. RZ is virtual on these processors."""
    drawn, θ = QuantumCircuit(1), ParameterVector("θ", 1)
    drawn.rz(θ[0], 0)
    wrong = fake_provider.FakeArmonkV2().properties().readout_error(0)
    found = expectation(program_of(drawn, θ, SparsePauliOp("Z")), ARMONK, points(3, 1))
    assert wrong > 0.01
    np.testing.assert_allclose(found, 1.0 - 2.0 * wrong, rtol=0.0, atol=1e-14)


class Readout(InstructionProperties):
    """A measurement that reads 1 for 0 with probability 0.05, and 0 for 1 with probability 0.2."""

    prob_meas1_prep0, prob_meas0_prep1 = 0.05, 0.2


def test_readout_may_be_wrong_more_often_for_one_bit_than_for_the_other() -> None:
    backend = GenericBackendV2(3, seed=1)
    for qubit in range(3):
        backend.target.update_instruction_properties("measure", (qubit,), Readout(1e-6, 0.1))
    drawn, θ = ring()
    program, at = program_of(drawn, θ, SparsePauliOp("XYZ")), points(4, len(θ))
    string = MeasuredString(
        program, program.observables[0].terms[0], simulator("CPU", "density_matrix"), Processor(backend)
    )
    found = string.expectation(at, np.zeros((4, 1, 0)), np.zeros((4, 0), np.int8))[:, 0, 0]
    assert_sampled(found, sampled(drawn, "XYZ", AerSimulator.from_backend(backend), at))


def test_circuit_in_which_nothing_varies_is_evaluated() -> None:
    drawn, none = QuantumCircuit(2), ParameterVector("θ", 0)
    drawn.x(0)
    found = expectation(program_of(drawn, none, SparsePauliOp("ZZ")), MANILA, np.zeros((3, 0)))
    assert found.shape == (3,)
    assert np.all((found > -1.0) & (found < -0.85))


def test_idle_qubits_of_the_processor_are_not_simulated() -> None:
    drawn, θ = ring()
    assert simulated_qubits(program_of(drawn, θ, SparsePauliOp("ZZZ")), PEEKSKILL) == 3
    model = Circuit.parse({"kind": "circuit", "qubits": 2, "layers": 1}).build(0, 0)
    assert simulated_qubits(model, PEEKSKILL) == 2


def test_memory_is_that_of_the_qubits_that_routing_needs() -> None:
    """The circuit is a ring of ten qubits. The processor's lattice has rings of twelve."""
    drawn, θ = QuantumCircuit(10), ParameterVector("θ", 10)
    for qubit in range(10):
        drawn.ry(θ[qubit], qubit)
    for qubit in range(10):
        drawn.cx(qubit, (qubit + 1) % 10)
    program = program_of(drawn, θ, SparsePauliOp("Z" * 10))
    qubits = simulated_qubits(program, PEEKSKILL)
    assert 10 < qubits < 27
    assert Aer.parse(noisy(PEEKSKILL)).bytes(program, 1) >= 16 * 4**qubits


# Gradients.


@pytest.mark.parametrize("processor", [MANILA, FRACTIONAL])
def test_parameter_shift_is_the_derivative_of_the_noisy_expectation(processor: str) -> None:
    drawn, θ = ring()  # θ_0 … θ_2 are shared by two rotations
    program = program_of(drawn, θ, SparsePauliOp(["XYZ", "IZI"], [0.5, 0.5]))
    at = points(2, len(θ))
    shift, difference = (
        engine(name, noisy(processor)).prepare(program, "expectation", 2).gradient(at, shard(2)).gradient
        for name in ("parameter-shift", "finite-difference")
    )
    # Central differences of step h = 1e-5: h²E'''/6 is about 1e-10, rounding 1e-16/h about 1e-11.
    np.testing.assert_allclose(shift, difference, rtol=0.0, atol=1e-7)
    assert np.abs(shift).max() > 0.1


def test_relaxation_lets_gates_outside_the_light_cone_matter() -> None:
    """ZZ after a CX is Z on the target before it, but not if the qubits relax in between."""
    drawn, θ = QuantumCircuit(2), ParameterVector("θ", 1)
    drawn.ry(θ[0], 0)
    drawn.cx(0, 1)
    program = program_of(drawn, θ, SparsePauliOp("ZZ"))
    assert program.dead.all()
    shift = engine("parameter-shift", noisy(MANILA)).prepare(program, "expectation", 2)
    assert np.all(np.abs(shift.gradient(points(2, 1), shard(2)).gradient) > 1e-4)


def test_shots_are_unbiased_and_their_variance_is_reported() -> None:
    drawn, θ = QuantumCircuit(1), ParameterVector("θ", 2)
    drawn.ry(θ[0], 0)
    drawn.rx(θ[1], 0)
    program, rows = program_of(drawn, θ, SparsePauliOp(["Y", "Z"], [0.75, 0.5])), 500
    exact, found = (
        engine("parameter-shift", noisy(ARMONK, **shots))
        .prepare(program, "mse", 2)
        .gradient(np.repeat(points(1, 2), count, 0), shard(count))
        for shots, count in (({}, 1), ({"shots": 50}, rows))
    )
    assert found.noise.gradient.all()
    for deviation in (
        found.loss - exact.loss,
        found.gradient - exact.gradient,
        (found.gradient - exact.gradient) ** 2 - found.noise.gradient,
    ):
        assert np.all(np.abs(deviation.mean(0)) <= 5.0 * deviation.std(0, ddof=1) / math.sqrt(rows))


def test_row_has_the_same_bits_alone_and_among_others() -> None:
    drawn, θ = ring()
    program, at = program_of(drawn, θ, SparsePauliOp("XYZ")), points(5, len(θ))
    together = expectation(program, MANILA, at)
    alone = [expectation(program, MANILA, at[row : row + 1])[0] for row in range(5)]
    np.testing.assert_array_equal(together, alone)


# Faults.


def trial(processor: str, **model: Any) -> Trial:
    return Trial.parse(
        {
            "model": {"kind": "circuit", "qubits": 2, "layers": 1, **model},
            "loss": "expectation",
            "gradient": {"engine": "parameter-shift", "backend": noisy(processor)},
            "updates": [{"optimizer": "sgd", "learning_rate": 0.1}],
            "steps": 1,
        }
    )


PATH = r"gradient\.backend\.noise\.processor: "


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (trial("FakeManila"), PATH + r"is \"FakeManila\"; did you mean FakeManilaV2 or"),
        (trial("ibm_q"), PATH + "is .*; legal: FakeAachen,"),
        (trial("FakeCairoV2", qubits=3), PATH + "is FakeCairoV2, for which Qiskit cannot transpile"),
        (trial(MANILA, qubits=6), PATH + "is FakeManilaV2, which has 5 qubits; the circuit has 6"),
        (trial(MANILA, ansatz="random-pauli"), PATH + "runs one circuit, but ansatz: random-pauli"),
        (trial(MANILA, observable="zero-projector"), r"model\.observable: .*leave .*noise\.processor out"),
    ],
)
def test_plan_refuses(bad: Trial, message: str) -> None:
    with pytest.raises(InputError, match=message):
        problem(bad)


@pytest.mark.parametrize("others", [{"readout": 0.1}, {"depolarizing": 0.1, "amplitude_damping": 0.1}])
def test_noise_of_a_processor_is_the_only_one(others: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"leave {' and '.join(others)} out"):
        Aer.parse({"kind": "aer", "method": "density_matrix", "noise": {"processor": MANILA, **others}})


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state"])
def test_noise_of_a_processor_needs_a_density_matrix(method: str) -> None:
    with pytest.raises(ConfigError, match="use method: density_matrix"):
        Aer.parse({**noisy(MANILA), "method": method})


# A whole sweep.

SWEEP = """\
name: processor
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1, observable: {Z0 Z1: 0.5, X0: 0.5}}
  loss: mse
  gradient: {engine: parameter-shift, backend: {kind: aer, method: density_matrix}}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4, shards: 2}
  steps: 2
sweep:
  - gradient.backend.noise: [{label: none, value: {}}, {label: manila, value: {processor: FakeManilaV2}}]
  - gradient.backend.shots: [null, 100]
  - seed: {range: 2}
"""


def test_sweep_has_the_same_bits_in_packs_and_chunks_of_any_size(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    digests = set()
    for index, overrides in enumerate(([], ["placement.pack=1", "placement.chunk_steps=1"])):
        out = tmp_path / str(index)
        run(tmp_path / "sweep.yaml", out, where=Where(inline=True), overrides=overrides)
        digests.add(digest(open_run(out)).total)
    assert len(digests) == 1
    trials = open_run(out).trials.to_pylist()
    assert {trial["status"] for trial in trials} == {"done"}
    losses = {trial["gradient.backend.noise"]: trial["final_loss"] for trial in trials if not trial["shots"]}
    assert losses["none"] != losses["manila"]
