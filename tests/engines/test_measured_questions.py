"""A gradient in two passes, with noted questions and replayed answers, has the bits of a direct one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from sums import assert_same_bits

from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import GradientSum, Shard
from orchestrator.engines.measured import forward, meter
from orchestrator.engines.measured.meter import Measured
from orchestrator.engines.measured.questions import AnsweringMeter, NotingMeter, Question
from orchestrator.models.base import Built
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read
from orchestrator.models.hybrid import Hybrid
from orchestrator.streams import Streams

ENGINES: dict[str, dict[str, Any]] = {
    "parameter-shift": {},
    "spsa": {"directions": 2},
    "finite-difference": {"step": 0.1},
}
SHOTS = (None, 40)


def engine(name: str, shots: int | None = None, **options: Any) -> Engine:
    backend = {"kind": "batched"} if shots is None else {"kind": "batched", "shots": shots}
    return discover(Engine)[f"engine={name}"].parse({"engine": name, **options, "backend": backend})


def circuit(**options: Any) -> Program:
    program = Circuit.parse({"kind": "circuit", "qubits": 3, "layers": 1, **options}).build(2, 3)
    assert isinstance(program, Program)
    return program


def computed() -> Program:
    """Shared parameters, angles computed from parameters and inputs, two Pauli strings."""
    x, theta = ParameterVector("x", 2), ParameterVector("θ", 3)
    drawn = QuantumCircuit(2)
    drawn.ry(theta[0] * x[0] + theta[1] ** 2, 0)
    drawn.crx(theta[1], 0, 1)
    drawn.rz((theta[0] * theta[2]).sin(), 1)
    drawn.ry(2 * theta[1] + x[1], 1)
    observable = SparsePauliOp(["ZY", "XI"], [0.75, -0.5])
    drawing = Drawing(drawn, (Operator(observable),), tuple(x), (tuple(theta),), 0)
    return read(lambda: drawing, "computed")


SHARED, COMPUTED = circuit(observable={"Z0 Y1": 0.75, "X2": -0.5}), computed()
DRAWN = circuit(ansatz="random-pauli", observable="Z2 Y1 X0")
SEVERAL = circuit(observables=["Z0", {"X1": 0.5, "Y0 Z2": -0.25}, "Z2"], readout="softmax")
SUMS = ["mse", "binary-cross-entropy", "hinge", "linear", "expectation"]
CASES = {
    **{loss: (SHARED, loss, 2) for loss in SUMS},
    **{f"computed angles, {loss}": (COMPUTED, loss, 2) for loss in SUMS},
    "drawn axes": (DRAWN, "mse", 2),
    "softmax, cross-entropy": (SEVERAL, "cross-entropy", 3),
    "softmax, mse": (SEVERAL, "mse", 3),
}
HYBRID = Hybrid.parse(
    {
        "kind": "hybrid",
        "layers": [
            {"kind": "dense", "units": 2, "activation": "tanh"},
            {"kind": "circuit", "qubits": 2, "layers": 1, "observables": ["Z0", "X1"]},
            {"kind": "dense"},
        ],
    }
).build(2, 2)


def draw(model: Built, classes: int, shards: int = 2, rows: int = 3) -> tuple[np.ndarray, list[Shard]]:
    """Random parameters, and shards of 2, 3, … samples with uneven weights."""
    random, streams = np.random.default_rng(0), Streams(np.arange(rows), 5)
    axes = random.integers(0, 3, (rows, model.axes), dtype=np.int8)
    parts = []
    for number in range(shards):
        samples = 2 + number
        inputs = random.uniform(0.0, np.pi, (rows, samples, 2))
        targets = random.integers(0, classes, (rows, samples)).astype(float)
        weights = random.uniform(0.1, 0.3, (rows, samples))
        parts.append(Shard(inputs, targets, weights, axes, streams, number))
    return random.uniform(0.0, 2.0 * np.pi, (rows, model.parameters)), parts


def noted(ready: Any, parameters: np.ndarray, shard: Shard) -> list[Question]:
    noting = NotingMeter(ready.meter)
    replace(ready, meter=noting).gradient(parameters, shard)
    return noting.questions


def in_two_passes(ready: Any, parameters: np.ndarray, shard: Shard) -> GradientSum:
    """Questions and answers travel as bytes."""
    questions = pickle.loads(pickle.dumps(noted(ready, parameters, shard)))
    answers = pickle.loads(pickle.dumps([ready.meter.measure(*question) for question in questions]))
    answering = AnsweringMeter(ready.meter, iter(answers))
    total = replace(ready, meter=answering).gradient(parameters, shard)
    assert next(answering.answers, None) is None  # every answer was used
    return total


def assert_two_passes_give_the_bits(ready: Any, parameters: np.ndarray, shards: list[Shard]) -> None:
    direct = [ready.gradient(parameters, shard) for shard in shards]
    passed = [in_two_passes(ready, parameters, shard) for shard in shards]
    for one, other in zip(direct, passed, strict=True):
        assert_same_bits(one, other)
    assert_same_bits(reduce(add, direct), reduce(add, passed))


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_two_passes_give_the_bits_of_a_direct_gradient(case: str, name: str, shots: int | None) -> None:
    program, loss, classes = CASES[case]
    ready = engine(name, shots, **ENGINES[name]).prepare(program, loss, classes)
    parameters, shards = draw(program, classes)
    assert (ready.gradient(parameters, shards[0]).noise is None) == (shots is None)
    assert_two_passes_give_the_bits(ready, parameters, shards)


@pytest.mark.parametrize("name", ENGINES)
def test_two_passes_give_the_bits_where_every_setting_is_a_question(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "CALL_BYTES", 1)
    ready = engine(name, 40, **ENGINES[name]).prepare(COMPUTED, "mse", 2)
    parameters, shards = draw(COMPUTED, 2)
    assert {len(question.parameters) for question in noted(ready, parameters, shards[0])} == {1}
    assert_two_passes_give_the_bits(ready, parameters, shards)


@pytest.mark.parametrize("name", ["spsa", "finite-difference"])
def test_two_passes_through_layers_give_the_bits_of_a_direct_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = engine(name, **ENGINES[name]).prepare(HYBRID, "mse", 2)
    parameters, shards = draw(HYBRID, 2)
    assert_two_passes_give_the_bits(ready, parameters, shards)
    monkeypatch.setattr(forward, "CALL_BYTES", 1)
    assert_two_passes_give_the_bits(ready, parameters, shards)


@dataclass(frozen=True, eq=False)
class PassingOn(NotingMeter):
    """Notes questions, and answers like its meter."""

    def measure(self, parameters: np.ndarray, shard: Shard, first: int) -> Measured:
        super().measure(parameters, shard, first)
        return self.meter.measure(parameters, shard, first)


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("name", ENGINES)
def test_questions_do_not_depend_on_answers(name: str, shots: int | None) -> None:
    ready: Any = engine(name, shots, **ENGINES[name]).prepare(COMPUTED, "mse", 2)
    parameters, (shard, _) = draw(COMPUTED, 2)
    passing = PassingOn(ready.meter)
    replace(ready, meter=passing).gradient(parameters, shard)
    for one, other in zip(noted(ready, parameters, shard), passing.questions, strict=True):
        assert one.first == other.first
        assert one.shard is other.shard is shard
        np.testing.assert_array_equal(one.parameters, other.parameters, strict=True)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for one in value:
            yield from leaves(one)
    elif hasattr(value, "__dict__"):
        yield from leaves(tuple(vars(value).values()))
    else:
        yield value


def test_questions_are_arrays_and_numbers() -> None:
    ready = engine("parameter-shift", 40).prepare(COMPUTED, "mse", 2)
    parameters, (shard, _) = draw(COMPUTED, 2)
    questions = noted(ready, parameters, shard)
    assert {type(leaf) for leaf in leaves(tuple(questions))} == {np.ndarray, int}


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("name", ENGINES)
def test_cost_is_the_sum_over_the_answers(name: str, shots: int | None) -> None:
    ready: Any = engine(name, shots, **ENGINES[name]).prepare(SEVERAL, "mse", 3)
    parameters, (shard, _) = draw(SEVERAL, 3)
    answers = [ready.meter.measure(*question) for question in noted(ready, parameters, shard)]
    assert all(
        (answer.variance is None) == (answer.outcomes is None) == (shots is None) for answer in answers
    )
    cost, paid = ready.gradient(parameters, shard).cost, reduce(add, (answer.cost for answer in answers))
    settings = sum(len(answer.value) for answer in answers)
    strings = 1 if shots is None else 4  # Pauli strings, each measured on its own
    assert cost.executions.tolist() == paid.executions.tolist() == [2.0 * settings * strings] * 3
    assert cost.shots.tolist() == paid.shots.tolist() == [2.0 * settings * strings * (shots or 0)] * 3


def test_engine_that_asks_more_pays_more() -> None:
    parameters, (shard, _) = draw(SHARED, 2)

    def executions(directions: int) -> float:
        ready = engine("spsa", 40, directions=directions).prepare(SHARED, "mse", 2)
        return float(ready.gradient(parameters, shard).cost.executions[0])

    settings = np.array([executions(directions) for directions in (1, 2, 5)]) / executions(1)
    np.testing.assert_allclose(settings, [1.0, 5.0 / 3.0, 11.0 / 3.0], rtol=1e-15)


def test_predictions_do_not_go_through_questions() -> None:
    ready: Any = engine("parameter-shift", 40).prepare(COMPUTED, "mse", 2)
    parameters, (shard, _) = draw(COMPUTED, 2)
    expected = ready.predict(parameters, shard.inputs, shard.axes)
    noting = NotingMeter(ready.meter)
    for stand_in in (noting, AnsweringMeter(ready.meter, iter(()))):
        found = replace(ready, meter=stand_in).predict(parameters, shard.inputs, shard.axes)
        np.testing.assert_array_equal(found, expected)
    assert noting.questions == []


def test_gradient_without_an_answer_or_with_that_of_another_shard_is_refused() -> None:
    ready: Any = engine("spsa", 40).prepare(SHARED, "mse", 2)
    parameters, (shard, other) = draw(SHARED, 2)
    answers = [ready.meter.measure(*question) for question in noted(ready, parameters, shard)]
    short = replace(ready, meter=AnsweringMeter(ready.meter, iter(answers[:-1])))
    with pytest.raises(ValueError, match=r"setting 2 of shard 0.*\(1, 3, 2\).*no answer is left"):
        short.gradient(parameters, shard)
    mistaken = replace(ready, meter=AnsweringMeter(ready.meter, iter(answers)))
    with pytest.raises(ValueError, match=r"setting 0 of shard 1.*\(1, 3, 3\).*the answer has \(1, 3, 2\)"):
        mistaken.gradient(parameters, other)
