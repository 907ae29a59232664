"""Sums over samples against each sample's own gradient: moments, noise, norms, and sums with a factor."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_layers import Echo
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from sums import arrays, assert_same_bits, rows_of

from orchestrator.backends.batched import differentiator
from orchestrator.config.families import discover
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.base import Engine
from orchestrator.engines.circuit_stage import CircuitStage
from orchestrator.engines.gradient import Differentiator, GradientSum, Shard
from orchestrator.engines.per_sample import MomentCollector, MomentSums, NormCollector
from orchestrator.groups import Array
from orchestrator.models.base import Built, Model
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.reading import read
from orchestrator.models.dense import Dense
from orchestrator.models.hybrid import Hybrid
from orchestrator.models.layer import Layer
from orchestrator.models.layered import Layered
from orchestrator.streams import Purpose, Streams

ROUNDING = 1e-12
"""Of the largest number in a row: sums of at most ten terms, in another order."""

ROWS, SAMPLES, FEATURES = 3, 10, 3
CIRCUIT: dict[str, Any] = {"kind": "circuit", "qubits": 3, "layers": 2}
DENSE: dict[str, Any] = {"kind": "dense", "units": 2, "activation": "tanh"}
FED: dict[str, Any] = {"kind": "circuit", "qubits": 2, "layers": 1, "observables": ["Z0", {"Z1": 0.5}]}
ECHO: dict[str, Any] = {"kind": "echo", "circuit": {**FED, "ansatz": "random-pauli"}}
LAYERS: dict[str, type[Layer]] = {"dense": Dense, "circuit": Circuit, "echo": Echo}
SHOTS: dict[str, Any] = {"kind": "batched", "shots": 20}


def model(kind: str, **options: Any) -> Built:
    return discover(Model)[f"kind={kind}"].parse({"kind": kind, **options}).build(FEATURES, 2)


def hybrid(*layers: dict[str, Any]) -> Layered:
    """Built without the list of layers, which lacks the tests' own layers."""
    parsed = tuple(LAYERS[layer["kind"]].parse(layer) for layer in layers)
    return Hybrid.model_construct(kind="hybrid", layers=parsed).build(FEATURES, 2)


def computed() -> Built:
    """Angles that are products of a parameter and an input."""
    x, theta = ParameterVector("x", FEATURES), ParameterVector("θ", 2)
    drawn = QuantumCircuit(2)
    drawn.rx(theta[0] * x[0] + 0.2, 0)
    drawn.cx(0, 1)
    drawn.ry(theta[1] * x[1] * theta[0], 1)
    drawn.rx(x[2] + theta[1], 0)
    drawing = Drawing(
        drawn, (Operator(SparsePauliOp(["ZZ", "IX"], [0.75, -0.5])),), tuple(x), (tuple(theta),), 0
    )
    return read(lambda: drawing, "computed")


def engine(name: str = "adjoint", **options: Any) -> Engine:
    return discover(Engine)[f"engine={name}"].parse({"engine": name, **options})


@dataclass(frozen=True)
class Case:
    """A model, an engine, and how many samples a shard has."""

    build: Callable[[], Built]
    engine: Engine
    samples: int = SAMPLES

    def ready(self) -> tuple[Differentiator, Array, Shard]:
        """Returns a Differentiator, random parameters, and a shard of two classes with uneven weights."""
        built, streams = self.build(), Streams(np.arange(ROWS), 5)
        weights = 0.5 + streams.uniform(Purpose.DATA, self.samples, 1)
        shard = Shard(
            streams.uniform(Purpose.DATA, self.samples * FEATURES).reshape(ROWS, self.samples, FEATURES),
            np.asarray(streams.uniform(Purpose.DATA, self.samples, 2) < 0.5, np.float64),
            weights / weights.sum(-1, keepdims=True),
            (streams.bits(Purpose.AXES, built.axes) % np.uint64(3)).astype(np.int8),
            streams,
            number=1,
        )
        return self.engine.prepare(built, "mse", 2), built.initial(streams) + 0.1, shard


def circuit() -> Built:
    return model(**CIRCUIT)


def mixed() -> Built:
    return hybrid({**FED, "qubits": 3}, DENSE, FED, {"kind": "dense"})


CASES = {
    "network": Case(lambda: model("mlp", hidden=[4, 3], activation="tanh"), engine("backprop")),
    "circuit": Case(circuit, engine()),
    "aer": Case(circuit, engine(backend={"kind": "aer"})),
    "complex64": Case(circuit, engine(backend={"kind": "batched", "precision": "complex64"})),
    "softmax": Case(
        lambda: model(**CIRCUIT, observables=["Z0", {"X1": 0.5, "Z2": 0.25}], readout="softmax"), engine()
    ),
    "computed": Case(computed, engine()),
    "wide": Case(lambda: model("circuit", qubits=16, layers=1, observable="Z0 Z1"), engine(), 2),
    "hybrid": Case(mixed, engine()),
    "hybrid-shifts": Case(mixed, engine("parameter-shift")),
    "echo": Case(lambda: hybrid(DENSE, ECHO, FED, {"kind": "dense"}), engine()),
    "shifts": Case(circuit, engine("parameter-shift")),
    "shifts-shots": Case(computed, engine("parameter-shift", backend=SHOTS)),
    "spsa-shots": Case(circuit, engine("spsa", directions=2, backend=SHOTS)),
    "differences": Case(circuit, engine("finite-difference")),
    "differences-hybrid": Case(mixed, engine("finite-difference")),
}


MEASURED = {"shifts-shots", "spsa-shots"}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def drawn(name: str) -> tuple[Differentiator, Array, Shard]:
    return CASES[name].ready()


@cache
def each(name: str) -> dict[str, Array]:
    """Each sample's own gradient and other numbers, [B, R, …]: the sums with all weight on that sample."""
    ready, parameters, shard = drawn(name)
    one_hot = (np.tile(weights, (ROWS, 1)) for weights in np.eye(shard.weights.shape[1]))
    totals = [arrays(ready.gradient(parameters, replace(shard, weights=p))) for p in one_hot]
    return {key: np.stack([total[key] for total in totals]) for key in totals[0]}


@dataclass(frozen=True)
class Soft:
    """A factor that differs from row to row, c/(c + norm); keeps the norms that it is given."""

    limits: Array
    norms: list[Array] = field(default_factory=list)

    def __call__(self, norms: Array, rows: NDArray[np.int64]) -> Array:
        self.norms.append(np.ravel(norms))
        limits = self.limits[rows]
        return np.asarray(limits / (limits + norms))


LIMITS = np.array([0.3, 1.0, 0.1])


def assert_close(found: Array, expected: Array) -> None:
    scale = np.abs(expected).max(-1, keepdims=True)
    assert (np.abs(found - expected) <= ROUNDING * scale).all()


def test_moments_are_those_of_the_samples_gradients_and_signals(name: str) -> None:
    ready, parameters, shard = drawn(name)
    total, p = arrays(ready.gradient(parameters, shard)), shard.weights.T[..., None]
    assert np.abs(total["gradient"]).max() > 0.001
    for first, second in (("gradient", "moments.square"), ("signals.signal", "signals.square")):
        if first in total:
            numbers = each(name)[first]
            assert_close(total[first], (p * numbers).sum(0))
            assert_close(total[second], (p * numbers**2).sum(0))


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_noise_is_the_sum_of_the_samples_variances(name: str) -> None:
    ready, parameters, shard = drawn(name)
    total, p = ready.gradient(parameters, shard), shard.weights.T[..., None]
    variances = each(name)["noise.gradient"]
    assert total.noise is not None
    assert_close(total.noise.gradient, (p * p * variances).sum(0))
    assert_close(total.noise.gradient_first, (p * variances).sum(0))


def test_factor_is_given_the_norm_of_each_samples_gradient(name: str) -> None:
    ready, parameters, shard = drawn(name)
    factor = Soft(LIMITS)
    ready.gradient(parameters, shard, factor)
    norms = np.concatenate(factor.norms).reshape(shard.weights.shape)
    assert_close(norms, np.linalg.norm(each(name)["gradient"], axis=-1).T)


def test_clipped_is_the_sum_of_the_samples_gradients_times_their_factors(name: str) -> None:
    ready, parameters, shard = drawn(name)
    gradients = each(name)["gradient"]
    factors = LIMITS / (LIMITS + np.linalg.norm(gradients, axis=-1))
    found = ready.gradient(parameters, shard, Soft(LIMITS)).clipped
    assert found is not None
    assert_close(found, (shard.weights.T[..., None] * factors[..., None] * gradients).sum(0))


def test_nothing_else_depends_on_the_factor(name: str) -> None:
    ready, parameters, shard = drawn(name)
    without, found = ready.gradient(parameters, shard), ready.gradient(parameters, shard, Soft(LIMITS))
    assert without.clipped is None
    assert_same_bits(replace(found, clipped=None, cost=without.cost), without)


def test_circuits_among_layers_are_executed_twice_with_a_factor_and_no_others() -> None:
    for name, times in (("hybrid", 2), ("echo", 2), ("circuit", 1), ("shifts", 1), ("differences-hybrid", 1)):
        ready, parameters, shard = drawn(name)
        without, found = ready.gradient(parameters, shard), ready.gradient(parameters, shard, Soft(LIMITS))
        np.testing.assert_array_equal(found.cost.executions, times * without.cost.executions, name)


@pytest.mark.parametrize("name", sorted(CASES.keys() - MEASURED - {"differences-hybrid"}))
def test_clipped_sums_of_shards_add_up_to_that_of_the_whole(name: str) -> None:
    ready, parameters, shard = drawn(name)
    whole = ready.gradient(parameters, shard, Soft(LIMITS))
    total = reduce(add, (ready.gradient(parameters, part, Soft(LIMITS)) for part in cut(shard)))
    assert total.clipped is not None
    assert whole.clipped is not None
    assert_close(total.clipped, whole.clipped)


def cut(shard: Shard) -> Iterator[Shard]:
    """Two shards, of one sample and of the others.

    Their shots differ from those of the whole. Matrix products of other sizes round differently, and finite
    differences divide this error by their step of 1e-5.
    """
    for part in (slice(0, 1), slice(1, None)):
        yield replace(
            shard,
            inputs=shard.inputs[:, part],
            targets=shard.targets[:, part],
            weights=shard.weights[:, part],
        )


@pytest.mark.parametrize("samples", ["one", "all"])
def test_row_has_the_same_bits_in_any_company(name: str, samples: str) -> None:
    ready, parameters, whole = drawn(name)
    shard = whole if samples == "all" else next(cut(whole))
    total = ready.gradient(parameters, shard, Soft(LIMITS))
    for rows in (slice(row, row + 1) for row in range(ROWS)):
        assert_same_bits(alone(ready, parameters, shard, rows), rows_of(total, rows))


def alone(ready: Differentiator, parameters: Array, shard: Shard, rows: slice) -> GradientSum:
    own = Shard(
        shard.inputs[rows],
        shard.targets[rows],
        shard.weights[rows],
        shard.axes[rows],
        Streams(shard.streams.seeds[rows], shard.streams.steps[rows]),
        shard.number,
    )
    return ready.gradient(parameters[rows], own, Soft(LIMITS[rows]))


def test_circuits_are_clipped_part_by_part_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("circuit", "softmax", "computed", "hybrid"):
        ready, parameters, shard = drawn(name)
        whole, factor = ready.gradient(parameters, shard, Soft(LIMITS)), Soft(LIMITS)
        with monkeypatch.context() as patched:
            patched.setattr(differentiator, "JACOBIAN_BYTES", 1)
            assert_same_bits(ready.gradient(parameters, shard, factor), whole)
        assert len(factor.norms) == (1 if name == "hybrid" else 4)  # 30 samples, eight at once


def test_going_back_twice_gives_the_same_in_any_order() -> None:
    built = hybrid({"kind": "dense", "units": 2}, FED, {"kind": "dense"})
    adjoint = Adjoint(engine="adjoint")
    runners = built.runnables(lambda program, fed: CircuitStage(adjoint.pullback(program), fed))
    stage, slot = runners[1], built.slots[1]
    random = np.random.default_rng(0)
    parameters, cotangent = random.normal(size=(2, slot.stage.parameters)), random.normal(size=(2, 3, 2))
    weights = np.full((2, 3), 1 / 3)
    _, tape = stage.forward(parameters, random.normal(size=(2, 3, 2)), np.zeros((2, 0), np.int8))

    def moments() -> tuple[Any, Array]:
        sums = MomentSums.empty(built, 2, clipped=False).of_stage(slot)
        pull = stage.backward(parameters, tape, cotangent, MomentCollector(weights, None, sums))
        return sums[:4], pull()

    def norms() -> tuple[Any, Array]:
        found = NormCollector(2, 3)
        return found.squares, stage.backward(parameters, tape, cotangent, found)()

    expected = moments()
    first, again = norms(), norms()
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], expected[1])
    for found, before in zip(moments()[0], expected[0], strict=True):
        np.testing.assert_array_equal(found, before)


# Memory.


def peak(call: Callable[[], object]) -> int:
    """Peak memory of NumPy arrays in a second call, in bytes."""
    call()
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", ["circuit", "softmax", "network", "hybrid"])
def test_factor_takes_memory_for_its_sum_and_some_numbers_of_each_sample(name: str) -> None:
    case = replace(CASES[name], samples=300)
    ready, parameters, shard = case.ready()
    most, without = (peak(lambda f=f: ready.gradient(parameters, shard, f)) for f in (Soft(LIMITS), None))
    # norms, slopes, rows and factors, twice where they are changed; a few kB of objects
    assert most <= without + 8 * (parameters.size + 10 * shard.weights.size) + 8000


def test_networks_gradients_of_single_samples_are_not_formed() -> None:
    built = model("mlp", hidden=[100, 100])
    case = Case(lambda: built, engine("backprop"), 64)
    ready, parameters, shard = case.ready()
    most = peak(lambda: ready.gradient(parameters, shard, Soft(LIMITS)))
    assert most < 8 * shard.weights.size * built.parameters / 5
